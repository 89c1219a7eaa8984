"""Training-loss curves, a panel for each regime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

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
    there = _present(chosen)
    columns = min(len(there), 3)
    figure, axes = style.panels(
        len(there), columns=columns, aspect=0.95 if style.is_narrow() else 1.25, sharey=True
    )
    for ax, regime in zip(axes, there, strict=True):
        ax.set_title(regime)
        _draw_panel(ax, chosen[chosen["regime"] == regime], curves)
        ax.set(yscale="log", xlabel="share of the epochs planned")
        ax.set_ylabel("training loss" if ax is axes[0] or style.is_narrow() else "")
    return figure


def _present(trials: pd.DataFrame) -> list[str]:
    """Return the regimes that there are trials of, from the calmest to the wildest."""
    return [regime for regime in REGIMES if (trials["regime"] == regime).any()]


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
    # Below the axis and its label, as curves may be anywhere above.
    size = style.measures().text
    down = ScaledTranslation(0, -3.5 * size / 72, ax.figure.dpi_scale_trans)
    ax.legend(
        title="β₁, β₂; h", loc="upper center", bbox_to_anchor=(0.5, 0), fontsize=0.78 * size,
        bbox_transform=ax.transAxes + down, borderaxespad=0,
    )  # fmt: skip


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
    there = _present(trials)
    listed = ", ".join(f"{counts[name]} {name}" for name in there)
    absent = " or ".join(name for name in REGIMES if name not in there)
    return (
        f"Training loss against time, as a share of the epochs planned. Of each regime up to "
        f"{SHOWN} trials at even distances from the calmest to the one with the largest leap, out "
        f"of {len(trials)} trials of all grids: {listed}"
        f"{f'; no trial is of the regime {absent}, so there is no panel of it' if absent else ''}. "
        "A band spans the extremes of what was thinned into a point. Only oscillation trials enter "
        "figures 4 to 6."
    )


def alt(tables: Tables) -> str:
    """Say in words what the curves do."""
    counts = _load(tables)["regime"].value_counts()
    shapes = {
        "oscillation": "smooth or finely oscillating falls",
        "spike": "falls with leaps",
        "divergence": "losses that end above their start, stay up after a leap, or are not finite",
    }
    panels = "; ".join(
        f"{name}, {counts[name]} trials, {shapes[name]}" for name in REGIMES if name in counts
    )
    return f"Panels of training loss on a log scale, one for each regime: {panels}."
