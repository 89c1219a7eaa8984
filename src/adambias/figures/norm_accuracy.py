"""The norm against the test accuracy, within seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from adambias.config.claims import PAPER_RULE
from adambias.figures import effect, style, words
from adambias.figures.tables import Missing, Tables

TITLE = "Norm against test accuracy, within seeds"
X, Y = "progress_within", "accuracy_within"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """What a panel shows: trials of one grid, network, dataset and rule.

    Parameters
    ----------
    axis : str
        The hyperparameter that the grid varies.
    name : str
        What the panel is called.
    rank : str
        The rank correlation within seeds, in words.
    points, means : DataFrame
        Its trials, and their means over seeds.
    looks : mapping
        Colour and marker of each series.
    """

    axis: str
    name: str
    rank: str
    points: pd.DataFrame
    means: pd.DataFrame
    looks: effect.Looks


def draw(tables: Tables) -> Figure:
    """Draw a panel for each grid, network, dataset and rule, a line for each seed."""
    panels = _load(tables)
    figure, axes = style.panels(len(panels), columns=min(len(panels), 2), aspect=0.72)
    for ax, panel in zip(axes, panels, strict=True):
        ax.set(xlabel=effect.LABELS["progress"], ylabel=effect.LABELS["accuracy"])
        if panel.points.empty:
            style.say(ax, f"No seed has both numbers\nat every {style.SYMBOLS[panel.axis]}")
        else:
            _draw_panel(ax, panel)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        effect.title(ax, f"{panel.name}\n{panel.rank}", size=0.8)
    ink: dict[str, Any] = {"color": style.INK, "marker": "o"}
    handles = [
        Line2D([], [], **ink, **effect.thin()),
        Line2D([], [], **ink),
        Line2D([], [], **ink, markerfacecolor="white"),
    ]
    names = ["one seed, shifted to the common mean", "mean over seeds", "at the smallest value"]
    columns = 1 if style.is_narrow() else len(names)
    figure.legend(handles, names, loc="outside upper center", ncols=columns)
    return figure


def _draw_panel(ax: Axes, panel: Panel) -> None:
    """Draw each series' seeds and means as lines through the values of the axis."""
    for series, of_series in panel.points.groupby("series", sort=True):
        look = panel.looks[str(series)]
        for _, seed in of_series.sort_values(panel.axis).groupby("seed"):
            ax.plot(seed[X], seed[Y], **look, **effect.thin())
        mean = panel.means[panel.means["series"] == series].sort_values(panel.axis)
        label = words.symbols(str(series))
        ax.plot(mean[X], mean[Y], **look, label=label, gid="mean")
        ax.plot(mean[X][:1], mean[Y][:1], **look, markerfacecolor="white", gid="smallest")
    if panel.points["series"].nunique() > 1:
        ax.legend(loc="best")


def _load(tables: Tables) -> list[Panel]:
    """Return the panels, none for a grid whose trials are all in another's panel."""
    table = tables.frame("correlations.parquet")
    if table.empty:
        raise Missing("no seed has three trials with a norm at equal progress and an accuracy")
    panels: list[Panel] = []
    shown: set[str] = set()
    for row in table.to_dict("records"):
        points = effect.points(tables, row["grid"], row["axis"])
        same = np.all([points[name] == row[name] for name in ("model", "dataset", "rule")], axis=0)
        trials = set(points.loc[same, "trial"])
        if not trials <= shown:
            panels.append(_panel(tables, row, points, same))
        shown |= trials
    return panels


def _panel(
    tables: Tables,
    row: Mapping[Any, Any],
    points: pd.DataFrame,
    same: NDArray[np.bool_],
) -> Panel:
    grid, axis = row["grid"], row["axis"]
    chosen = points[same].dropna(subset=[X, Y])
    means = effect.of_grid(tables.frame("means.parquet"), grid, axis)
    rule = f", {row['rule']}" if (points["rule"] != PAPER_RULE).any() else ""
    return Panel(
        axis=axis,
        name=f"over {style.SYMBOLS[axis]}: {row['model']} on {row['dataset']}{rule}",
        rank=_rank(row),
        points=chosen,
        means=means[means["series"].isin(chosen["series"])],
        looks=effect.looks(points, axis),
    )


def _rank(row: Mapping[Any, Any]) -> str:
    """Say how the ranks of norm and accuracy correlate within seeds, from least to most."""
    value, low, high = (row[f"rank_correlation{end}"] for end in ("", "_low", "_high"))
    bounds = f" ({low:.2f} to {high:.2f})" if row["n"] > 1 else ""
    return f"rank correlation {value:.2f}{bounds}, n = {row['n']}".replace("-", "−")


def caption(tables: Tables) -> str:
    """Say what is shown and what the correlation is of."""
    panels = _load(tables)
    return (
        "Norm at equal progress (mean log₁₀ of its excess over p√ε) against late test accuracy, a "
        f"panel for each of {len(panels)} grids and rules; a grid whose trials are all in "
        "another's panel has none. A line goes through a hyperparameter's values in their order, "
        "from the open mark on. Each seed is shifted to the mean of all in both directions, so "
        "that what whole seeds differ by is taken out; seeds that lack a value are not drawn. The "
        "rank correlation is taken within each seed with three trials or more; given are its mean "
        "over n seeds, and the least and the most of a seed. Oscillation regime only. The paper "
        "conjectures a link and proves none (section 4)."
    )


def alt(tables: Tables) -> str:
    """Say in words how the two go together."""
    said = "; ".join(f"{panel.name}, {panel.rank}" for panel in _load(tables))
    return f"Plots of the norm against the test accuracy, a line for each seed: {said}."
