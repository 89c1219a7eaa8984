"""Histories thinned to what a figure can show, with nothing of a spike lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from adambias.analysis.histories import Columns
from adambias.analysis.trends import band


def thin(history: Columns, points: int, further: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    """Gather a history into at most ``points`` bins of equal length.

    Parameters
    ----------
    history : mapping of arrays, shape (rows,)
        ``epoch``, ``train_loss``, ``test_accuracy`` and ``perturbed_one_norm``, in the order of
        the epochs.
    points : int
        Most bins.
    further : sequence of str
        Measured columns besides, of which medians are kept.

    Returns
    -------
    dict of arrays, shape (bins,)
        ``epoch`` is a bin's first; ``train_loss`` and ``perturbed_one_norm`` are medians,
        ``train_loss_low`` and ``train_loss_high`` the extremes, so that spikes stay as high as
        they were; ``test_accuracy`` is the last one evaluated in the bin, NaN if none was. A
        history of at most ``points`` epochs is unchanged.
    """
    rows = len(history["epoch"])
    width = max(1, -(-rows // points))
    starts = np.arange(0, rows, width)
    loss = np.asarray(history["train_loss"], dtype=float)
    return {
        "epoch": history["epoch"][starts],
        "train_loss": _medians(loss, width),
        "train_loss_low": np.fmin.reduceat(loss, starts),
        "train_loss_high": np.fmax.reduceat(loss, starts),
        "perturbed_one_norm": _medians(history["perturbed_one_norm"], width),
        "test_accuracy": _last_finite(history["test_accuracy"], starts),
        **{name: _medians(history[name], width) for name in further},
    }


def _medians(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    padded = np.full(-(-len(values) // width) * width, np.nan)
    padded[: len(values)] = values
    blocks = padded.reshape(-1, width)
    empty = np.isnan(blocks).all(axis=1)
    blocks[empty] = 0.0
    medians = np.nanmedian(blocks, axis=1)
    medians[empty] = np.nan
    return medians


def _last_finite(values: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    places = np.where(np.isfinite(values), np.arange(len(values)), -1)
    last = np.maximum.reduceat(places, starts)
    inside = last >= starts
    return np.where(inside, values[np.maximum(last, 0)], np.nan)


def mean_curves(logs: pd.DataFrame, axis: str, level: float) -> pd.DataFrame:
    """Return the mean over seeds of log10 of the norm, one row per epoch and value of ``axis``.

    Parameters
    ----------
    logs : DataFrame
        Curves as :func:`log_curves` returns them.
    axis : str
        Column that tells the curves apart.
    level : float
        Coverage of the bands.

    Returns
    -------
    DataFrame
        ``series``, ``axis``, ``epoch``, ``n`` (seeds), and ``log10_norm`` and ``log10_excess``
        (over p√ε) with the bounds of Student's t interval, ``<name>_low`` and ``<name>_high``.
    """
    groups = logs.groupby(["series", axis, "epoch"], sort=True)
    bands = [band(groups[name], name, level) for name in ("log10_norm", "log10_excess")]
    return pd.concat([groups.size().rename("n"), *bands], axis=1).reset_index()


def log_curves(curves: pd.DataFrame, trials: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Join curves and trials, with log10 of the norm and of its excess; NaN where not positive.

    Parameters
    ----------
    curves : DataFrame
        Thinned histories with ``trial``, ``epoch`` and ``perturbed_one_norm``.
    trials : DataFrame
        Trials to use, with ``trial``, ``seed``, ``series``, ``norm_floor`` and ``axis``.
    axis : str
        Column of ``trials`` that tells the curves apart.
    """
    joined = curves.merge(trials[["trial", "seed", "series", "norm_floor", axis]], on="trial")
    norm = joined["perturbed_one_norm"]
    excess = norm - joined["norm_floor"]
    return joined.assign(log10_norm=log_positive(norm), log10_excess=log_positive(excess))


def log_positive(values: ArrayLike) -> NDArray[np.float64]:
    """Return log10, NaN where a value is not above zero."""
    numbers = np.asarray(values, dtype=float)
    return np.log10(np.where(numbers > 0, numbers, np.nan))
