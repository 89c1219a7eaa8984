"""From a trial's history to its row of ``trials.parquet``: regime, peak, hill, accuracies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from adambias.analysis.hills import find_hill
from adambias.analysis.histories import Columns
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
        The columns :data:`NEEDED`.
    settings : Analyse
        The initial fraction of epochs to leave out, and the thresholds of the regimes.

    Returns
    -------
    dict
        ``norm_floor`` is p√ε, the least the perturbed one-norm can be;
        ``peak_perturbed_one_norm`` its highest value after the initial fraction of the epochs
        that were planned, at ``peak_epoch``; ``peak_at_edge`` tells that this is the first epoch
        looked at, so that there the norm was falling and has no hill; ``excess`` is the peak less
        the floor;
        ``hill_rise``, ``hill_fall``, ``hill_epoch`` and ``hill_norm`` are of the :class:`Hill` of
        the norm's excess over the floor, whose hills are those of the norm, undiluted by a
        constant; ``has_hill`` tells that it counts as one, see :meth:`Hill.stands`.
    """
    loss, norm = history["train_loss"], history["perturbed_one_norm"]
    diagnosis = classify(loss, settings.regimes, diverged=trial["status"] == "diverged")
    top = peak_norm(history, trial["epochs"], settings.initial_fraction)
    peak = top.norm if top else np.nan
    floor = float(trial["parameters"]) * float(np.sqrt(trial["epsilon"]))
    return {
        "regime": diagnosis.regime,
        "regime_reason": diagnosis.reason,
        "spikes": diagnosis.spikes,
        "largest_leap": diagnosis.largest_leap,
        "norm_floor": floor,
        "peak_perturbed_one_norm": peak,
        "peak_epoch": int(history["epoch"][top.row]) if top else None,
        "peak_at_edge": top is not None and top.at_edge,
        "excess": peak - floor,
        "final_perturbed_one_norm": last(norm),
        **_hill(history, floor, settings.hill_decades),
        "best_test_accuracy": highest(history["test_accuracy"]),
        "final_test_accuracy": last(history["test_accuracy"]),
        "final_train_accuracy": last(history["train_accuracy"]),
        "final_train_loss": last(loss),
        "lowest_train_loss": -highest(-np.asarray(loss, dtype=float)),
        "not_finite": int(np.count_nonzero(~np.isfinite(loss) | ~np.isfinite(norm))),
    }


def _hill(history: Columns, floor: float, decades: float) -> dict[str, Any]:
    """Return the hill of the norm's excess over the floor, and whether it counts as one."""
    top = find_hill(history["perturbed_one_norm"] - floor)
    hill = top if top is not None and top.stands(decades) else None
    return {
        "hill_rise": top.rise if top else np.nan,
        "hill_fall": top.fall if top else np.nan,
        "hill_epoch": int(history["epoch"][hill.row]) if hill else None,
        "hill_norm": floor + hill.height if hill else np.nan,
        "has_hill": hill is not None,
    }
