"""Figure 1: what Adam penalises in one dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from adambias.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from adambias.figures.tables import Tables

TITLE = "The penalised function in one dimension"
CAPTION = (
    "In one dimension Adam's correction is (h/2) d/dθ F(E′(θ)). Near zero, where the derivative is "
    "small against √ε, F always penalises. Far from zero it goes on penalising if β1 > β2, and "
    "rewards large derivatives if β2 > β1."
)
ALT = (
    "Curves of F(x) against x, one per pair of decays. All have a minimum at zero. For beta1 above "
    "beta2 F rises on both sides for ever; for beta2 above beta1 it rises, turns and falls."
)


def draw(tables: Tables) -> Figure:
    """Draw F(x) for every pair of decays, and the same closer to zero."""
    curves = tables.json("bilinear.json")["penalty"]
    x, root = np.array(curves["x"]), np.sqrt(curves["epsilon"])
    figure, axes = style.panels(2, aspect=0.85)
    colours = style.sequence(len(curves["curves"]), "plasma")
    for curve, colour in zip(curves["curves"], colours, strict=True):
        label = f"{curve['beta1']:g}, {curve['beta2']:g}"
        for ax in axes:
            ax.plot(x / root, np.array(curve["values"]) / root, color=colour, label=label)
    for ax in axes:
        ax.axhline(0, color=style.FAINT, linewidth=0.6, zorder=0)
        ax.set(xlabel=r"$x\,/\,\sqrt{\varepsilon}$", ylabel=r"$F(x)\,/\,\sqrt{\varepsilon}$")
    largest = max(abs(value) for curve in curves["curves"] for value in curve["values"]) / root
    near = [np.interp(1.2, x / root, np.array(c["values"]) / root) for c in curves["curves"]]
    axes[0].set(title="far: β1 against β2 decides", ylim=(-1.05 * largest, 1.05 * largest))
    axes[1].set(title="near 0: always penalised", xlim=(-1.2, 1.2))
    axes[1].set_ylim(min(-0.1, 1.1 * min(near)), 1.1 * max(near))
    axes[0].legend(title=r"$\beta_1,\ \beta_2$", loc="lower center", ncols=1)
    return figure


def settings(tables: Tables) -> dict[str, str]:
    """Return the perturbation and the pairs of decays."""
    penalty = tables.json("bilinear.json")["penalty"]
    pairs = "; ".join(f"{c['beta1']:g}, {c['beta2']:g}" for c in penalty["curves"])
    return {"epsilon": f"{penalty['epsilon']:g}", "beta1, beta2": pairs}
