"""Figure 1: what Adam penalises in one dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from adambias.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from adambias.figures.tables import Tables

TITLE = "The penalised function in one dimension"
CAPTION = (
    "In one dimension Adam's correction is (h/2) d/dθ F(E′(θ)). Near zero, where the derivative is "
    "small against √ε, F always penalises. Far from zero it goes on penalising if β₁ > β₂, and "
    "rewards large derivatives if β₂ > β₁."
)
ALT = (
    "Curves of F(x) against x, one per pair of decays. All have a minimum at zero. For beta1 above "
    "beta2 F rises on both sides for ever; for beta2 above beta1 it rises, turns and falls."
)

NEAR = 0.6
"""How far from zero the second panel reaches, over √ε."""


def draw(tables: Tables) -> Figure:
    """Draw F(x) for every pair of decays, and the same closer to zero."""
    curves = tables.json("bilinear.json")["penalty"]
    root = np.sqrt(curves["epsilon"])
    x = np.array(curves["x"]) / root
    figure, axes = style.panels(2, aspect=0.85)
    colours = style.sequence(len(curves["curves"]), "plasma")
    values = [np.array(curve["values"]) / root for curve in curves["curves"]]
    close = np.linspace(-NEAR, NEAR, 201)
    for curve, heights, colour in zip(curves["curves"], values, colours, strict=True):
        label = f"{curve['beta1']:g}, {curve['beta2']:g}"
        axes[0].plot(x, heights, color=colour, label=label)
        # So close to zero straight lines between the points would show their corners.
        axes[1].plot(close, CubicSpline(x, heights)(close), color=colour)
    for ax in axes:
        ax.axhline(0, color=style.FAINT, linewidth=0.6, zorder=0)
        ax.set(xlabel="x / √ε", ylabel="F(x) / √ε")
    axes[0].set_title("far: β₁ against β₂ decides")
    axes[1].set(title="near 0: always penalised", xlim=(-NEAR, NEAR), ylim=_near(x, values))
    symbols = ", ".join(style.SYMBOLS[name] for name in ("beta1", "beta2"))
    axes[0].legend(title=symbols, loc="upper center")
    return figure


def _near(x: NDArray[Any], values: Sequence[NDArray[Any]]) -> tuple[float, float]:
    """Return the heights in which the flattest of the curves can be seen to rise from zero."""
    flattest = min(values, key=lambda heights: float(heights.max()))
    highest = float(flattest[np.abs(x) <= NEAR].max())
    return -3 * highest, 10 * highest


def settings(tables: Tables) -> dict[str, str]:
    """Return the perturbation and the pairs of decays."""
    penalty = tables.json("bilinear.json")["penalty"]
    pairs = "; ".join(f"{c['beta1']:g}, {c['beta2']:g}" for c in penalty["curves"])
    return {"epsilon": f"{penalty['epsilon']:g}", "beta1, beta2": pairs}
