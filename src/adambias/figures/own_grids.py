"""Norm, accuracy and one's own measures against what a grid varies, for grids of one's own."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from adambias.config import naming
from adambias.config.figures import FIGURE_OF_GRID
from adambias.figures import effect, style
from adambias.figures.tables import Missing, Tables

TITLE = "Grids of your own"
_BESIDE = ("seed", "epochs", "eval_every", "measures", "measure_every", "correction_every")
"""Fields that a grid may vary and that are neither axis nor series."""
_LABELS = {
    "progress_log10_excess": effect.LABELS["progress"],
    "late_test_accuracy": effect.LABELS["accuracy"],
    "final_train_loss": "training loss\nat the last epoch",
}
_STANDARD = ("final_perturbed_one_norm", "final_test_accuracy", "final_train_accuracy")
_NO_QUANTITY = ("_residual", "_products")
"""Ends of columns that say how well another is known."""
_MOST = 3
"""Most measures of one's own that are drawn of a grid."""


@dataclass(frozen=True, kw_only=True)
class _Panel:
    grid: str
    axis: str
    column: str
    trials: pd.DataFrame

    @property
    def is_whole(self) -> bool:
        """Whether every seed has every value of the axis, so that seeds can be compared."""
        sizes = self.trials.groupby(["series", "seed"])[self.axis].nunique()
        values = self.trials.groupby("series")[self.axis].nunique()
        return bool((sizes == values.reindex(sizes.index, level="series")).all())

    @property
    def within(self) -> pd.Series:
        """The quantity without what whole seeds differ by, if every seed is whole."""
        quantity, series = self.trials[self.column], self.trials["series"]
        if not self.is_whole:
            return quantity
        of_seed = quantity.groupby([series, self.trials["seed"]]).transform("mean")
        return quantity - of_seed + quantity.groupby(series).transform("mean")


def draw(tables: Tables) -> Figure:
    """Draw a panel for each grid and quantity, a line for each series, and its seeds."""
    shown = _load(tables)
    columns = max(sum(panel.grid == other.grid for other in shown) for panel in shown)
    figure, axes = style.panels(len(shown), columns=min(columns, 3), aspect=0.9)
    for ax, panel in zip(axes, shown, strict=True):
        _draw_panel(ax, panel)
    within = all(panel.is_whole for panel in shown)
    names = [f"one seed{', shifted to the common mean' if within else ''}", "mean over seeds"]
    handles = [
        Line2D([], [], color=style.FAINT, marker="o", **effect.thin()),
        Line2D([], [], color=style.FAINT, marker="o"),
    ]
    figure.legend(handles, names, loc="outside upper center", ncols=1 if style.is_narrow() else 2)
    return figure


def _load(tables: Tables) -> list[_Panel]:
    trials = tables.frame("trials.parquet")
    trials = trials[~trials["grid"].isin(FIGURE_OF_GRID) & (trials["regime"] == "oscillation")]
    found = []
    for grid, of_grid in trials.groupby("grid", sort=True):
        varied = [
            name
            for name in naming.varying({str(n): of_grid[n] for n in of_grid})
            if name not in _BESIDE
        ]
        numbers = [name for name in varied if pd.api.types.is_numeric_dtype(of_grid[name])]
        axis = (numbers or varied or ["beta1"])[0]
        series = [name for name in varied if name != axis]
        rows = of_grid[series].to_dict("records")
        labels = [", ".join(naming.words(row, series, show=naming.short)) for row in rows]
        whole = of_grid.assign(series=labels if series else "")
        found += [
            _Panel(grid=str(grid), axis=axis, column=column, trials=whole.dropna(subset=column))
            for column in _columns(whole)
        ]
    if not found:
        raise Missing("every grid has a figure, or none of its trials oscillates")
    return found


def _columns(trials: pd.DataFrame) -> list[str]:
    """Return the quantities that a grid's trials have: the usual ones, then one's own."""
    own = [
        str(name)
        for name in trials
        if str(name).startswith("final_")
        and name not in (*_LABELS, *_STANDARD)
        and not str(name).endswith(_NO_QUANTITY)
    ]
    known = [name for name in own if trials[name].notna().any()][:_MOST]
    return [name for name in _LABELS if trials[name].notna().any()] + known


def _draw_panel(ax: Axes, panel: _Panel) -> None:
    looks, trials = effect.looks(panel.trials, ""), panel.trials
    words = not pd.api.types.is_numeric_dtype(trials[panel.axis])
    places = {value: i for i, value in enumerate(sorted(trials[panel.axis].astype(str).unique()))}
    x = trials[panel.axis].astype(str).map(places) if words else trials[panel.axis]
    drawn = trials.assign(_x=x, _y=panel.within).sort_values("_x")
    for series, of in drawn.groupby("series", sort=True):
        look = looks[str(series)]
        for _, seed in of.groupby("seed"):
            ax.plot(seed["_x"], seed["_y"], **look, **effect.thin())
        mean = of.groupby("_x")["_y"].mean()
        ax.plot(mean.index, mean, **look, label=str(series) or None, gid="mean")
    values = sorted(x.unique())
    if not words and values[0] > 0 and values[-1] / values[0] >= 10:
        ax.set_xscale("log")
    ticks = list(places) if words else [f"{value:g}" for value in values]
    style.fixed_ticks(ax.xaxis, list(places.values()) if words else values, ticks)
    style.slant_crowded(ax)
    symbol = style.SYMBOLS[panel.axis]
    ax.set(xlabel=symbol, ylabel=_label(panel.column), title=panel.grid)
    if trials["series"].nunique() > 1:
        ax.legend(loc="best")


def _label(column: str) -> str:
    return _LABELS.get(column, column.removeprefix("final_").replace("_", " "))


def caption(tables: Tables) -> str:
    """Say what is shown of which grids."""
    shown = _load(tables)
    grids = dict.fromkeys((panel.grid, panel.axis) for panel in shown)
    said = "; ".join(
        grid if grid == style.SYMBOLS[axis] else f"{grid} over {style.SYMBOLS[axis]}"
        for grid, axis in grids
    )
    return (
        f"Grids that no other figure is for: {said}. Thin: single seeds, shifted to the common "
        "mean where every seed has every value; thick: their mean, in the oscillation regime only. "
        "The norm is the mean log₁₀ of its excess over p√ε at equal progress, missing where a loss "
        "does not come down through the losses compared; one's own measures are those of the last "
        "epoch at which they were measured. No verdict is drawn from this figure: a claim of your "
        "own has one."
    )


def alt(tables: Tables) -> str:
    """Say in words how the means run."""
    said = []
    for panel in _load(tables):
        mean = panel.trials.groupby(panel.axis)[panel.column].mean()
        first, last = mean.iloc[0], mean.iloc[-1]
        name, axis = _label(panel.column).replace("\n", " "), style.SYMBOLS[panel.axis]
        over = f"over {axis}, " if axis != panel.grid else ""
        said.append(f"{panel.grid}: {over}{name} goes from {first:.3g} to {last:.3g}")
    return f"Means over seeds of grids of one's own. {'; '.join(said)}."
