"""The regime map: beta1 against beta2 at several h, coloured by regime."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from adambias.config.analysis import REGIMES
from adambias.config.figures import FIGURES
from adambias.core.decays import log_distance
from adambias.figures import style, words
from adambias.figures.tables import Tables

TITLE = "Regime map"
(GRID,) = FIGURES["regime_map"].grids
LETTERS = {"oscillation": "O", "spike": "S", "divergence": "D"}


def draw(tables: Tables) -> Figure:
    """Draw one panel for each rule and step size."""
    trials = _load(tables)
    several = trials["rule"].nunique() > 1
    maps = list(trials.groupby(["rule", "h"], sort=True))
    figure, axes = style.panels(len(maps), columns=min(len(maps), 3), aspect=1.0)
    for ax, ((rule, h), group) in zip(axes, maps, strict=True):
        _draw_panel(ax, _cells(group))
        ax.set_title(f"{rule}, h = {h:g}" if several else f"h = {h:g}")
    ncols = 2 if style.is_narrow() or len(maps) == 1 else 4
    figure.legend(handles=_legend(), loc="outside lower center", ncols=ncols)
    return figure


def _load(tables: Tables) -> pd.DataFrame:
    trials = tables.frame("trials.parquet")
    return trials[trials["grid"] == GRID]


def _cells(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the commonest regime of each pair of decays, the worse of two as common."""
    worst_first = sorted(REGIMES, key=REGIMES.index, reverse=True)
    rows = []
    for (beta1, beta2), group in trials.groupby(["beta1", "beta2"]):
        counts = group["regime"].value_counts()
        most = counts.max()
        regime = next(name for name in worst_first if counts.get(name, 0) == most)
        share = f"{counts[regime]}/{len(group)}" if counts[regime] < len(group) else ""
        rows.append({"beta1": beta1, "beta2": beta2, "regime": regime, "share": share})
    return pd.DataFrame(rows)


def _draw_panel(ax: Axes, cells: pd.DataFrame) -> None:
    beta1, beta2 = (np.sort(cells[name].unique()) for name in ("beta1", "beta2"))
    edges1, edges2 = _edges(beta1), _edges(beta2)
    for cell in cells.to_dict("records"):
        column = int(np.searchsorted(beta1, cell["beta1"]))
        row = int(np.searchsorted(beta2, cell["beta2"]))
        corner = (edges1[column], edges2[row])
        size = (edges1[column + 1] - edges1[column], edges2[row + 1] - edges2[row])
        colour = style.REGIME_COLOURS[cell["regime"]]
        ax.add_patch(Rectangle(corner, *size, facecolor=colour, edgecolor="white", linewidth=1.2))
        middle = (corner[0] + size[0] / 2, corner[1] + size[1] / 2)
        _write(ax, f"{LETTERS[cell['regime']]} {cell['share']}".strip(), middle, colour)
    ax.set(xlim=(edges1[0], edges1[-1]), ylim=(edges2[0], edges2[-1]))
    both = (max(edges1[0], edges2[0]), min(edges1[-1], edges2[-1]))
    ax.plot(both, both, color=style.INK, linestyle="--")
    _decay_ticks(ax, beta1, beta2)


def _write(ax: Axes, said: str, place: tuple[float, float], colour: style.Colour) -> None:
    """Write into a cell, over the line that may cross it, in black or white, as reads better."""
    light = np.dot(colour, (0.299, 0.587, 0.114)) > 0.5
    ax.annotate(
        said, place, ha="center", va="center", fontweight="bold", zorder=3,
        fontsize=(0.95 if " " in said else 1.15) * style.measures().text,
        color=style.INK if light else "white",
        bbox={"facecolor": colour, "edgecolor": "none", "boxstyle": "round,pad=0.15"},
    )  # fmt: skip


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cell borders halfway between the values, on the scale log10 1/(1 − β)."""
    places = log_distance(values)
    if len(places) == 1:
        return np.array([places[0] - 0.5, places[0] + 0.5])
    middle = (places[1:] + places[:-1]) / 2
    first, last = places[0] - (middle[0] - places[0]), places[-1] + (places[-1] - middle[-1])
    return np.array([first, *middle, last])


def _decay_ticks(ax: Axes, beta1: NDArray[np.float64], beta2: NDArray[np.float64]) -> None:
    for axis, values in ((ax.xaxis, beta1), (ax.yaxis, beta2)):
        style.fixed_ticks(axis, log_distance(values), [f"{value:g}" for value in values])
    style.slant_crowded(ax)
    ax.set(xlabel=style.SYMBOLS["beta1"], ylabel=style.SYMBOLS["beta2"])
    ax.grid(False)


def _legend() -> list[Patch | Line2D]:
    handles: list[Patch | Line2D] = [
        Patch(facecolor=style.REGIME_COLOURS[name], label=f"{LETTERS[name]}: {name}")
        for name in REGIMES
    ]
    return [*handles, Line2D([], [], color=style.INK, linestyle="--", label="β₁ = β₂")]


def caption(tables: Tables) -> str:
    """Say what is shown and by which thresholds."""
    trials = _load(tables)
    seeds = trials["seed"].nunique()
    many = ", the commonest of the seeds with its share" if seeds > 1 else ""
    return (
        f"Regime of each training over β₁ and β₂, {_step_sizes(trials)}{many}; "
        f"{words.describe(tables, GRID)}, n = {seeds} per pair. Axes: log 1/(1 − β). "
        "O: small oscillations; S: the loss leaps and comes down again; D: it ends above its "
        f"start, leaps and stays up, or is no number any more. {_at_the_edge(trials)}"
    ).rstrip()


def _at_the_edge(trials: pd.DataFrame) -> str:
    """Say how far above the threshold of stability the trainings of each regime come."""
    if "edge_highest" not in trials or trials["edge_highest"].isna().all():
        return ""
    said = []
    for name in REGIMES:
        of = trials[(trials["regime"] == name) & trials["edge_highest"].notna()]
        if len(of):
            near = of["edge_near"].dropna()
            share = (
                f", within a factor of 2 of it {near.median():.0%} of the time" if len(near) else ""
            )
            said.append(f"{name} {of['edge_highest'].median():.3g}{share} (n = {len(of)})")
    return (
        "Curvature over the threshold of stability where it was measured, median over trainings of "
        f"the highest, and from where it first comes to the threshold: {'; '.join(said)}."
    )


def _step_sizes(trials: pd.DataFrame) -> str:
    values = ", ".join(f"{h:g}" for h in sorted(trials["h"].unique()))
    return f"h = {values}"


def alt(tables: Tables) -> str:
    """Count the regimes in words."""
    trials = _load(tables)
    said = []
    for (rule, h), group in trials.groupby(["rule", "h"]):
        counts = group["regime"].value_counts()
        listed = ", ".join(f"{counts.get(name, 0)} {name}" for name in REGIMES)
        said.append(f"{rule} at h {h:g}: {listed}")
    return f"Map of regimes over beta 1 and beta 2; {'; '.join(said)}."


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings behind the figure."""
    return words.setting(tables, GRID, ("beta1", "beta2", "h"))
