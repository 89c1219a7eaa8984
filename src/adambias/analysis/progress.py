"""Norms at equal progress: against the training loss in place of the epoch.

Two trainings of different speed have different norms at the same epoch even if both go through the
same weights. So progress is measured by the training loss, as a fraction of what it was at the
start, and a range of it is divided into levels of equal ratio. A mean over levels does not change
if a training is slowed down or sped up, anywhere in its course.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray


def levels(ends: Sequence[float], number: int) -> NDArray[np.float64]:
    """Return the edges of the levels of the loss, from the larger end down to the smaller.

    Parameters
    ----------
    ends : (float, float)
        Ends of the range, fractions of the loss at the start, the smaller first.
    number : int
        Number of levels.

    Returns
    -------
    array, shape (number + 1,)
    """
    low, high = ends
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
    known = curves.assign(fraction=curves["train_loss"] / curves["trial"].map(starts).astype(float))
    lowest = known.groupby(names, observed=True)["fraction"].min().max()
    columns = [*names, "level", "log10_excess"]
    if not 0 < lowest < 1:
        return pd.DataFrame(columns=columns)
    edges = levels((lowest, 1.0), number)
    middles = np.sqrt(edges[1:] * edges[:-1])
    rows = [
        (*names_of, middle, value)
        for names_of, part in known.groupby(names, sort=True, observed=True)
        for middle, value in zip(
            middles, at_levels(part["fraction"], part["log10_excess"], edges), strict=True
        )
    ]
    return pd.DataFrame(rows, columns=columns)
