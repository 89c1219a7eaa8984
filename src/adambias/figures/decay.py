"""Figures 4 and 5: norm and accuracy against one of the two decays."""

from __future__ import annotations

from matplotlib.figure import Figure

from adambias.figures import Tables, effect, style


def draw(tables: Tables, axis: str) -> Figure:
    """Draw a panel for the norm, its excess where the floor dominates, and the accuracy."""
    points, means = effect.load(tables, axis, axis)
    shown = effect.quantities(points, tables.settings.floor_share)
    figure, axes = style.panels(len(shown), aspect=0.95 if len(shown) > 2 else 0.72)
    for ax, quantity in zip(axes, shown, strict=True):
        effect.draw_quantity(ax, points, means, axis, quantity)
        effect.scale_of_decay(ax, axis, sorted(means[axis].unique()))
    floor = points["norm_floor"].unique()
    if len(shown) > 2 and len(floor) == 1:
        style.note(axes[0], f"p√ε = {floor[0]:.4g}", at=(0.98, 0.03))
    if means["series"].nunique() > 1:
        axes[0].legend(loc="best")
    style.note(axes[-1], effect.count_seeds(points), at=(0.02, 0.03))
    return figure


def caption(tables: Tables, axis: str) -> str:
    """Say what is shown, over how many seeds, and what was left out."""
    points, _ = effect.load(tables, axis, axis)
    symbol = effect.SYMBOLS[axis]
    panels = "highest perturbed one-norm ‖∇E‖₁,ε after the initial part of the training"
    if "excess" in effect.quantities(points, tables.settings.floor_share):
        panels += ", its excess over the floor p√ε (log scale)"
    number = "fig4" if axis == "beta2" else "fig5"
    verdicts = effect.verdict_words(tables, (f"{number}_norm", f"{number}_accuracy"))
    return (
        f"Against {symbol}: {panels}, and best test accuracy; {effect.describe(tables, axis)}. "
        f"Thin: single seeds, {effect.count_seeds(points)}; thick: their mean with its 95 % t "
        f"interval, cut at the frame; the verdict compares within seeds. Oscillation regime only, "
        f"{effect.left_out(tables, axis)}. {effect.falling(points)} {verdicts}"
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
