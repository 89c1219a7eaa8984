"""Norms at equal progress: against the training loss in place of the epoch.

Two trainings of different speed have different norms at the same epoch even if both go through the
same weights. So progress is measured by the training loss, as a fraction of what it was at the
start, and a range of it is divided into levels of equal ratio. A mean over levels does not change
if a training is slowed down or sped up, anywhere in its course.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray


def levels(low: float, high: float, number: int) -> NDArray[np.float64]:
    """Return the edges of the levels of the loss, from ``high`` down to ``low``.

    Parameters
    ----------
    low, high : float
        Ends of the range, fractions of the loss at the start.
    number : int
        Number of levels.

    Returns
    -------
    array, shape (number + 1,)
    """
    return np.geomspace(high, low, number + 1)


def at_levels(
    loss: ArrayLike, values: ArrayLike, edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean of a quantity over the epochs at each level of the loss.

    Parameters
    ----------
    loss, values : array, shape (epochs,)
        Training loss, as a fraction of that at the start, and the quantity; epochs at which one
        of them is not finite are left out.
    edges : array, shape (levels + 1,)
        See :func:`levels`.

    Returns
    -------
    array, shape (levels,)
        A level that a step of the training went over is interpolated from those around it. All NaN
        if the loss has never come down to the last edge, or no epoch was at any level: a training
        that has not gone through the whole range cannot be compared over it.
    """
    loss, values = np.asarray(loss, dtype=float), np.asarray(values, dtype=float)
    number = len(edges) - 1
    known = np.isfinite(loss) & np.isfinite(values)
    if not known.any() or loss[known].min() > edges[-1]:
        return np.full(number, np.nan)
    # The edges fall, so that an epoch's level counts from the highest loss.
    level = np.searchsorted(-edges, -loss[known], side="right") - 1
    inside = (level >= 0) & (level < number)
    sums = np.bincount(level[inside], values[known][inside], minlength=number)
    counts = np.bincount(level[inside], minlength=number)
    (there,) = np.nonzero(counts)
    if not len(there):
        return np.full(number, np.nan)
    return np.interp(np.arange(number), there, sums[there] / counts[there])


def level_table(curves: pd.DataFrame, trials: pd.DataFrame, axis: str, number: int) -> pd.DataFrame:
    """Return each trial's log-norm by level of the loss, over the range that all have in common.

    Parameters
    ----------
    curves : DataFrame
        As :func:`adambias.analysis.curves.log_curves` returns them, with ``train_loss``.
    trials : DataFrame
        The trials to compare, with ``trial`` and ``start_train_loss``.
    axis : str
        Column of ``curves`` that tells the trials apart, besides ``series`` and ``seed``.
    number : int
        Number of levels.

    Returns
    -------
    DataFrame
        ``trial, series, seed, axis, level`` (a fraction of the loss at the start: the middle of
        the level) and ``log10_excess``; empty if the trials have no range in common.
    """
    starts = trials.drop_duplicates("trial").set_index("trial")["start_train_loss"]
    names = ["trial", "series", "seed", axis]
    parts = {
        key: (part["train_loss"].to_numpy(dtype=float) / starts[key[0]], part["log10_excess"])
        for key, part in curves.groupby(names, sort=True, observed=True)
    }
    lowest = max((np.nanmin(loss) for loss, _ in parts.values()), default=1.0)
    if not 0 < lowest < 1:
        return pd.DataFrame(columns=[*names, "level", "log10_excess"])
    edges = levels(lowest, 1.0, number)
    middles = np.sqrt(edges[1:] * edges[:-1])
    rows = [
        pd.DataFrame({"level": middles, "log10_excess": at_levels(loss, excess, edges)}).assign(
            **dict(zip(names, key, strict=True))
        )
        for key, (loss, excess) in parts.items()
    ]
    return pd.concat(rows, ignore_index=True)
