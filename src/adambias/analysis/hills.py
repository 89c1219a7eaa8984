"""The hill of a norm over training: it falls, rises to a top, and falls again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LEAST_ERRORS = 6
"""Standard errors that a hill rises and falls by at least."""


@dataclass(frozen=True, kw_only=True)
class Hill:
    """The hill of a curve that falls, rises again and falls until it flattens (section 6).

    Its top is where the smoothed curve stands highest above its lowest point on either side, the
    smaller of the two counting.

    Parameters
    ----------
    rise, fall : float
        Powers of ten from the lowest point before the top, and to the lowest after it; 0 on a side
        on which nothing is lower.
    fell : bool
        Whether the lowest point before the top is below the curve's first value.
    row : int
        Where the top is.
    height : float
        The smoothed curve's value there.
    noise : float
        Standard error of the smoothed curve, in powers of ten.
    """

    rise: float
    fall: float
    fell: bool
    row: int
    height: float
    noise: float

    def stands(self, decades: float) -> bool:
        """Tell whether the curve fell first, and then rose and fell by so many powers of ten.

        Less than :data:`LEAST_ERRORS` standard errors of the curve is no rise, as it would be found
        in noise: the top is chosen among many places.
        """
        least = max(decades, LEAST_ERRORS * self.noise)
        return self.fell and min(self.rise, self.fall) >= least


def find_hill(values: NDArray[np.float64]) -> Hill | None:
    """Return the hill of a curve, None where a value is not finite or all are zero or less.

    The log of the curve is smoothed first, by a running mean over a twentieth of its length, so
    that single oscillations are no hill. Less than a millionth of the highest value counts as that.
    """
    smoothed = _smoothed(values)
    if smoothed is None:
        return None
    logs, curve, width = smoothed
    off = logs[width // 2 : width // 2 + curve.size] - curve
    noise = 1.4826 * float(np.median(np.abs(off))) / width**0.5
    lowest = np.minimum.accumulate(curve)
    rises, falls = curve - lowest, curve - np.minimum.accumulate(curve[::-1])[::-1]
    top = int(np.argmax(np.minimum(rises, falls)))
    return Hill(
        rise=float(rises[top]),
        fall=float(falls[top]),
        fell=bool(lowest[top] < logs[0]),
        row=top + width // 2,
        height=float(10 ** curve[top]),
        noise=noise,
    )


def find_rise(values: NDArray[np.float64], decades: float) -> int | None:
    """Return the row at which a curve begins to rise, None if it does not rise by so much.

    That is the last row, before the smoothed log stands highest above its lowest value before, at
    which it is still within ``decades`` powers of ten of that lowest value.
    """
    smoothed = _smoothed(values)
    if smoothed is None:
        return None
    _, curve, width = smoothed
    rises = curve - np.minimum.accumulate(curve)
    top = int(np.argmax(rises))
    if rises[top] < decades:
        return None
    low = curve[: top + 1] <= curve[: top + 1].min() + decades
    return int(np.flatnonzero(low)[-1]) + width // 2


def _smoothed(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], int] | None:
    """Return a curve's log, its running mean, and over how many rows; None as in find_hill."""
    curve = np.asarray(values, dtype=float)
    if curve.size < 3 or not np.isfinite(curve).all() or curve.max() <= 0:
        return None
    logs, width = np.log10(np.maximum(curve, 1e-6 * curve.max())), smoothing_width(curve.size)
    return logs, np.convolve(logs, np.full(width, 1 / width), mode="valid"), width


def tops_the_hill(trials: pd.DataFrame) -> pd.Series:
    """Tell of each row of ``trials.parquet`` whether its highest norm is the top of its hill.

    The hill's top is that of the smoothed norm, so it may be as far off as that is smoothed.
    """
    distance = (trials["peak_epoch"] - trials["hill_epoch"]).abs()
    return trials["has_hill"] & (distance <= trials["epochs"].map(smoothing_width))


def smoothing_width(epochs: int) -> int:
    """Return over how many epochs a norm is smoothed before its hill is looked for."""
    return max(1, round(epochs / 20))
