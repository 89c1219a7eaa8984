"""The edge of stability in a training's history: when it is reached, and what the hill is made of.

The *edge* is the curvature that the optimizer sees, over its threshold of linear stability; it is
measured at some epochs, and a training crosses at the first of them at which it is 1 or more. Not
at the start: before a step there is nothing that could have grown, and where bias correction makes
the first steps large the threshold is far lower there than soon after.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adambias.analysis.curves import log_positive
from adambias.analysis.hills import find_rise
from adambias.analysis.histories import Columns
from adambias.config.measures import SMOOTH_LOSS, SMOOTH_NORM
from adambias.ledger.summary import highest

NEAR = 2.0
"""Factor from the threshold within which a training is near it."""


def crossing(epochs: ArrayLike, edge: ArrayLike) -> float:
    """Return the first measured epoch at which the edge is 1 or more; NaN if there is none."""
    places = np.asarray(epochs)
    over = np.flatnonzero((np.asarray(edge, dtype=float) >= 1) & (places > 0))
    return float(places[over[0]]) if over.size else np.nan


def settled(epochs: ArrayLike, edge: ArrayLike) -> float:
    """Return the median of the edge from the crossing on, NaN without one.

    Parameters
    ----------
    epochs, edge : array, shape (epochs,)
        The edge is NaN at epochs at which it was not measured.
    """
    first = crossing(epochs, edge)
    after = np.asarray(edge, dtype=float)[np.asarray(epochs) >= first]
    return float(np.nanmedian(after)) if after.size else np.nan


def summarise(history: Columns, floor: float, decades: float) -> dict[str, Any]:
    """Return what a history says of the edge and of the smooth path.

    Parameters
    ----------
    history : mapping of arrays, shape (epochs,)
        A training's columns.
    floor : float
        What the norm has without a gradient.
    decades : float
        Powers of ten that the norm rises by at least, and less than which it has not begun to.

    Returns
    -------
    dict
        ``crossing_epoch`` and ``edge_settled``, see :func:`crossing` and :func:`settled`;
        ``edge_highest``, the most it is after the start, and ``edge_near``, the share of
        measurements from the crossing on within a factor of :data:`NEAR`; ``onset_epoch``, where
        the norm's rise begins; ``oscillation_share``, of the norm's excess from there on 1 less the
        smooth path's share, by geometric means. NaN where not measured.
    """
    epochs = np.asarray(history["epoch"])
    norm = np.asarray(history["perturbed_one_norm"], dtype=float) - floor
    edge = history.get("edge")
    onset = find_rise(norm, decades)
    return {
        "crossing_epoch": np.nan if edge is None else crossing(epochs, edge),
        "edge_settled": np.nan if edge is None else settled(epochs, edge),
        "edge_highest": np.nan if edge is None else highest(np.asarray(edge)[epochs > 0]),
        "edge_near": np.nan if edge is None else _near(epochs, edge),
        "onset_epoch": np.nan if onset is None else float(epochs[onset]),
        "oscillation_share": np.nan if onset is None else _share(history, floor, onset),
    }


def _near(epochs: NDArray[Any], edge: ArrayLike) -> float:
    values = np.asarray(edge, dtype=float)[epochs >= crossing(epochs, edge)]
    known = values[np.isfinite(values)]
    near = (known >= 1 / NEAR) & (known <= NEAR)
    return float(near.mean()) if known.size else np.nan


def _share(history: Columns, floor: float, onset: int) -> float:
    added = oscillation(history, floor)[onset:]
    known = np.isfinite(added)
    return float(1 - 10 ** -added[known].mean()) if known.any() else np.nan


def oscillation(history: Columns, floor: float) -> NDArray[np.float64]:
    """Return log10 of the norm's excess over that of the smooth path, NaN where not measured."""
    smooth = history.get(SMOOTH_NORM)
    norm = history["perturbed_one_norm"]
    if smooth is None:
        return np.full(len(norm), np.nan)
    return log_positive(norm - floor) - log_positive(smooth - floor)


def smooth_path(history: Columns, floor: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return loss and log10 excess of the smooth path, NaN where not measured."""
    if SMOOTH_NORM not in history:
        missing = np.full(len(history["epoch"]), np.nan)
        return missing, missing
    loss = np.asarray(history[SMOOTH_LOSS], dtype=float)
    return loss, log_positive(history[SMOOTH_NORM] - floor)
