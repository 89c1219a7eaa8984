"""What figures 4, 5 and h share: quantities against a hyperparameter, within seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from adambias.config.claims import claims_of
from adambias.figures import style, words
from adambias.figures.tables import Missing, Tables

LABELS = {
    "progress": "norm at equal progress\n(excess, powers of ten)",
    "peak": "highest norm\n(excess, powers of ten)",
    "accuracy": "late test accuracy\n(fraction)",
}
"""What the y axis of each panel says."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", ":", "-.")
SIDES: tuple[dict[str, Any], ...] = (
    {"color": style.COLOURS["blue"], "marker": "o"},
    {"color": style.COLOURS["vermillion"], "marker": "s"},
)
"""Looks of the two sides of β₁ = β₂, in the order of the claims on h."""

Looks = Mapping[str, dict[str, Any]]
"""Colour, marker and kind of line by series."""


def load(tables: Tables, grid: str, axis: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a grid's oscillation trials with their ``series``, and the means over seeds.

    Raises
    ------
    Missing
        If none of the trials is in the oscillation regime with a norm that can be compared.
    """
    shown = points(tables, grid, axis)
    trials = tables.frame("trials.parquet", ["grid"])
    if shown.empty:
        number = int((trials["grid"] == grid).sum())
        raise Missing(f"none of the {number} trials of the grid {grid} oscillates")
    if shown[["progress_log10_excess", "peak_log10_excess"]].isna().all(axis=None):
        raise Missing(
            f"no trial of the grid {grid} goes through the losses compared, or has a norm after "
            "the initial part"
        )
    return shown, of_grid(tables.frame("means.parquet"), grid, axis)


def points(tables: Tables, grid: str, axis: str) -> pd.DataFrame:
    """Return a grid's oscillation trials with all their columns and their ``series``."""
    table = tables.frame("points.parquet")
    chosen = table[(table["grid"] == grid) & (table["axis"] == axis)]
    trials = tables.frame("trials.parquet")
    return chosen.merge(trials[trials["grid"] == grid], on=["grid", "trial"])


def of_grid(table: pd.DataFrame, grid: str, axis: str) -> pd.DataFrame:
    """Return the rows of a grid, with the hyperparameter's name in place of ``value``."""
    chosen = table[(table["grid"] == grid) & (table["axis"] == axis)]
    return chosen.drop(columns="axis").rename(columns={"value": axis})


def looks(points: pd.DataFrame, axis: str) -> Looks:
    """Return the looks of each series of a grid.

    Along h both sides of β₁ = β₂ keep their colour and marker in every panel, and series of one
    side differ in their kind of line. Elsewhere series differ in colour and marker.
    """
    if axis == "h":
        return {
            name: {**side, "linestyle": LINES[i % len(LINES)]}
            for claim, side in zip(claims_of("h").values(), SIDES, strict=True)
            for i, name in enumerate(sorted(claim.select(points)["series"].unique()))
        }
    palette = list(style.COLOURS.values())
    return {
        name: {"color": palette[i % len(palette)], "marker": MARKERS[i % len(MARKERS)]}
        for i, name in enumerate(sorted(points["series"].unique()))
    }


def aspect() -> float:
    """Return height over width of one of three panels; they are wide where they are stacked."""
    return 0.72 if style.is_narrow() else 1.05


def scale_of_decay(ax: Axes, axis: str, values: Sequence[float]) -> None:
    """Put a decay β along the x axis as 1 − β, log scale, falling; ticks are the values of β."""
    places, symbol = [1 - value for value in values], style.SYMBOLS[axis]
    ax.set_xlim(1.15 * max(places), min(places) / 1.15)
    ax.set_xscale("log")
    style.fixed_ticks(ax.xaxis, places, [f"{value:g}" for value in values])
    style.slant_crowded(ax)
    ax.set_xlabel(f"{symbol} (log scale in 1 − {symbol})")


def draw_quantity(
    ax: Axes, points: pd.DataFrame, means: pd.DataFrame, axis: str, quantity: str
) -> None:
    """Draw seeds as thin lines with small points, their mean, and its band, all within seeds."""
    name = f"{quantity}_within"
    ax.set_ylabel(LABELS[quantity])
    if points[name].isna().all():
        style.say(ax, f"No seed has this number\nat every {style.SYMBOLS[axis]}")
        return
    place = (lambda v: 1 - v) if axis.startswith("beta") else (lambda v: v)
    chosen = looks(points, axis)
    for series, mean in means.groupby("series", sort=False):
        look = chosen[str(series)]
        of_series = points[points["series"] == series].dropna(subset=name).sort_values(axis)
        for _, seed in of_series.groupby("seed"):
            ax.plot(place(seed[axis]), seed[name], **look, **thin())
        x, low, high = place(mean[axis]), mean[f"{name}_low"], mean[f"{name}_high"]
        if low.notna().any():
            colour = look["color"]
            ax.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0, gid="band")
        ax.plot(x, mean[name], **look, label=words.symbols(str(series)), gid="mean")


def thin() -> dict[str, Any]:
    """Return the looks of a single seed beside the mean."""
    scale = style.measures().text / 8
    return {
        "alpha": 0.4,
        "linewidth": 0.5 * scale,
        "markersize": 2.0 * scale,
        "markeredgewidth": 0,
        "gid": "seed",
    }


def legend(
    figure: Figure, axes: Sequence[Axes], points: pd.DataFrame, means: pd.DataFrame, judged: str
) -> None:
    """Name the series above the panels, what is a seed, a mean and a band, and how many seeds.

    ``judged`` says whose trainings verdicts are of, where a figure has others too.
    """
    drawn = next(ax for ax in axes if ax.lines)
    lines = [line for line in drawn.lines if line.get_gid() == "mean"]
    single = len(lines) == 1
    handles: list[Line2D | Patch] = [] if single else [*lines]
    names = [str(handle.get_label()) for handle in handles]
    colour = lines[0].get_color() if single else style.FAINT
    number = words.count_seeds(points)
    if number == "n = 1":
        handles.append(Line2D([], [], color=colour))
        names.append("one seed, n = 1")
    else:
        handles += [
            Line2D([], [], color=colour, marker="o", **thin()),
            Line2D([], [], color=colour, marker="o"),
            Patch(facecolor=colour, alpha=0.16),
        ]
        names += [
            *("one seed, shifted to the common mean", f"mean over seeds, {number}"),
            f"its {words.interval(means)} interval",
        ]
    if judged:
        handles.append(Line2D([], [], linestyle="none"))
        names.append(f"verdicts: {judged}")
    columns = 1 if style.is_narrow() else min(len(names), 3)
    figure.legend(handles, names, loc="outside upper center", ncols=columns)


def say_if_one(ax: Axes, means: pd.DataFrame, axis: str) -> None:
    """Say that a grid with one value shows no trend."""
    values = means[axis].unique()
    if len(values) == 1:
        style.note(ax, f"no trend: only {style.SYMBOLS[axis]} = {values[0]:g}", at=(0.02, 0.03))


def title(ax: Axes, said: str, size: float = 0.85) -> None:
    """Put a remark above a panel, in letters smaller than the text's by a factor."""
    ax.set_title(said, fontsize=size * style.measures().text, color="#555555")
