"""Figures 4 and 5: norm and accuracy against one of the two decays."""

from __future__ import annotations

from matplotlib.figure import Figure

from adambias.config.figures import FIGURE_OF_GRID
from adambias.figures import effect, style
from adambias.figures.tables import Tables


def draw(tables: Tables, axis: str) -> Figure:
    """Draw a panel for the norm, its excess where the floor dominates, and the accuracy."""
    points, means = effect.load(tables, axis, axis)
    shown = effect.quantities(points, tables.settings.floor_share)
    figure, axes = style.panels(len(shown), aspect=0.95 if len(shown) > 2 else 0.72)
    verdicts = effect.verdicts(tables, FIGURE_OF_GRID[axis])
    for ax, quantity in zip(axes, shown, strict=True):
        effect.draw_quantity(ax, points, means, axis, quantity)
        effect.scale_of_decay(ax, axis, sorted(means[axis].unique()))
        effect.say_if_one(ax, means, axis)
        if quantity in verdicts:
            effect.title(ax, verdicts[quantity])
    if "excess" in shown:
        effect.draw_floor(axes[0], points)
    effect.legend(figure, axes[0], means)
    return figure


def caption(tables: Tables, axis: str) -> str:
    """Say what is shown, over how many seeds, and what was left out."""
    points, means = effect.load(tables, axis, axis)
    symbol = effect.SYMBOLS[axis]
    panels = "highest perturbed one-norm ‖∇E‖₁,ε after the initial part of the training"
    if "excess" in effect.quantities(points, tables.settings.floor_share):
        panels += ", its excess over the floor p√ε (log scale)"
    verdicts = effect.listed(effect.verdicts(tables, FIGURE_OF_GRID[axis]))
    return (
        f"Against {symbol}: {panels}, and best test accuracy; {effect.describe(tables, axis)}. "
        f"Thin: single seeds, {effect.count_seeds(means)}; thick: their mean with its "
        f"{effect.interval(means)} t interval, cut at the frame; the verdict compares within "
        f"seeds. Oscillation regime only, {effect.left_out(tables, axis)}. "
        f"{effect.peaks(points)} Verdicts: {verdicts}."
    )


def alt(tables: Tables, axis: str) -> str:
    """Say in words how the means run."""
    _, means = effect.load(tables, axis, axis)
    symbol = axis.replace("beta", "beta ")
    runs = []
    for series, mean in means.groupby("series", sort=False):
        first, last = mean.iloc[0], mean.iloc[-1]
        name = f"{series!s}: " if series else ""
        runs.append(
            f"{name}as {symbol} goes from {first[axis]:g} to {last[axis]:g}, the mean highest "
            f"norm goes from {first['norm']:.4g} to {last['norm']:.4g} and the mean best test "
            f"accuracy from {first['accuracy']:.4f} to {last['accuracy']:.4f}"
        )
    return f"Line plots against {symbol}. {'. '.join(runs).capitalize()}."
