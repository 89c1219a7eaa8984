"""Where a decay lies on an axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def log_distance(beta: ArrayLike) -> NDArray[np.float64]:
    """Return log10 1/(1 − β): equal steps multiply the mean age of a moment's memory equally."""
    return -np.log10(1 - np.asarray(beta, dtype=float))
