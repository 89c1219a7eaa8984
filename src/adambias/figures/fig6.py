"""Figure 6: the log of the norm against the epoch, over beta2 (left) and beta1 (right)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from adambias.config.claims import claims_of
from adambias.figures import effect, style
from adambias.figures.tables import Missing, Tables

TITLE = "Hills of the norm over training"
CLAIMS = {c.grids[0]: (key, c) for key, c in claims_of("fig6").items() if c.statistic == "hill"}
"""The claim on the height of the hills of each grid."""
GRIDS = {grid: claim.axis for grid, (_, claim) in CLAIMS.items()}
LABELS = {
    "log10_norm": "log₁₀ of the perturbed one-norm",
    "log10_excess": "log₁₀ of its excess over p√ε",
}
LINES = ("-", "--", ":", "-.")


def draw(tables: Tables) -> Figure:
    """Draw one panel for each grid; a grid without data says so in its panel."""
    loaded = _load(tables)
    quantities = _quantities(loaded, tables.settings.floor_share)
    places = [(quantity, grid) for quantity in quantities for grid in GRIDS]
    figure, axes = style.panels(len(places), columns=2, aspect=0.78)
    for ax, (quantity, grid) in zip(axes, places, strict=True):
        if loaded[grid].empty:
            style.say(ax, f"No oscillation trials\nof the grid {grid}")
            continue
        means = effect.of_grid(tables.frame("hill_means.parquet"), grid, GRIDS[grid])
        _draw_panel(ax, loaded[grid], means, GRIDS[grid], quantity)
        if quantity == quantities[0]:
            network = effect.describe(tables, grid).split(",")[0]
            effect.title(ax, f"{network}; {effect.beside_claim(tables, CLAIMS[grid][0])}")
    return figure


def _quantities(loaded: Mapping[str, pd.DataFrame], floor_share: float) -> tuple[str, ...]:
    """Add the excess over p√ε where that floor dominates the norm for most of the training."""
    share = pd.concat(each for each in loaded.values() if len(each))["floor_share"].median()
    return ("log10_norm", "log10_excess") if share >= floor_share else ("log10_norm",)


def _load(tables: Tables) -> dict[str, pd.DataFrame]:
    """Return every trial's curve by grid, none of a grid without oscillation trials."""
    curves = tables.frame("hill_curves.parquet")
    loaded = {grid: effect.of_grid(curves, grid, axis) for grid, axis in GRIDS.items()}
    if all(each.empty for each in loaded.values()):
        raise Missing(f"no oscillation trials of the grids {' and '.join(GRIDS)}")
    return loaded


def _draw_panel(
    ax: Axes, curves: pd.DataFrame, means: pd.DataFrame, axis: str, quantity: str
) -> None:
    values = sorted(curves[axis].unique())
    colours = dict(zip(values, style.sequence(len(values)), strict=True))
    several = curves["seed"].nunique() > 1
    handles: list[Line2D] = []
    for (series, line), (_, of_series) in zip(
        _lines(curves).items(), curves.groupby("series", sort=True), strict=True
    ):
        for value, group in of_series.groupby(axis, sort=True):
            mean = means[(means["series"] == series) & (means[axis] == value)]
            look = {"color": colours[value], "linestyle": line}
            _draw_value(ax, group if several else None, mean, quantity, look)
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
    ax: Axes,
    curves: pd.DataFrame | None,
    mean: pd.DataFrame,
    quantity: str,
    look: Mapping[str, Any],
) -> None:
    """Draw the seeds of one value if there are several, their mean and its band."""
    colour = look["color"]
    for _, seed in curves.groupby("seed") if curves is not None else ():
        ax.plot(seed["epoch"], seed[quantity], color=colour, alpha=0.35, linewidth=0.6, gid="seed")
    low, high = mean[f"{quantity}_low"], mean[f"{quantity}_high"]
    if low.notna().any():
        ax.fill_between(mean["epoch"], low, high, color=colour, alpha=0.16, linewidth=0, gid="band")
    ax.plot(mean["epoch"], mean[quantity], **look, gid="mean")


def _focus(ax: Axes, curves: pd.DataFrame, quantity: str) -> None:
    """Fit the y axis to what follows the steep start, so that the hills can be seen."""
    after = curves[curves["epoch"] >= 0.05 * curves["epoch"].max()][quantity].dropna()
    if after.empty:
        return
    spread = float(after.max() - after.min()) or 0.1
    ax.set_ylim(after.min() - 0.08 * spread, after.max() + 0.15 * spread)


def caption(tables: Tables) -> str:
    """Say what is shown and what was left out."""
    loaded = _load(tables)
    out = "; ".join(
        f"over {effect.SYMBOLS[axis]}, {effect.left_out(tables, grid)}"
        for grid, axis in GRIDS.items()
        if not loaded[grid].empty
    )
    verdicts = effect.listed(effect.verdicts(tables, "fig6"))
    bands = effect.interval(tables.frame("hill_means.parquet"))
    below = ""
    if "log10_excess" in _quantities(loaded, tables.settings.floor_share):
        below = "; below, of its excess over the floor p√ε, which dominates it"
    return (
        f"Log of the perturbed one-norm against the epoch, over β₂ (left) and β₁ (right){below}. "
        "In the paper it falls, rises to a hill, and falls until it flattens; here "
        f"{_count_hills(tables)}. Thick: mean over seeds with its {bands} t interval; "
        f"thin: single seeds. The steep start is cut off. Oscillation regime only: {out}. "
        f"Verdicts: {verdicts}."
    )


def _count_hills(tables: Tables) -> str:
    shown = pd.concat([effect.points(tables, grid, axis) for grid, axis in GRIDS.items()])
    shown = shown.drop_duplicates("trial")
    return f"{int(shown['has_hill'].sum())} of {len(shown)} trials have a hill"


def alt(tables: Tables) -> str:
    """Say in words where the hills are highest."""
    words = []
    for grid, axis in GRIDS.items():
        means = effect.of_grid(tables.frame("means.parquet"), grid, axis)
        if means.empty:
            words.append(f"The panel over {axis} is empty")
            continue
        kind, column = ("top of the hill", "hill")
        if means[column].isna().all():
            kind, column = ("highest norm, no hill,", "norm")
        tops = ", ".join(
            _top(row, axis, column) for _, row in means.dropna(subset=column).iterrows()
        )
        words.append(f"Mean {kind} over {axis}: {tops}")
    return f"Curves of the norm against the epoch. {'. '.join(words)}."


def _top(mean: pd.Series, axis: str, column: str) -> str:
    series = f" with {mean['series']}" if mean["series"] else ""
    return f"{mean[column]:.4g} at {axis} {mean[axis]:g}{series}"


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings behind both panels."""
    merged: dict[str, str] = {}
    for grid, axis in GRIDS.items():
        for name, value in effect.setting(tables, grid, (axis,)).items():
            both = merged.get(name, value)
            merged[name] = value if both == value else f"{both} | {value}"
    return merged
