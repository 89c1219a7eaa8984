"""What a moment remembers: its mean age, and the weights of cyclic mini-batches.

Batch r comes at the steps k = r, r + m, r + 2m, ... At step n step k has weight

    w_k(n) = d^(n-k) (1 - d) / (1 - d^(n+1)),

so that the weights of one batch are a geometric series, summed here in closed form.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from adambias.rules import Number

FORGOTTEN = 1e-18
EXACT_CYCLES = 32
NODES = 16


def mean_age(decay: Number, n: int | None) -> Number:
    """Return lambda(n) = d/(1-d) - (n+1) d^(n+1) / (1 - d^(n+1)), in steps.

    Parameters
    ----------
    decay : float or Tensor
        Decay d of the moment.
    n : int or None
        The step; None is the limit of large n, d/(1-d).
    """
    limit = decay / (1 - decay)
    if n is None:
        return limit
    return limit - (n + 1) * decay ** (n + 1) / _complement(decay, n + 1)


def _complement(decay: Number, power: int) -> Number:
    """Return 1 - d^power without cancellation, for d near 1."""
    if isinstance(decay, Tensor):
        return -torch.expm1(power * decay.log())
    return 1.0 if decay == 0 else -math.expm1(power * math.log(decay))


def horizon(decays: Sequence[Number]) -> int:
    """Return after how many steps every moment has forgotten, to rounding in float64."""
    longest = max(float(decay) for decay in decays)
    return 1 if longest == 0 else max(1, math.ceil(math.log(FORGOTTEN) / math.log(longest)))


def settled_step(decays: Sequence[Number], batches: int) -> int:
    """Return a multiple of ``batches`` by which all weights have become periodic."""
    return batches * math.ceil(2 * horizon(decays) / batches)


@dataclass(frozen=True)
class History:
    """Weights of the past at one step, for L moments and m batches.

    Attributes
    ----------
    weights : Tensor, shape (L, m)
        Weight of each batch in each moment at step n.
    steps : ndarray, shape (K,)
        The past steps at which the direction U is evaluated.
    node_weights : Tensor, shape (L, K, m)
        Weight of each batch in each moment at those steps.
    coefficients : Tensor, shape (L, m, K)
        Sum_k w_k sum_(j=k)^(n-1) U^(j), over batch r's steps k, is coefficients[l, r] @ U(steps).
    """

    weights: Tensor
    steps: NDArray[np.int64]
    node_weights: Tensor
    coefficients: Tensor


@functools.lru_cache(maxsize=16)
def history(n: int, decays: tuple[float, ...], batches: int) -> History:
    """Return the weights of the past at step n.

    The directions U^(j) of all past steps enter, and they differ from step to step while the bias
    correction still matters. But along the steps of one batch they vary smoothly, so beyond
    the first cycles they are interpolated between few nodes per octave of j, and one node serves
    once they are periodic. The number of evaluations of U so stays bounded as n grows, and the
    sums agree with the plain ones to about 1e-13.
    """
    pieces = list(_pieces(n, decays, batches))
    steps = np.hstack([np.zeros(0, dtype=np.int64), *(nodes for nodes, _, _ in pieces)])
    coefficients = [
        np.hstack(
            [
                np.zeros((batches, 0)),
                *(_past_weights(past, n, d, batches).T @ basis for _, past, basis in pieces),
            ]
        )
        for d in decays
    ]
    now = np.array([n])
    return History(
        weights=torch.from_numpy(np.stack([_weights(now, d, batches)[0] for d in decays])),
        steps=steps,
        node_weights=torch.from_numpy(np.stack([_weights(steps, d, batches) for d in decays])),
        coefficients=torch.from_numpy(np.stack(coefficients)),
    )


def _weights(steps: NDArray[np.int64], d: float, batches: int) -> NDArray[np.float64]:
    """Return the weight of each batch at each step, shape (K, m)."""
    lag = steps[:, None] - np.arange(batches)
    visits = np.maximum(lag // batches + 1, 0)
    share = (1 - d) * d ** (lag % batches) * (1 - d ** (batches * visits)) / (1 - d**batches)
    return share / (1 - d ** (steps[:, None] + 1))


def _past_weights(window: NDArray[np.int64], n: int, d: float, batches: int) -> NDArray[np.float64]:
    """Return sum over batch r's steps k <= j of w_k(n), for j in the window, shape (J, m)."""
    fading = d ** (n - window) * (1 - d ** (window + 1)) / (1 - d ** (n + 1))
    return fading[:, None] * _weights(window, d, batches)


def _pieces(
    n: int, decays: tuple[float, ...], batches: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """Yield runs of past steps of one batch, as nodes (K,), steps (J,), interpolation (J, K)."""
    forgotten = horizon(decays)
    for batch in range(min(batches, n)):
        for first, last, count in _panels(max(0, n - forgotten), n, batch, batches, forgotten):
            cycles = np.arange(first, last)
            chosen = _chebyshev_integers(first, last, count)
            basis = _interpolation(chosen, cycles)
            yield batch + batches * chosen, batch + batches * cycles, basis


def _interpolation(chosen: NDArray[np.int64], cycles: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the polynomials that are one at one node and zero at the others, at all cycles."""
    if len(chosen) == 1:
        return np.ones((len(cycles), 1))
    if len(chosen) == len(cycles):
        return np.eye(len(cycles))
    from scipy.interpolate import BarycentricInterpolator

    return BarycentricInterpolator(chosen, np.eye(len(chosen)))(cycles)


def _panels(
    start: int, n: int, batch: int, batches: int, forgotten: int
) -> list[tuple[int, int, int]]:
    """Return ranges of cycles [first, last) and their numbers of nodes, for one batch's steps."""
    first, last = (max(0, -(-(step - batch) // batches)) for step in (start, n))
    settled = max(first, -(-(forgotten - batch) // batches))
    panels = [(settled, last, 1)] if settled < last else []
    last = min(last, settled)
    while first < last:
        end = min(last, max(EXACT_CYCLES, 2 * first))
        count = end - first if first < EXACT_CYCLES else NODES
        panels.append((first, end, min(count, end - first)))
        first = end
    return panels


def _chebyshev_integers(first: int, last: int, count: int) -> NDArray[np.int64]:
    """Return ``count`` distinct integers in [first, last), crowded towards its ends."""
    if count == last - first:
        return np.arange(first, last)
    points = -np.cos(np.pi * (np.arange(count) + 0.5) / count)
    return np.unique(np.round(first + (points + 1) / 2 * (last - 1 - first)).astype(np.int64))
