"""What figures 4, 5 and h share: a quantity against a hyperparameter, over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from adambias.analysis import QUANTITIES, effect_table
from adambias.claims import oscillating
from adambias.figures import Missing, Tables, style

SYMBOLS = {"beta1": "β₁", "beta2": "β₂", "h": "h", "epsilon": "ε"}
LABELS = {
    "norm": "highest perturbed one-norm",
    "excess": "its excess over p√ε",
    "accuracy": "best test accuracy",
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def load(tables: Tables, grid: str, axis: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a grid's oscillation trials and their means, see :func:`analysis.effect_table`.

    Raises
    ------
    Missing
        If the grid has no trials, or none in the oscillation regime.
    """
    trials = tables.frame("trials.parquet")
    of_grid = trials[trials["grid"] == grid]
    if of_grid.empty:
        raise Missing(f"no trials of the grid {grid}")
    if oscillating(trials, grid).empty:
        raise Missing(f"none of the {len(of_grid)} trials of the grid {grid} oscillates")
    return effect_table(trials, grid, axis)


def quantities(points: pd.DataFrame, floor_share: float) -> list[str]:
    """Return what to show: the excess gets a panel where p√ε dominates the norm."""
    share = (points["norm_floor"] / points["peak_perturbed_one_norm"]).mean()
    return ["norm", "excess", "accuracy"] if share >= floor_share else ["norm", "accuracy"]


def scale_of_decay(ax: Axes, axis: str, values: Sequence[float]) -> None:
    """Put a decay β along the x axis as 1 − β, log scale, falling; ticks are the values of β."""
    ax.set_xscale("log")
    ax.invert_xaxis()
    places = [1 - value for value in values]
    ax.xaxis.set_major_locator(FixedLocator(places))
    ax.xaxis.set_major_formatter(FixedFormatter([f"{value:g}" for value in values]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(f"{SYMBOLS[axis]}  (axis: log(1 − {SYMBOLS[axis]}))")
    for label in ax.get_xticklabels() if len(values) > 5 else ():
        label.set(rotation=35, ha="right", rotation_mode="anchor")


def draw_quantity(
    ax: Axes,
    points: pd.DataFrame,
    means: pd.DataFrame,
    axis: str,
    quantity: str,
    colours: Mapping[str, style.Colour] | None = None,
) -> None:
    """Draw seeds as thin lines with small points, their mean, and its 95 % band.

    ``colours`` maps each series to a colour; by default they are told apart in order.
    """
    place = (lambda v: 1 - v) if axis.startswith("beta") else (lambda v: v)
    column = QUANTITIES[quantity]
    palette = list(style.COLOURS.values())
    for number, (series, mean) in enumerate(means.groupby("series", sort=False)):
        colour = colours[str(series)] if colours else palette[number % len(palette)]
        marker = MARKERS[number % len(MARKERS)]
        of_series = points[points["series"] == series].sort_values(axis)
        for _, seed in of_series.groupby("seed"):
            ax.plot(
                place(seed[axis]),
                seed[column],
                color=colour,
                alpha=0.4,
                linewidth=0.5 * _width(),
                marker=marker,
                markersize=0.55 * _size(),
                markeredgewidth=0,
                gid="seed",
            )
        x = place(mean[axis])
        if mean[f"{quantity}_low"].notna().any():
            low, high = mean[f"{quantity}_low"], mean[f"{quantity}_high"]
            ax.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
        ax.plot(
            x, mean[quantity], color=colour, marker=marker, label=symbols(str(series)), gid="mean"
        )
    _limit(ax, points[column], log=quantity == "excess" and bool((points[column] > 0).all()))
    ax.set_ylabel(LABELS[quantity])


def symbols(words: str) -> str:
    """Write a series label with the paper's symbols: ``β₂ = 0.9``."""
    parts = [part.split(" ", 1) for part in words.split(", ") if part]
    return ", ".join(
        f"{SYMBOLS[name]} = {rest[0]}" if name in SYMBOLS and rest else " ".join([name, *rest])
        for name, *rest in parts
    )


def _width() -> float:
    return style.measures().text / 8


def _size() -> float:
    return 3.6 * style.measures().text / 8


def _limit(ax: Axes, values: pd.Series, *, log: bool) -> None:
    """Fit the y axis to the seeds: with few of them the band may reach far beyond."""
    finite = values[np.isfinite(values)]
    if finite.empty:
        return
    if log:
        ax.set_yscale("log")
        ratio = max(float(finite.max() / finite.min()), 1.05) ** 0.3
        ax.set_ylim(finite.min() / ratio, finite.max() * ratio)
        style.plain_log(ax.yaxis)
    else:
        spread = float(finite.max() - finite.min()) or abs(float(finite.mean())) * 0.01 or 1.0
        ax.set_ylim(finite.min() - 0.3 * spread, finite.max() + 0.3 * spread)


def left_out(tables: Tables, grid: str) -> str:
    """Say how many of a grid's trials are not shown, and of which regime they are."""
    trials = tables.frame("trials.parquet", ["grid", "regime"])
    regimes = trials.loc[trials["grid"] == grid, "regime"]
    out = regimes[regimes != "oscillation"].value_counts()
    if out.empty:
        return f"none of {len(regimes)} trials left out"
    kinds = ", ".join(f"{count} {regime}" for regime, count in sorted(out.items()))
    return f"{out.sum()} of {len(regimes)} trials left out ({kinds})"


def falling(points: pd.DataFrame) -> str:
    """Say in how many trials the highest norm is no hill's top but where the search began."""
    edge = int(points["peak_at_edge"].sum())
    if edge == 0:
        return "In every trial the highest norm is the top of a hill."
    return (
        f"In {edge} of {len(points)} trials the norm falls from the start of that part on, so its "
        "highest value is its first, and no hill's top."
    )


def count_seeds(points: pd.DataFrame) -> str:
    """Say over how many seeds means are taken: ``n = 3``."""
    return f"n = {points['seed'].nunique()}"


def setting(tables: Tables, grid: str, axes: Sequence[str]) -> dict[str, str]:
    """Return the settings behind a grid: a value each, or those that it varies."""
    names = (
        *("dataset", "model", "norm", "activation", "rule", "h", "beta1", "beta2", "epsilon"),
        *("epsilon_placement", "epochs", "batch_size", "ghost_batch_size", "precision", "seed"),
    )
    trials = tables.frame("trials.parquet")
    trials = trials[trials["grid"] == grid]
    listed = {name: _values(trials[name]) for name in names if name in trials}
    plain = {"none", "batch of all"}
    return {k: v for k, v in listed.items() if v not in plain or k in axes}


def _values(column: pd.Series) -> str:
    values = sorted(column.dropna().unique())
    if not values:
        return "none"
    return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)


def describe(tables: Tables, grid: str) -> str:
    """Name a grid's network, data and rule in a few words."""
    chosen = setting(tables, grid, ())
    return f"{chosen['model']} on {chosen['dataset']}, full batch"


def verdict_words(tables: Tables, keys: Sequence[str]) -> str:
    """Return the verdicts on some claims as a sentence for a caption."""
    claims = tables.json("metrics.json")["claims"]
    words = [
        f"{name}: {claims[key]['found']}, {claims[key]['verdict']}"
        for name, key in zip(("norm", "accuracy"), keys, strict=False)
        if key in claims
    ]
    return f"With the paper's claim, {'; '.join(words)}." if words else ""
