"""The norm against the test accuracy, over all trials."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from adambias.core.decays import log_distance
from adambias.figures import style
from adambias.figures.tables import Missing, Tables

TITLE = "Norm against test accuracy"


def draw(tables: Tables) -> Figure:
    """Draw a panel for each network, dataset and rule; colour tells log (1 − β₁)/(1 − β₂)."""
    trials = _load(tables)
    several = trials["rule"].nunique() > 1
    kinds = list(trials.groupby(["model", "dataset", "rule"], sort=True))
    figure, axes = style.panels(len(kinds), columns=min(len(kinds), 3), aspect=0.85)
    gap, ranks = _gap(trials), _ranks(tables)
    reach = float(np.abs(gap).max()) or 1.0
    marks = None
    for ax, (kind, group) in zip(axes, kinds, strict=True):
        model, dataset, rule = kind
        marks = _draw_panel(ax, group, reach) or marks
        name = f"{model} on {dataset}{f', {rule}' if several else ''}"
        ax.set_title("\n".join(filter(None, [name, ranks.get(kind, "")])))
        ax.set(xlabel="highest norm's excess over p√ε", ylabel="best test accuracy")
    if marks is not None:
        words = "log₁₀ (1 − β₁)/(1 − β₂)"
        place = "bottom" if style.is_narrow() else "right"
        figure.colorbar(marks, ax=axes, label=words, location=place, shrink=0.9, aspect=25)
    return figure


def _load(tables: Tables) -> pd.DataFrame:
    trials = tables.frame("trials.parquet").drop_duplicates("trial")
    shown = trials[
        (trials["regime"] != "divergence")
        & np.isfinite(trials["excess"])
        & (trials["excess"] > 0)
        & np.isfinite(trials["best_test_accuracy"])
    ]
    if shown.empty:
        raise Missing("no trial has both a norm and a test accuracy")
    return shown


def _gap(trials: pd.DataFrame) -> np.ndarray:
    return log_distance(trials["beta2"]) - log_distance(trials["beta1"])


def _draw_panel(ax: Axes, trials: pd.DataFrame, reach: float) -> PathCollection | None:
    marks = None
    for regime, group in trials.groupby("regime", sort=True):
        marks = ax.scatter(
            group["excess"],
            group["best_test_accuracy"],
            c=_gap(group),
            cmap="PuOr_r",
            vmin=-reach,
            vmax=reach,
            marker=style.REGIME_MARKERS[str(regime)],
            s=(4.2 * style.measures().text / 8) ** 2,
            edgecolor=style.INK,
            linewidth=0.4,
            label=str(regime),
        )
    ax.set_xscale("log")
    style.plain_log(ax.xaxis)
    if trials["regime"].nunique() > 1:
        ax.legend(loc="lower left")
    return marks


def _ranks(tables: Tables) -> dict[tuple[Hashable, ...], str]:
    """Say of each network, dataset and rule how the ranks of its oscillation trials correlate."""
    table = tables.frame("correlations.parquet")
    said: dict[tuple[Hashable, ...], str] = {}
    for model, dataset, rule, n, rank in table.itertuples(index=False, name=None):
        words = f"rank correlation {rank:.2f}, n = {n} trials"
        said[model, dataset, rule] = words.replace("-", "−")
    return said


def caption(tables: Tables) -> str:
    """Say what is shown and what the correlation cannot say."""
    trials = _load(tables)
    return (
        f"Excess of the highest perturbed one-norm over p√ε against the best test accuracy, "
        f"{len(trials)} trials of all grids that did not diverge. Colour: how far β₂ is above β₁. "
        "The rank correlation is of the oscillation trials; it pools seeds, decays, step sizes "
        "and epochs, so it describes this collection of trials. The paper conjectures a link and "
        "proves none (section 4)."
    )


def alt(tables: Tables) -> str:
    """Say in words how the cloud lies."""
    trials, ranks = _load(tables), _ranks(tables)
    words = []
    for kind, group in trials.groupby(["model", "dataset", "rule"], sort=True):
        model, dataset, rule = kind
        rank = ranks.get(kind, "")
        said = [f"{rule} with {model} on {dataset}", f"{len(group)} trials", rank]
        lowest, highest = group["best_test_accuracy"].min(), group["best_test_accuracy"].max()
        words.append(", ".join([*filter(None, said), f"accuracies {lowest:.3f} to {highest:.3f}"]))
    return f"Scatter plot of the norm against the test accuracy: {'; '.join(words)}."
