"""Regimes of a training, told from its loss: oscillation, spike, divergence.

Ma, Wu & E (2022) name three kinds of training with Adam by what the loss does, and the paper's
section 6 keeps only the middle one. Their words are made into numbers here, each of them a
parameter in the section ``analyse.regimes``:

``divergence``
    The training stopped at a number that is not finite, or the median loss of its last part is
    above the loss at its start.
``spike``
    Otherwise, if the loss leaps: it exceeds ten times the median of the epochs just before and
    comes up to a hundredth of the loss at the start or more. Consecutive such epochs are one
    spike. The first part of a training does not count: Adam's first steps are of size h in every
    coordinate and often raise the loss before it falls.
``oscillation``
    Everything else: what there is of fast oscillations stays small.

A leap is measured against its own past, as oscillations around a falling loss must not count;
and against the start, as a leap from 1e-7 to 1e-6 is small to anyone but a logarithm.

References
----------
.. [1] Chao Ma, Lei Wu, Weinan E. A qualitative study of the dynamic behavior for adaptive gradient
   algorithms. Mathematical and Scientific Machine Learning, PMLR, 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from adambias.config import Regimes
from adambias.config.analysis import Regime

_RESOLUTION = 1e-9
"""Fraction of the loss at the start below which float32 cannot tell losses apart."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What a loss history looks like.

    Parameters
    ----------
    regime : {"oscillation", "spike", "divergence"}
    spikes : int
        Number of spikes.
    largest_leap : float
        Largest factor by which the loss exceeded the median just before it, after the first part.
    reason : str
        Why, in a few words.
    """

    regime: Regime
    spikes: int
    largest_leap: float
    reason: str


def classify(
    loss: ArrayLike, settings: Regimes | None = None, *, diverged: bool = False
) -> Diagnosis:
    """Tell the regime of a training from its loss per epoch.

    Parameters
    ----------
    loss : array, shape (epochs,)
        Training loss at each epoch, from epoch 0.
    settings : Regimes, optional
        Thresholds.
    diverged : bool
        The trainer stopped at the first number that was not finite.

    Returns
    -------
    Diagnosis

    Examples
    --------
    >>> classify([2.3, 1.1, 0.5, 0.2, 0.1, 0.05]).regime
    'oscillation'
    >>> classify([2.3, 4.0, 9.0, 40.0]).regime
    'divergence'
    """
    settings = settings or Regimes()
    values = np.asarray(loss, dtype=float)
    if diverged or values.size == 0 or not np.isfinite(values).all():
        return Diagnosis(regime="divergence", spikes=0, largest_leap=np.nan, reason="not finite")
    tail = max(1, round(settings.tail_fraction * values.size))
    end = float(np.median(values[-tail:]))
    leaps = _leaps(values, settings.spike_window)
    leaps[: int(np.ceil(settings.settle_fraction * values.size))] = 1.0
    largest = float(leaps.max())
    high = (leaps >= settings.spike_factor) & (values >= settings.spike_level * values[0])
    spikes = int(np.count_nonzero(np.diff(high.astype(int), prepend=0) == 1))
    if values.size > 1 and end > settings.divergence_level * values[0]:
        reason = f"ends at {end / values[0]:.3g} times the loss at the start"
        return Diagnosis(regime="divergence", spikes=spikes, largest_leap=largest, reason=reason)
    regime: Regime = "spike" if spikes >= settings.spikes else "oscillation"
    reason = f"{spikes} spikes, largest leap {largest:.3g} times"
    return Diagnosis(regime=regime, spikes=spikes, largest_leap=largest, reason=reason)


def _leaps(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return loss(n) over the median of the ``window`` epochs before n; 1 at the first."""
    before = pd.Series(values).rolling(window, min_periods=1).median().shift(1)
    start = values[0] or 1.0
    level = np.maximum(before.to_numpy(), _RESOLUTION * start)
    level[0] = start
    return values / level
