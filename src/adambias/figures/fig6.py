"""Figure 6: the log of the norm against the epoch, over beta2 (left) and beta1 (right)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from adambias.analysis.claims.trainings import oscillating, with_series
from adambias.analysis.curves import log_curves
from adambias.analysis.trends import band
from adambias.figures import effect, style
from adambias.figures.registry import Missing, Tables

TITLE = "Hills of the norm over training"
GRIDS = {"hills_beta2": "beta2", "hills_beta1": "beta1"}
LABELS = {
    "log10_norm": "log₁₀ of the perturbed one-norm",
    "log10_excess": "log₁₀ of its excess over p√ε",
}
LINES = ("-", "--", ":", "-.")


def draw(tables: Tables) -> Figure:
    """Draw one panel for each grid; a grid without data says so in its panel."""
    loaded = {grid: _load(tables, grid) for grid in GRIDS}
    if all(curves.empty for curves in loaded.values()):
        raise Missing("no oscillation trials of the grids hills_beta2 and hills_beta1")
    quantities = _quantities(loaded, tables.settings.floor_share)
    places = [(quantity, grid) for quantity in quantities for grid in GRIDS]
    figure, axes = style.panels(len(places), columns=2, aspect=0.78)
    for ax, (quantity, grid) in zip(axes, places, strict=True):
        if loaded[grid].empty:
            style.say(ax, f"No oscillation trials\nof the grid {grid}")
            continue
        _draw_panel(ax, loaded[grid], GRIDS[grid], quantity)
        if quantity == quantities[0]:
            network = effect.describe(tables, grid).split(",")[0]
            effect.title(ax, f"{network}; {effect.beside_claim(tables, f'fig6_{grid}')}")
    return figure


def _quantities(loaded: Mapping[str, pd.DataFrame], floor_share: float) -> tuple[str, ...]:
    """Add the excess over p√ε where that floor dominates the norm for most of the training."""
    shown = [each for each in loaded.values() if not each.empty]
    if not shown:
        return ("log10_norm",)
    curves = pd.concat(shown)
    share = (curves["norm_floor"] / curves["perturbed_one_norm"]).median()
    return ("log10_norm", "log10_excess") if share >= floor_share else ("log10_norm",)


def _load(tables: Tables, grid: str) -> pd.DataFrame:
    axis = GRIDS[grid]
    points = with_series(oscillating(tables.frame("trials.parquet"), grid), axis)
    curves = tables.frame("curves.parquet", ["trial", "grid", "epoch", "perturbed_one_norm"])
    return log_curves(curves[curves["grid"] == grid], points, axis)


def _draw_panel(ax: Axes, curves: pd.DataFrame, axis: str, quantity: str) -> None:
    values = sorted(curves[axis].unique())
    colours = dict(zip(values, style.sequence(len(values)), strict=True))
    several = curves["seed"].nunique() > 1
    handles: list[Line2D] = []
    for (series, line), (_, of_series) in zip(
        _lines(curves).items(), curves.groupby("series", sort=True), strict=True
    ):
        for value, group in of_series.groupby(axis, sort=True):
            _draw_value(ax, group, quantity, colours[value], line, several=several)
        if series:
            label = effect.symbols(series)
            handles += ax.plot([], [], color=style.INK, linestyle=line, label=label)
    _focus(ax, curves, quantity)
    ax.set(xlabel="epoch", ylabel=LABELS[quantity])
    shades = [Line2D([], [], color=colours[v], label=f"{v:g}") for v in values]
    ax.legend(handles=[*shades, *handles], title=effect.SYMBOLS[axis], loc="best")
    per_value = curves.groupby(["series", axis])["seed"].nunique().to_frame("n")
    style.note(ax, effect.count_seeds(per_value), at=(0.02, 0.03))


def _lines(curves: pd.DataFrame) -> dict[str, str]:
    """Return the kind of line of each series."""
    return dict(zip(sorted(curves["series"].unique()), itertools.cycle(LINES), strict=False))


def _draw_value(
    ax: Axes, curves: pd.DataFrame, quantity: str, colour: style.Colour, line: str, *, several: bool
) -> None:
    """Draw the seeds of one value, their mean and its band."""
    for _, seed in curves.groupby("seed") if several else ():
        ax.plot(seed["epoch"], seed[quantity], color=colour, alpha=0.35, linewidth=0.6, gid="seed")
    mean = band(curves.groupby("epoch")[quantity], quantity)
    low, high = mean[f"{quantity}_low"], mean[f"{quantity}_high"]
    if low.notna().any():
        ax.fill_between(mean.index, low, high, color=colour, alpha=0.16, linewidth=0, gid="band")
    ax.plot(mean.index, mean[quantity], color=colour, linestyle=line, gid="mean")


def _focus(ax: Axes, curves: pd.DataFrame, quantity: str) -> None:
    """Fit the y axis to what follows the steep start, so that the hills can be seen."""
    after = curves[curves["epoch"] >= 0.05 * curves["epoch"].max()][quantity].dropna()
    if after.empty:
        return
    spread = float(after.max() - after.min()) or 0.1
    ax.set_ylim(after.min() - 0.08 * spread, after.max() + 0.15 * spread)


def caption(tables: Tables) -> str:
    """Say what is shown and what was left out."""
    out = "; ".join(
        f"over {effect.SYMBOLS[axis]}, {effect.left_out(tables, grid)}"
        for grid, axis in GRIDS.items()
        if not _load(tables, grid).empty
    )
    words = {
        "hills over β₂": "fig6_hills_beta2",
        "hills over β₁": "fig6_hills_beta1",
        "share of the training at which a larger β₁ has the smaller norm": "fig6_most_of_training",
        "shape": "fig6_shape",
    }
    verdicts = "; ".join(
        f"{word}, {said}"
        for word, key in words.items()
        if (said := effect.beside_claim(tables, key))
    )
    loaded = {grid: _load(tables, grid) for grid in GRIDS}
    below = ""
    if "log10_excess" in _quantities(loaded, tables.settings.floor_share):
        below = "; below, of its excess over the floor p√ε, which dominates it"
    return (
        f"Log of the perturbed one-norm against the epoch, over β₂ (left) and β₁ (right){below}. "
        "In the paper it falls, rises to a hill, and falls until it flattens; here "
        f"{_count_hills(tables)}. Thick: mean over seeds with its 95 % t interval; thin: single "
        f"seeds. The steep start is cut off. Oscillation regime only: {out}. Verdicts: {verdicts}."
    )


def _count_hills(tables: Tables) -> str:
    trials = tables.frame("trials.parquet")
    shown = pd.concat([oscillating(trials, grid) for grid in GRIDS]).drop_duplicates("trial")
    return f"{int(shown['has_hill'].sum())} of {len(shown)} trials have a hill"


def alt(tables: Tables) -> str:
    """Say in words where the hills are highest."""
    words = []
    for grid, axis in GRIDS.items():
        trials = with_series(oscillating(tables.frame("trials.parquet"), grid), axis)
        if trials.empty:
            words.append(f"The panel over {axis} is empty")
            continue
        kind, column = ("top of the hill", "hill_norm")
        if trials[column].isna().all():
            kind, column = ("highest norm, no hill,", "peak_perturbed_one_norm")
        means = trials.groupby(axis)[column].mean().dropna()
        tops = ", ".join(f"{top:.4g} at {axis} {value:g}" for value, top in means.items())
        words.append(f"Mean {kind} over {axis}: {tops}")
    return f"Curves of the norm against the epoch. {'. '.join(words)}."


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings behind both panels."""
    merged: dict[str, str] = {}
    for grid, axis in GRIDS.items():
        for name, value in effect.setting(tables, grid, (axis,)).items():
            both = merged.get(name, value)
            merged[name] = value if both == value else f"{both} | {value}"
    return merged
