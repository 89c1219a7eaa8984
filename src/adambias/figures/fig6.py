"""Figure 6: the norm over training, against epoch and loss, over beta2 (left) and beta1 (right)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from adambias.config.claims import claims_of
from adambias.figures import effect, style, verdicts, words
from adambias.figures.tables import Missing, Tables

TITLE = "Hills of the norm over training"
CLAIMS = {c.grids[0]: (key, c) for key, c in claims_of("fig6").items() if "hill" in c.readings}
"""The claim on the height of the hills of each grid."""
GRIDS = {grid: claim.axis for grid, (_, claim) in CLAIMS.items()}
LABELS = {
    "epoch": "norm\n(powers of ten)",
    "loss": "norm at equal loss\n(excess, powers of ten)",
}
CUT = 0.05
"""First part of a training that may be cut off at the top."""
ROOM = 0.125
"""Height that is left free for each line of the legend, over that of the curves."""


def draw(tables: Tables) -> Figure:
    """Draw the norm against the epoch above, against the loss below; an empty panel says so."""
    points = _load(tables)
    figure, axes = style.panels(2 * len(GRIDS), columns=2, aspect=0.78)
    for ax, (along, grid) in zip(axes, itertools.product(LABELS, GRIDS), strict=True):
        if points[grid].empty:
            style.say(ax, f"No oscillation trials\nof the grid {grid}")
        elif along == "epoch":
            _draw_epochs(ax, tables, points[grid], grid)
        else:
            _draw_losses(ax, tables, points[grid], grid)
    return figure


def _load(tables: Tables) -> dict[str, pd.DataFrame]:
    """Return the trials shown by grid, none of a grid without oscillation trials."""
    loaded = {grid: effect.points(tables, grid, axis) for grid, axis in GRIDS.items()}
    if all(each.empty for each in loaded.values()):
        raise Missing(f"no oscillation trials of the grids {' and '.join(GRIDS)}")
    return loaded


def _draw_epochs(ax: Axes, tables: Tables, points: pd.DataFrame, grid: str) -> None:
    """Draw the log-norm against the epoch, with the hills' tops."""
    axis = GRIDS[grid]
    curves = effect.of_grid(tables.frame("hill_curves.parquet"), grid, axis)
    means = effect.of_grid(tables.frame("hill_means.parquet"), grid, axis)
    if curves["seed"].nunique() > 1:
        for (value, _), seed in curves.groupby([axis, "trial"], observed=True):
            colour = _colours(points, axis)[value]
            ax.plot(
                seed["epoch"], seed["log10_norm"], color=colour, alpha=0.35, linewidth=0.6,
                gid="seed",
            )  # fmt: skip
    _draw_means(ax, points, means, axis, ("epoch", "log10_norm"))
    _mark_hills(ax, points, axis)
    _focus(ax, curves, means)
    ax.set(xlabel="epoch", ylabel=LABELS["epoch"])
    _finish(ax, tables, points, grid, "hill")


def _focus(ax: Axes, curves: pd.DataFrame, means: pd.DataFrame) -> None:
    """Fit the y axis to what follows the steep start, which would leave the hills no height."""
    curves, means = (t[t["epoch"] >= CUT * t["epoch"].max()] for t in (curves, means))
    bounds = [means[f"log10_norm{end}"] for end in ("_low", "_high")]
    heights = pd.concat([curves["log10_norm"], *bounds])
    if heights.notna().any():
        spread = float(heights.max() - heights.min()) or 0.1
        ax.set_ylim(heights.min() - 0.08 * spread, heights.max() + 0.08 * spread)


def _draw_losses(ax: Axes, tables: Tables, points: pd.DataFrame, grid: str) -> None:
    """Draw the log of the norm's excess against the loss, which falls to the right."""
    axis = GRIDS[grid]
    means = effect.of_grid(tables.frame("level_means.parquet"), grid, axis)
    if means.empty:
        style.say(ax, "The trainings have no\nrange of losses in common")
        return
    window = verdicts.loss_window(tables, "fig6")
    if window:
        ax.axvspan(*window, color="#efefef", zorder=0, gid="window")
    _draw_means(ax, points, means, axis, ("loss", "log10_excess"))
    ax.set_xscale("log")
    ax.set_xlim(1.0, means["loss"].min())
    style.plain_log(ax.xaxis)
    ax.set(xlabel="training loss (fraction of its start)", ylabel=LABELS["loss"])
    _finish(ax, tables, points, grid, CLAIMS[grid][1].statistic)


def _draw_means(
    ax: Axes, points: pd.DataFrame, means: pd.DataFrame, axis: str, columns: tuple[str, str]
) -> None:
    """Draw the mean over seeds of each value of the axis, and its band."""
    x, y = columns
    for (series, value), mean in means.groupby(["series", axis], sort=True):
        colour, line = _colours(points, axis)[value], _lines(points)[series]
        low, high = mean[f"{y}_low"], mean[f"{y}_high"]
        if low.notna().any():
            ax.fill_between(mean[x], low, high, color=colour, alpha=0.16, linewidth=0, gid="band")
        ax.plot(mean[x], mean[y], color=colour, linestyle=line, gid="mean")


