"""From a trial's history to its row of ``trials.parquet``: regime, peak, hill, accuracies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from adambias.analysis import edge
from adambias.analysis.curves import log_positive
from adambias.analysis.hills import find_hill
from adambias.analysis.histories import Columns
from adambias.analysis.progress import at_levels, levels
from adambias.analysis.regimes import classify
from adambias.config import Analyse
from adambias.ledger.summary import highest, last, peak_norm

NEEDED = ("trial", "epoch", "train_loss", "train_accuracy", "test_accuracy", "perturbed_one_norm")


def summarise(trial: Mapping[str, Any], history: Columns, settings: Analyse) -> dict[str, Any]:
    """Return a trial's regime and summaries.

    Parameters
    ----------
    trial : mapping
        The trial's row: ``epochs``, ``epsilon``, ``parameters`` and ``status`` are used.
    history : mapping of arrays, shape (rows,)
        The columns :data:`NEEDED`, and ``weight_norm`` where the trial measured it.
    settings : Analyse
        What to leave out, between which losses to compare, and the thresholds of the regimes.

    Returns
    -------
    dict
        ``norm_floor`` is p√ε, the least the perturbed one-norm can be, and an excess is what a norm
        has above it.
        ``progress_log10_excess`` is the mean log₁₀ excess at the levels of the loss window, see
        :mod:`adambias.analysis.progress`; NaN if the loss has not come down through it.
        ``progress_log10_relative`` is the same of excess times weight norm;
        ``progress_log10_smooth`` that of the smooth path, at its own loss, and
        ``progress_log10_oscillation`` of what the oscillation adds at the iterates' loss.
        ``peak_perturbed_one_norm`` is the highest norm after the initial fraction of the epochs
        that were planned, at ``peak_epoch``; ``peak_at_edge`` tells that this is the first epoch
        looked at, so that there the norm was falling and has no hill; ``excess`` is the peak less
        the floor, ``peak_log10_excess`` its log.
        ``hill_rise``, ``hill_fall``, ``hill_epoch`` and ``hill_norm`` are of the :class:`Hill` of
        the excess, whose hills are those of the norm, undiluted by a constant; ``has_hill`` tells
        that it counts as one, see :meth:`Hill.stands`.
        ``late_test_accuracy`` is the mean over the evaluations of the late fraction of the epochs.
        Further columns are those of :func:`adambias.analysis.edge.summarise`.
    """
    loss, norm = history["train_loss"], history["perturbed_one_norm"]
    diagnosis = classify(loss, settings.regimes, diverged=trial["status"] == "diverged")
    floor = float(trial["parameters"]) * float(np.sqrt(trial["epsilon"]))
    return {
        "regime": diagnosis.regime,
        "regime_reason": diagnosis.reason,
        "spikes": diagnosis.spikes,
        "largest_leap": diagnosis.largest_leap,
        "norm_floor": floor,
        "start_train_loss": float(loss[0]) if len(loss) else np.nan,
        **_progress(history, floor, settings),
        **_peak(trial, history, floor, settings.initial_fraction),
        "final_perturbed_one_norm": last(norm),
        **_hill(history, floor, settings.hill_decades),
        **edge.summarise(history, floor, settings.hill_decades),
        "late_test_accuracy": _late_accuracy(trial, history, settings.late_fraction),
        "best_test_accuracy": highest(history["test_accuracy"]),
        "final_test_accuracy": last(history["test_accuracy"]),
        "final_train_accuracy": last(history["train_accuracy"]),
        "final_train_loss": last(loss),
        "lowest_train_loss": -highest(-np.asarray(loss, dtype=float)),
        "not_finite": int(np.count_nonzero(~np.isfinite(loss) | ~np.isfinite(norm))),
    }


def _progress(history: Columns, floor: float, settings: Analyse) -> dict[str, float]:
    """Return the mean logs at equal progress."""
    loss = np.asarray(history["train_loss"], dtype=float)
    excess = log_positive(history["perturbed_one_norm"] - floor)
    start = loss[0] if len(loss) else np.nan
    fractions = loss / start
    smooth_loss, smooth = edge.smooth_path(history, floor)
    edges = levels(settings.loss_window, settings.loss_levels)
    weights = history.get("weight_norm")
    added = edge.oscillation(history, floor)
    relative = np.full(len(loss), np.nan) if weights is None else excess + log_positive(weights)
    return {
        "progress_log10_excess": float(at_levels(fractions, excess, edges).mean()),
        "progress_log10_relative": float(at_levels(fractions, relative, edges).mean()),
        "progress_log10_smooth": float(at_levels(smooth_loss / start, smooth, edges).mean()),
        "progress_log10_oscillation": float(at_levels(fractions, added, edges).mean()),
    }


def _peak(
    trial: Mapping[str, Any], history: Columns, floor: float, initial_fraction: float
) -> dict[str, Any]:
    """Return the highest norm after the initial fraction, where it is, and its excess."""
    top = peak_norm(history, trial["epochs"], initial_fraction)
    peak = top.norm if top else np.nan
    return {
        "peak_perturbed_one_norm": peak,
        "peak_epoch": int(history["epoch"][top.row]) if top else None,
        "peak_at_edge": top is not None and top.at_edge,
        "excess": peak - floor,
        "peak_log10_excess": float(log_positive(peak - floor)),
    }


def _late_accuracy(trial: Mapping[str, Any], history: Columns, fraction: float) -> float:
    """Average the evaluations of the last part of the planned epochs."""
    accuracy = np.asarray(history["test_accuracy"], dtype=float)
    late = history["epoch"] >= (1 - fraction) * (trial["epochs"] - 1)
    seen = accuracy[late & np.isfinite(accuracy)] if len(accuracy) else accuracy
    return float(seen.mean()) if len(seen) else np.nan


def _hill(history: Columns, floor: float, decades: float) -> dict[str, Any]:
    """Return the hill of the norm's excess over the floor, and whether it counts as one."""
    top = find_hill(history["perturbed_one_norm"] - floor)
    hill = top if top is not None and top.stands(decades) else None
    return {
        "hill_rise": top.rise if top else np.nan,
        "hill_fall": top.fall if top else np.nan,
        "hill_epoch": int(history["epoch"][hill.row]) if hill else None,
        "hill_norm": floor + hill.height if hill else np.nan,
        "hill_log10_excess": float(np.log10(hill.height)) if hill else np.nan,
        "has_hill": hill is not None,
    }
