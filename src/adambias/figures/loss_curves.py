"""Training-loss curves, a panel for each regime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adambias.config.analysis import REGIMES
from adambias.config.claims import PAPER_RULE
from adambias.figures import style
from adambias.figures.tables import Missing, Tables

TITLE = "Training loss in each regime"
SHOWN = 5
"""Most curves in a panel."""


def draw(tables: Tables) -> Figure:
    """Draw a few curves of each regime, chosen from the calmest to the wildest."""
    chosen = _choose(_load(tables))
    curves = tables.frame(
        "curves.parquet",
        ["trial", "grid", "epoch", "train_loss", "train_loss_low", "train_loss_high"],
    )
    figure, axes = style.panels(len(REGIMES), aspect=0.95, sharey=True)
    for ax, regime in zip(axes, REGIMES, strict=True):
        of_regime = chosen[chosen["regime"] == regime]
        ax.set_title(regime)
        if of_regime.empty:
            style.say(ax, f"No trial of\nthe {regime} regime")
            continue
        _draw_panel(ax, of_regime, curves)
    there = set(chosen["regime"])
    shown = [ax for ax, regime in zip(axes, REGIMES, strict=True) if regime in there]
    for ax in shown:
        ax.set_yscale("log")
        ax.set_xlabel("share of the training")
    shown[0].set_ylabel("training loss")
    return figure


def _load(tables: Tables) -> pd.DataFrame:
    trials = tables.frame("trials.parquet").drop_duplicates("trial")
    if trials.empty:
        raise Missing("no trials")
    return trials


def _choose(trials: pd.DataFrame) -> pd.DataFrame:
    """Return up to ``SHOWN`` trials of each regime, at even distances in their largest leap."""
    kept = []
    for _, group in trials.groupby("regime"):
        ordered = group.sort_values(["largest_leap", "trial"], na_position="last")
        places = np.unique(np.linspace(0, len(ordered) - 1, min(SHOWN, len(ordered))).astype(int))
        kept.append(ordered.iloc[places])
    return pd.concat(kept)


def _draw_panel(ax: Axes, trials: pd.DataFrame, curves: pd.DataFrame) -> None:
    colours = style.sequence(len(trials), "viridis")
    records: list[dict[str, Any]] = trials.to_dict("records")  # type: ignore[assignment]
    labels = _labels(records)
    for colour, trial in zip(colours, records, strict=True):
        curve = curves[(curves["trial"] == trial["trial"]) & (curves["grid"] == trial["grid"])]
        if curve["train_loss"].notna().sum() == 0:
            continue
        time = curve["epoch"] / max(int(trial["epochs"]), 1)
        ax.fill_between(
            time, curve["train_loss_low"], curve["train_loss_high"], color=colour, alpha=0.35,
            linewidth=0,
        )  # fmt: skip
        label = labels[trial["trial"]]
        ax.plot(time, curve["train_loss"], color=colour, linewidth=0.9, label=label, gid="trial")
    ax.legend(title="β₁, β₂; h", loc="best", fontsize=0.78 * style.measures().text)


def _labels(trials: list[dict[str, Any]]) -> dict[str, str]:
    """Name each trial by its decays and h, and by more where that names several."""
    short = {t["trial"]: "{beta1:g}, {beta2:g}; {h:g}".format(**t) for t in trials}
    more = {t["trial"]: [t["model"], f"{t['epochs']} epochs", f"seed {t['seed']}"] for t in trials}
    labels = {}
    for trial in trials:
        key = trial["trial"]
        same = [other for other in more if short[other] == short[key]]
        told = [word for word in more[key] if any(word not in more[other] for other in same)]
        rule = [] if trial["rule"] == PAPER_RULE else [trial["rule"]]
        labels[key] = ", ".join([short[key], *rule, *told])
    return labels


def caption(tables: Tables) -> str:
    """Say what is shown."""
    trials = _load(tables)
    counts = trials["regime"].value_counts()
    listed = ", ".join(f"{counts.get(name, 0)} {name}" for name in REGIMES)
    return (
        f"Training loss against time, as a share of the epochs planned. Of each regime up to "
        f"{SHOWN} trials at even distances from the calmest to the one with the largest leap, out "
        f"of {len(trials)} trials of all grids: {listed}. A band spans the extremes of what was "
        "thinned into a point. Only oscillation trials enter figures 4 to 6."
    )


def alt(tables: Tables) -> str:
    """Say in words what the curves do."""
    counts = _load(tables)["regime"].value_counts()
    shapes = {
        "oscillation": "smooth or finely oscillating falls",
        "spike": "falls with leaps",
        "divergence": "losses that end above their start or at a number that is not finite",
    }
    panels = "; ".join(
        f"{name}, {counts[name]} trials, {shapes[name]}" if name in counts else f"{name}, empty"
        for name in REGIMES
    )
    return f"Three panels of training loss on a log scale: {panels}."