def _colours(points: pd.DataFrame, axis: str) -> dict[Any, style.Colour]:
    return style.shades(points[axis])


def _lines(points: pd.DataFrame) -> dict[Any, Any]:
    """Return the kind of line of each series."""
    series = sorted(points["series"].unique())
    return dict(zip(series, itertools.cycle(effect.LINES), strict=False))


def _mark_hills(ax: Axes, points: pd.DataFrame, axis: str) -> None:
    """Mark the top of each trial's hill."""
    for value, colour in _colours(points, axis).items():
        hills = points[(points[axis] == value) & points["has_hill"].astype(bool)]
        ax.plot(
            hills["hill_epoch"], np.log10(hills["hill_norm"]), linestyle="none", marker="^",
            color=colour, markeredgecolor=style.INK, markeredgewidth=0.5, zorder=4, gid="hill",
        )  # fmt: skip


def _finish(ax: Axes, tables: Tables, points: pd.DataFrame, grid: str, statistic: str) -> None:
    """Add the legend, in room made for it above the curves, the verdict and the number of seeds."""
    axis = GRIDS[grid]
    shades = [Line2D([], [], color=c, label=f"{v:g}") for v, c in _colours(points, axis).items()]
    kinds = [
        Line2D([], [], color=style.INK, linestyle=line, label=words.symbols(series))
        for series, line in _lines(points).items()
        if series
    ]
    blank = Line2D([], [], linestyle="none", label=" ")
    # A legend is filled column by column: the second line is of the kinds.
    pairs = itertools.zip_longest(shades, kinds, fillvalue=blank)
    handles = [*itertools.chain.from_iterable(pairs)] if kinds else shades
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + ROOM * (3 if kinds else 2) * (high - low))
    judged = verdicts.whose(tables, [grid])
    ax.legend(
        handles=handles,
        title=f"{style.SYMBOLS[axis]}; verdict {judged}" if judged else style.SYMBOLS[axis],
        loc="upper right",
        ncols=max(len(shades), len(kinds)),
        columnspacing=1.0,
    )
    said = verdicts.readings(tables, CLAIMS[grid][0]).get(statistic, "")
    effect.title(ax, f"{_READ[statistic]}, {said}" if said else "")
    seeds = points.groupby(["series", axis])["seed"].nunique()
    style.note(ax, words.span(seeds), at=(0.02, 0.03))


_READ = {"hill": "height of the hills", "progress": "at equal progress"}


def caption(tables: Tables) -> str:
    """Say what is shown and what was left out."""
    points = _load(tables)
    out = "; ".join(
        f"over {style.SYMBOLS[axis]}, {words.left_out(tables, grid)}"
        for grid, axis in GRIDS.items()
        if not points[grid].empty
    )
    network = next(words.describe(tables, grid) for grid in GRIDS if len(points[grid]))
    bands = words.interval(tables.frame("means.parquet"))
    return (
        f"The perturbed one-norm over training, over β₂ (left) and β₁ (right); {network}. "
        "Above, as in the paper: its log₁₀ against the epoch, the steep start cut off; triangles "
        f"mark the tops of the smoothed hills, {_count_hills(points)}. In the paper the norm "
        "falls, rises to a hill, and falls until it flattens. Below: log₁₀ of its excess over the "
        "floor p√ε against the training loss, which falls to the right, over the range that all "
        f"trainings have in common{_window_words(tables)}. Thick: mean over seeds with its {bands} "
        f"t interval; thin: single seeds. Oscillation regime only: {out}. "
        f"Verdicts: {verdicts.of_figure(tables, 'fig6')}."
    )


def _window_words(tables: Tables) -> str:
    window = verdicts.loss_window(tables, "fig6")
    return "; norms are compared within the grey range" if window else ""


def _count_hills(points: Mapping[str, pd.DataFrame]) -> str:
    shown = pd.concat(points.values()).drop_duplicates("trial")
    return f"in {int(shown['has_hill'].sum())} of {len(shown)} trials"


def alt(tables: Tables) -> str:
    """Say in words how high the hills are, and the norms at equal progress."""
    said = []
    for grid, axis in GRIDS.items():
        means = effect.of_grid(tables.frame("means.parquet"), grid, axis)
        if means.empty:
            said.append(f"The panels over {axis} are empty")
            continue
        for column, kind in {"hill": "hills' tops", "progress": "norm at equal progress"}.items():
            there = means.dropna(subset=column)
            tops = ", ".join(_top(row, axis, column) for row in there.to_dict("records"))
            said.append(f"Mean log10 excess of the {kind} over {axis}: {tops or 'none'}")
    return f"Curves of the norm against the epoch, above, and the loss, below. {'. '.join(said)}."


def _top(mean: Mapping[Any, Any], axis: str, column: str) -> str:
    series = f" with {mean['series']}" if mean["series"] else ""
    return f"{mean[column]:.4g} at {mean[axis]:g}{series}"


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings behind both sides."""
    merged: dict[str, str] = {}
    for grid, axis in GRIDS.items():
        for name, value in words.setting(tables, grid, (axis,)).items():
            both = merged.get(name, value)
            merged[name] = value if both == value else f"{both} | {value}"
    return merged
