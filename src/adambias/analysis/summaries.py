"""From a trial's history to its row of ``trials.parquet``: regime, peak, hill, accuracies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adambias.analysis.hills import find_hill
from adambias.analysis.histories import Columns
from adambias.analysis.regimes import classify
from adambias.config import Analyse

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
    peak = _peak(history, settings.initial_fraction * trial["epochs"])
    floor = float(trial["parameters"]) * float(np.sqrt(trial["epsilon"]))
    return {
        "regime": diagnosis.regime,
        "regime_reason": diagnosis.reason,
        "spikes": diagnosis.spikes,
        "largest_leap": diagnosis.largest_leap,
        "norm_floor": floor,
        **peak,
        "excess": peak["peak_perturbed_one_norm"] - floor,
        "final_perturbed_one_norm": _last(norm),
        **_hill(history, floor, settings.hill_decades),
        "best_test_accuracy": _highest(history["test_accuracy"]),
        "final_test_accuracy": _last(history["test_accuracy"]),
        "final_train_accuracy": _last(history["train_accuracy"]),
        "final_train_loss": _last(loss),
        "lowest_train_loss": -_highest(-np.asarray(loss, dtype=float)),
        "not_finite": int(np.count_nonzero(~np.isfinite(loss) | ~np.isfinite(norm))),
    }


def _peak(history: Columns, start: float) -> dict[str, Any]:
    """Return the highest norm from the epoch ``start`` on, and where it is."""
    norm = history["perturbed_one_norm"]
    late = np.where((history["epoch"] >= start) & np.isfinite(norm), norm, np.nan)
    at = int(np.nanargmax(late)) if np.isfinite(late).any() else None
    return {
        "peak_perturbed_one_norm": float(late[at]) if at is not None else np.nan,
        "peak_epoch": int(history["epoch"][at]) if at is not None else None,
        "peak_at_edge": at is not None and not np.isfinite(late[:at]).any(),
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


def _last(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)] if len(values) else values
    return float(finite[-1]) if len(finite) else np.nan


def _highest(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)] if len(values) else values
    return float(finite.max()) if len(finite) else np.nan
