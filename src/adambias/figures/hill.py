"""What the hill of the norm is made of: the norm at the iterates, and that of the smooth path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from adambias.config.claims import PAPER_RULE
from adambias.config.measures import SMOOTH, SMOOTH_LOSS, SMOOTH_NORM
from adambias.figures import style, verdicts, words
from adambias.figures.tables import Missing, Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "What the hill is made of"
GRIDS = {"edge": "beta1", "hills_beta1": "beta1", "hills_beta2": "beta2"}
"""Grids that are shown where they measured the smooth path, with the axis of each."""


def draw(tables: Tables) -> Figure:
    """Draw the norm and that of the smooth path, a row per grid, against epoch and loss."""
    grids = _load(tables)
    figure, axes = style.panels(2 * len(grids), columns=2, aspect=0.7)
    pairs = zip(axes[::2], axes[1::2], strict=True)
    for (over_epochs, over_loss), (grid, curves) in zip(pairs, grids.items(), strict=True):
        _draw_row(over_epochs, over_loss, curves, GRIDS[grid])
    return figure


def _load(tables: Tables) -> dict[str, pd.DataFrame]:
    """Return the curves of each grid at the epochs at which the smooth path was measured."""
    trials, curves = tables.frame("trials.parquet"), tables.frame("curves.parquet")
    found = {}
    for grid, axis in GRIDS.items():
        of = _of_paper(trials, grid)
        of = of[of["regime"] == "oscillation"]
        if SMOOTH_NORM not in curves or of.empty:
            continue
        there = curves[(curves["grid"] == grid) & curves[SMOOTH_NORM].notna()]
        columns = ["trial", axis, "seed", "norm_floor", "start_train_loss"]
        rows = there.astype({"trial": str}).merge(of[columns], on="trial").sort_values("epoch")
        if len(rows):
            found[grid] = rows.assign(
                norm=np.log10(rows["perturbed_one_norm"] - rows["norm_floor"]),
                smooth=np.log10(rows[SMOOTH_NORM] - rows["norm_floor"]),
                loss=rows["train_loss"] / rows["start_train_loss"],
                smooth_loss=rows[SMOOTH_LOSS] / rows["start_train_loss"],
            )
    if not found:
        raise Missing(f"no trial of the grids {', '.join(GRIDS)} measured {SMOOTH_NORM}")
    return found


def _of_paper(trials: pd.DataFrame, grid: str) -> pd.DataFrame:
    """Return a grid's trials of the paper's rule, which alone the claims are on."""
    return trials[(trials["grid"] == grid) & (trials["rule"] == PAPER_RULE)]


def _draw_row(over_epochs: Axes, over_loss: Axes, curves: pd.DataFrame, axis: str) -> None:
    shades = style.shades(curves[axis])
    for value, colour in shades.items():
        of = curves[curves[axis] == value]
        means = of.groupby("epoch")[["norm", "smooth"]].mean()
        over_epochs.plot(means.index, means["norm"], color=colour, gid="norm")
        over_epochs.plot(means.index, means["smooth"], color=colour, linestyle="--", gid="smooth")
        for _, one in of.groupby("seed"):
            thin: dict[str, Any] = {"color": colour, "linewidth": 0.7, "alpha": 0.7}
            over_loss.plot(one["loss"], one["norm"], **thin)
            over_loss.plot(one["smooth_loss"], one["smooth"], linestyle="--", **thin)
    over_epochs.set(xlabel="epoch", ylabel="norm\n(excess, powers of ten)")
    over_loss.set(xlabel="training loss (fraction of its start)", xscale="log")
    over_loss.set_xlim(1.0, max(curves["loss"].min(), 1e-3))
    style.plain_log(over_loss.xaxis)
    handles = [Line2D([], [], color=c, label=f"{v:g}") for v, c in shades.items()]
    handles += [
        Line2D([], [], color=style.INK, label="iterates"),
        Line2D([], [], color=style.INK, linestyle="--", label="smooth path"),
    ]
    over_epochs.legend(handles=handles, title=style.SYMBOLS[axis], loc="upper left", ncols=2)
    low, high = over_epochs.get_ylim()
    over_epochs.set_ylim(low, high + 0.35 * (high - low))
    style.note(over_epochs, f"n = {curves['seed'].nunique()} seeds", at=(0.98, 0.97))


def caption(tables: Tables) -> str:
    """Say what is shown, and how much of the norm is oscillation."""
    trials = tables.frame("trials.parquet")
    grids = _load(tables)
    shares = "; ".join(
        f"{style.SYMBOLS[GRIDS[grid]]} = {value:g}: {of['oscillation_share'].mean():.0%}"
        for grid in grids
        for value, of in _of_paper(trials, grid).groupby(GRIDS[grid])
    )
    shown = "; ".join(words.of_paper(tables, grid) for grid in list(grids)[:1])
    return (
        f"The norm of the gradient at the iterates, and at the mean of the last {SMOOTH}, where an "
        f"oscillation from side to side averages out; {shown}. Left: means over seeds against the "
        "epoch. Right: single seeds against the training loss, of the iterates and of the mean. "
        "From where the norm begins to rise, this share of it is oscillation, by geometric "
        f"means: {shares}. Verdicts: {verdicts.of_figure(tables, 'hill')}."
    )


def alt(tables: Tables) -> str:
    """Say in words how far the two norms are apart."""
    said = []
    for grid, curves in _load(tables).items():
        top = curves.groupby(GRIDS[grid])[["norm", "smooth"]].max()
        said += [
            f"{GRIDS[grid]} {value:g}: {10 ** row['norm']:.3g} and {10 ** row['smooth']:.3g}"
            for value, row in top.iterrows()
        ]
    return (
        "Norm at the iterates, solid, and of the smooth path, dashed, against epoch and loss. "
        f"Highest of the two by setting: {'; '.join(said)}."
    )


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings behind the figure."""
    grid = next(iter(_load(tables)))
    return words.setting(tables, grid, (GRIDS[grid],))
