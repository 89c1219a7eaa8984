"""Figure 3: how the step size moves Adam's trajectory, on both sides of beta1 = beta2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adambias.figures import style, trajectories

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from adambias.figures.tables import Tables

TITLE = "Adam on the bilinear model: the step size"
PANELS = ("fig3_above", "fig3_below")


def draw(tables: Tables) -> Figure:
    """Draw both panels, with the arrival at the minima enlarged."""
    summary, paths = tables.json("bilinear.json"), tables.frame("bilinear.parquet")
    figure, axes = style.panels(2, aspect=1.0)
    for ax, name in zip(axes, PANELS, strict=True):
        trajectories.fan_panel(ax, summary, paths, name)
        ax.set_title(trajectories.fixed_words(summary, name))
    trajectories.shared_legend(figure, axes[0])
    return figure


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings of both panels."""
    return trajectories.fan_settings(tables.json("bilinear.json"), list(PANELS))


def caption(tables: Tables) -> str:
    """Say what varies and where it leads."""
    summary = tables.json("bilinear.json")
    first, second = (trajectories.direction_words(summary, name) for name in PANELS)
    return (
        "Trajectories of Adam over h, on level sets of the perturbed one-norm of the gradient "
        "(darker is larger); the arrival at the minima is enlarged. The cross is the minimum "
        f"around which the norm is smallest. (a) β₁ clearly above β₂: {first}. (b) β₂ above β₁: "
        f"{second}."
    )


def alt(tables: Tables) -> str:
    """Describe the picture."""
    summary = tables.json("bilinear.json")
    first, second = (trajectories.direction_words(summary, name) for name in PANELS)
    return (
        "Two maps of the parameter plane with a dashed hyperbola of minima. Trajectories run from "
        "the start at the upper right to the hyperbola, one per step size h. Left, beta1 above "
        f"beta2: {first}. Right, beta2 above beta1: {second}."
    )
