"""The regime map: beta1 against beta2 at several h, coloured by regime."""

from __future__ import annotations

from collections.abc import Sequence

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
from adambias.figures import effect, style
from adambias.figures.tables import Tables

TITLE = "Regime map"
(GRID,) = FIGURES["regime_map"].grids
LETTERS = {"oscillation": "O", "spike": "S", "divergence": "D"}
PAPER_PAIRS = {
    "paper's figure 4": ((0.99, 0.99), (0.94, 0.999)),
    "paper's figure 5": ((0.9, 0.99), (0.999, 0.999)),
}
"""Ranges of beta1 and beta2 that the paper's figures 4 and 5 use."""
BAR_COLOURS = ("white", "#ffd54a")


def draw(tables: Tables) -> Figure:
    """Draw one panel for each rule and step size."""
    trials = _load(tables)
    several = trials["rule"].nunique() > 1
    maps = list(trials.groupby(["rule", "h"], sort=True))
    figure, axes = style.panels(len(maps), columns=min(len(maps), 3), aspect=1.0)
    for ax, ((rule, h), group) in zip(axes, maps, strict=True):
        _draw_panel(ax, _cells(group))
        ax.set_title(f"{rule}, h = {h:g}" if several else f"h = {h:g}")
    figure.legend(handles=_legend(), loc="outside lower center", ncols=2 if len(maps) < 2 else 3)
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
        row = int(np.searchsorted(beta1, cell["beta1"]))
        column = int(np.searchsorted(beta2, cell["beta2"]))
        corner = (edges2[column], edges1[row])
        size = (edges2[column + 1] - edges2[column], edges1[row + 1] - edges1[row])
        colour = style.REGIME_COLOURS[cell["regime"]]
        ax.add_patch(Rectangle(corner, *size, facecolor=colour, edgecolor="white", linewidth=1.2))
        words = f"{LETTERS[cell['regime']]} {cell['share']}".strip()
        ax.annotate(
            words, corner, xytext=(4, 4), textcoords="offset points", color="white",
            fontweight="bold", zorder=3,
        )  # fmt: skip
    ax.set(xlim=(edges2[0], edges2[-1]), ylim=(edges1[0], edges1[-1]))
    both = (max(edges1[0], edges2[0]), min(edges1[-1], edges2[-1]))
    ax.plot(both, both, color=style.INK, linestyle="--")
    for (range1, range2), inner in zip(PAPER_PAIRS.values(), BAR_COLOURS, strict=True):
        _mark(ax, range1, range2, inner)
    _decay_ticks(ax, beta1, beta2)


def _mark(ax: Axes, range1: Sequence[float], range2: Sequence[float], inner: str) -> None:
    """Draw a range of the paper's pairs, clipped to the map."""
    x, y = log_distance(range2), log_distance(range1)
    ax.plot(x, y, color=style.INK, linewidth=4, solid_capstyle="round", clip_on=True)
    ax.plot(x, y, color=inner, linewidth=2, solid_capstyle="round", clip_on=True)


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cell borders halfway between the values, on the scale log10 1/(1 − β)."""
    places = log_distance(values)
    if len(places) == 1:
        return np.array([places[0] - 0.5, places[0] + 0.5])
    middle = (places[1:] + places[:-1]) / 2
    first, last = places[0] - (middle[0] - places[0]), places[-1] + (places[-1] - middle[-1])
    return np.array([first, *middle, last])


def _decay_ticks(ax: Axes, beta1: NDArray[np.float64], beta2: NDArray[np.float64]) -> None:
    for axis, values in ((ax.xaxis, beta2), (ax.yaxis, beta1)):
        style.fixed_ticks(axis, log_distance(values), [f"{value:g}" for value in values])
    style.slant_many(ax)
    ax.set(xlabel="β₂", ylabel="β₁")
    ax.grid(False)


def _legend() -> list[Patch | Line2D]:
    handles: list[Patch | Line2D] = [
        Patch(facecolor=style.REGIME_COLOURS[name], label=f"{LETTERS[name]}: {name}")
        for name in REGIMES
    ]
    handles.append(Line2D([], [], color=style.INK, linestyle="--", label="β₁ = β₂"))
    for label, inner in zip(PAPER_PAIRS, BAR_COLOURS, strict=True):
        handles.append(
            Line2D(
                [], [], color=style.INK, linewidth=1.2, marker="s", markerfacecolor=inner,
                markeredgecolor=style.INK, label=label,
            )
        )  # fmt: skip
    return handles


def caption(tables: Tables) -> str:
    """Say what is shown and by which thresholds."""
    trials = _load(tables)
    seeds = trials["seed"].nunique()
    many = ", the commonest of the seeds with its share" if seeds > 1 else ""
    return (
        f"Regime of each training over β₁ and β₂, {_step_sizes(trials)}{many}; "
        f"{effect.describe(tables, GRID)}, n = {seeds} per pair. Axes: log 1/(1 − β). "
        "O: small oscillations; S: large spikes of the loss; D: the loss ends above its start. "
        "The bars are the pairs of the paper's figures 4 and 5 (there with other networks, data "
        "and step sizes)."
    )


def _step_sizes(trials: pd.DataFrame) -> str:
    values = ", ".join(f"{h:g}" for h in sorted(trials["h"].unique()))
    return f"h = {values}"


def alt(tables: Tables) -> str:
    """Count the regimes in words."""
    trials = _load(tables)
    words = []
    for (rule, h), group in trials.groupby(["rule", "h"]):
        counts = group["regime"].value_counts()
        listed = ", ".join(f"{counts.get(name, 0)} {name}" for name in REGIMES)
        words.append(f"{rule} at h {h:g}: {listed}")
    return f"Map of regimes over beta 1 and beta 2; {'; '.join(words)}."


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings behind the figure."""
    return effect.setting(tables, GRID, ("beta1", "beta2", "h"))
