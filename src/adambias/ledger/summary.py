"""What a training is summed up to: the numbers that tables, figures and MLflow show of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The highest perturbed one-norm of a training.

    Parameters
    ----------
    row : int
        Its row in the history.
    norm : float
        Its value.
    at_edge : bool
        It is the first norm looked at, so that there the norm was falling and has no hill.
    """

    row: int
    norm: float
    at_edge: bool


def peak_norm(
    history: Mapping[str, NDArray[Any]], epochs: int, initial_fraction: float
) -> Peak | None:
    """Return the highest perturbed one-norm, the start of the training left out.

    Parameters
    ----------
    history : mapping of arrays, shape (rows,)
        At least ``epoch`` and ``perturbed_one_norm``.
    epochs : int
        Planned epochs of the trial; a training that diverged has fewer rows.
    initial_fraction : float
        Part of the planned epochs that is left out: the norm is large there whatever the
        optimizer does.

    Returns
    -------
    Peak or None
        None if no norm of the epochs that are left is finite.
    """
    norm = np.asarray(history["perturbed_one_norm"], dtype=float)
    (late,) = np.nonzero((history["epoch"] >= initial_fraction * epochs) & np.isfinite(norm))
    if not len(late):
        return None
    row = int(late[np.argmax(norm[late])])
    return Peak(row=row, norm=float(norm[row]), at_edge=row == late[0])


def highest(values: NDArray[np.float64]) -> float:
    """Return the highest finite value, NaN if there is none."""
    finite = values[np.isfinite(values)] if len(values) else values
    return float(finite.max()) if len(finite) else np.nan


def last(values: NDArray[np.float64]) -> float:
    """Return the last finite value, NaN if there is none."""
    finite = values[np.isfinite(values)] if len(values) else values
    return float(finite[-1]) if len(finite) else np.nan
