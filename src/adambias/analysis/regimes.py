"""Regimes of a training, told from its loss: oscillation, spike, divergence.

Ma, Wu & E (2022) name three kinds of training with Adam by what the loss does: fast and small
oscillations, large spikes, or divergence. The paper's section 6 keeps only the first. Their words
are made into numbers here, each of them a parameter in the section ``analyse.regimes``:

``leap``
    The loss is at least ten times the lowest loss before it, and at least a thousandth of the loss
    at the start. The first part of a training does not count: Adam's first steps are of size h in
    every coordinate and often raise the loss before it falls.
``divergence``
    The training stopped at a number that is not finite; or the median loss of its last part is
    above the loss at its start; or a leap lasts all through the last part and does not come down.
``spike``
    Otherwise, if the loss leaps. A spike is over when the loss is within ten times the lowest loss
    again, so leaps without such a recovery between them are one spike.
``oscillation``
    Everything else: what there is of fast oscillations stays small.

A leap is measured against the lowest loss, as oscillations around a falling loss must not count;
and against the start, as a leap from 1e-8 to 1e-7 is small to anyone but a logarithm.

References
----------
.. [1] Chao Ma, Lei Wu, Weinan E. A qualitative study of the dynamic behavior for adaptive gradient
   algorithms. Mathematical and Scientific Machine Learning, PMLR, 2022.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
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
        Largest factor by which the loss exceeded the lowest loss before it, after the first part;
        1 if it only fell.
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
    >>> classify([2.3, 0.3, 0.02, 1.5, 0.02, 0.01]).reason
    '1 spike, largest leap 75 times'
    >>> classify([2.3, 4.0, 9.0, 40.0]).regime
    'divergence'
    """
    settings = settings or Regimes()
    values = np.asarray(loss, dtype=float)
    if diverged or values.size == 0 or not np.isfinite(values).all():
        return Diagnosis(regime="divergence", spikes=0, largest_leap=np.nan, reason="not finite")
    level = _powers_of_ten(np.maximum(values / (values[0] or 1.0), _RESOLUTION))
    rise = _rise(level, settings.settle_fraction)
    far = rise >= _powers_of_ten(settings.spike_factor)
    leap = far & (level >= _powers_of_ten(settings.spike_level))
    spikes = _count(far, leap)
    largest = float(10 ** rise.max())
    reason = _divergence(level, leap, settings)
    if reason:
        return Diagnosis(regime="divergence", spikes=spikes, largest_leap=largest, reason=reason)
    regime: Regime = "spike" if spikes >= settings.spikes else "oscillation"
    reason = f"{spikes} {'spike' if spikes == 1 else 'spikes'}, largest leap {largest:.3g} times"
    return Diagnosis(regime=regime, spikes=spikes, largest_leap=largest, reason=reason)


def _powers_of_ten(ratio: ArrayLike) -> NDArray[np.float64]:
    """Return log10, rounded: a loss that just meets a threshold does so in every unit."""
    return np.log10(ratio).round(9)


def _rise(level: NDArray[np.float64], settle_fraction: float) -> NDArray[np.float64]:
    """Return by how much each loss is above the lowest before it; nothing in the first part."""
    lowest = np.minimum.accumulate(np.concatenate([level[:1], level[:-1]]))
    rise = np.maximum(level - lowest, 0.0)
    rise[: int(np.ceil(settle_fraction * level.size))] = 0.0
    return rise


def _count(far: NDArray[np.bool_], leap: NDArray[np.bool_]) -> int:
    """Count the stretches of epochs far above the lowest loss that have a leap in them."""
    starts = far & ~np.concatenate([[False], far[:-1]])
    return np.unique(np.cumsum(starts)[leap]).size


def _divergence(
    level: NDArray[np.float64], leap: NDArray[np.bool_], settings: Regimes
) -> str | None:
    """Say why a training whose losses are finite has diverged, or None."""
    # Two epochs or more: a leap at the last epoch alone is a new one, not one that lasts.
    size = max(2, round(settings.tail_fraction * level.size))
    tail = level[-size:]
    end = float(np.median(10**tail))
    if end > settings.divergence_level:
        return f"ends at {end:.3g} times the loss at the start"
    early, late = tail[: size // 2], tail[size // 2 :]
    if leap[-size:].all() and np.median(late) >= np.median(early):
        return f"ends at {end / 10 ** level.min():.3g} times its lowest loss and stays there"
    return None
