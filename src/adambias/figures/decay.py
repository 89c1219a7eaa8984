"""Figures 4 and 5: norms and accuracy against one of the two decays."""

from __future__ import annotations

from matplotlib.figure import Figure

from adambias.config.claims import claims_of
from adambias.config.figures import FIGURE_OF_GRID
from adambias.figures import effect, style, verdicts, words
from adambias.figures.tables import Tables


def draw(tables: Tables, axis: str) -> Figure:
    """Draw the norm at equal progress, which decides, the highest norm, and the accuracy."""
    points, means = effect.load(tables, axis, axis)
    said: dict[str, str] = {}
    for key in claims_of(FIGURE_OF_GRID[axis]):
        said |= verdicts.readings(tables, key, "\n")
    figure, axes = style.panels(len(effect.LABELS), aspect=effect.aspect())
    for ax, quantity in zip(axes, effect.LABELS, strict=True):
        effect.draw_quantity(ax, points, means, axis, quantity)
        effect.scale_of_decay(ax, axis, sorted(means[axis].unique()))
        effect.say_if_one(ax, means, axis)
        effect.title(ax, said.get(quantity, ""))
    effect.legend(figure, axes, points, means, verdicts.whose(tables, [axis]))
    return figure


def caption(tables: Tables, axis: str) -> str:
    """Say what is shown, over how many seeds, and what was left out."""
    points, means = effect.load(tables, axis, axis)
    figure = FIGURE_OF_GRID[axis]
    return (
        f"Norms and accuracy against {style.SYMBOLS[axis]}; {words.describe(tables, axis)}. "
        f"{words.panels(tables, figure)} {words.within_seeds(points, means, axis)} "
        f"Oscillation regime only, {words.left_out(tables, axis)}. {words.peaks(points)} "
        f"Verdicts: {verdicts.of_figure(tables, figure)}."
    )


def alt(tables: Tables, axis: str) -> str:
    """Say in words how the means run."""
    _, means = effect.load(tables, axis, axis)
    return f"Line plots against {axis}. {words.runs(means, axis)}."
