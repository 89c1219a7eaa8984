"""The ages of the gradients that a moment remembers, in steps: mean, variance, quadrature.

At step n a moment of decay d gives the gradient of k steps ago the weight

    w_k(n) = d^k (1 - d) / (1 - d^(n+1)),    k = 0, ..., n,

whose denominator is the bias correction. The first-order law needs the mean age under these
weights; resummed memory needs the average of a function of the age.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from adambias.law.rules import Number

NODES = 8
"""Nodes of the quadrature over ages."""
_FORGOTTEN = 1e-18  # of a weight


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
    # The limit alone, equations (2.2)-(2.3): the second term decays as d^n, but slowly for d near
    # 1.
    if n is None:
        return limit
    return limit - (n + 1) * decay ** (n + 1) / _complement(decay, n + 1)


def scheduled_age(decay: float, n: int, schedule: Callable[[int], float]) -> float:
    """Return the mean age of what a moment remembers as a time, in units of h.

    With steps h s_k the gradient of k steps ago lies s_(n-1) + ... + s_(n-k) units back; the
    average of that under w_k(n) takes the place of lambda(n), which it is where all s are 1.

    Parameters
    ----------
    decay : float
        Decay d of the moment.
    n : int
        The step.
    schedule : callable
        From a step to its factor s.
    """
    times = _times(schedule, n)
    weights = decay ** np.arange(n + 1) * (1 - decay) / (1 - decay ** (n + 1))
    return float(weights @ (times[n] - times[n::-1]))


# A Runge-Kutta step asks four times for the same, and the next step for nearly the same.
@functools.lru_cache(maxsize=64)
def _times(schedule: Callable[[int], float], n: int) -> NDArray[np.float64]:
    """Return the times of the steps 0, ..., n, in units of h."""
    return np.concatenate([[0.0], np.cumsum([float(schedule(k)) for k in range(n)])])


def age_variance(decay: Number, n: int | None) -> Number:
    """Return the variance of the age under the weights w_k(n), in steps squared.

    Parameters
    ----------
    decay, n
        As in :func:`mean_age`; the limit of large n is d/(1-d)^2.
    """
    if n is None:
        return decay / (1 - decay) ** 2
    # With x = -ln d it is 1/sinh^2(x/2) - N^2/sinh^2(N x/2), over 4; the poles at x = 0 cancel.
    if isinstance(decay, Tensor):
        x = -decay.log()
        regular = (_regular(x / 2) - (n + 1) ** 2 * _regular((n + 1) * x / 2)) / 4
        # Of tiny decays the difference leaves rounding errors alone, of either sign.
        return torch.where(decay == 0, 0.0, regular.clamp(min=0.0))
    return _variance_of(float(decay), n)


# A Runge-Kutta step asks four times for the same.
@functools.lru_cache(maxsize=4096)
def _variance_of(decay: float, n: int) -> float:
    return float(age_variance(torch.tensor(decay, dtype=torch.float64), n))


def _regular(y: Tensor) -> Tensor:
    """Return 1 / sinh(y)^2 - 1 / y^2, which is -1/3 at 0."""
    y2 = y * y
    series = -1 / 3 + y2 * (1 / 15 + y2 * (-2 / 189 + y2 * (1 / 675 + y2 * (-2 / 10395))))
    closed = 4 * torch.exp(-2 * y) / torch.expm1(-2 * y) ** 2 - 1 / y2
    return torch.where(y < 0.06, series, closed)


@functools.lru_cache(maxsize=4096)
def age_quadrature(decay: float, n: int | None) -> tuple[tuple[float, float], ...]:
    """Return pairs (age, weight) that average a function of the age as the weights w_k(n) do.

    It is Gauss's rule for these weights: exact for polynomials in the age up to degree
    2 ``NODES`` - 1, and the sum itself while there are no more ages than nodes.

    Parameters
    ----------
    decay : float
        Decay of the moment.
    n : int or None
        The step; None is the limit of large n.

    References
    ----------
    Golub and Welsch (1969), Calculation of Gauss quadrature rules.
    """
    if decay == 0 or n == 0:
        return ((0.0, 1.0),)
    forgotten = math.ceil(math.log(_FORGOTTEN) / math.log(decay))
    if n is None or n >= forgotten:
        return _pairs(*_gauss(*_meixner(decay)))
    weights = decay ** np.arange(n + 1.0)
    weights /= weights.sum()
    if n < NODES:
        return _pairs(np.arange(n + 1.0), weights)
    return _pairs(*_gauss(*_lanczos(weights)))


def _pairs(
    ages: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[tuple[float, float], ...]:
    return tuple(zip(ages.tolist(), weights.tolist(), strict=True))


def _gauss(
    diagonal: NDArray[np.float64], beside: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights from the recurrence of the orthogonal polynomials."""
    from scipy.linalg import eigh_tridiagonal

    ages, vectors = eigh_tridiagonal(diagonal, beside)
    return ages, vectors[0] ** 2


def _meixner(decay: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the recurrence for the weights (1 - d) d^k, all k: Meixner's polynomials."""
    k = np.arange(float(NODES))
    return (k + decay * (k + 1)) / (1 - decay), math.sqrt(decay) * k[1:] / (1 - decay)


def _lanczos(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the recurrence for any weights of the ages 0, 1, ..."""
    ages = np.arange(float(len(weights)))
    basis = [np.sqrt(weights)]
    diagonal, beside = np.zeros(NODES), np.zeros(NODES - 1)
    for i in range(NODES):
        image = ages * basis[i]
        diagonal[i] = basis[i] @ image
        # Against all before it, twice: without that the basis would lose its angles.
        for _ in range(2):
            for vector in basis:
                image = image - (vector @ image) * vector
        if i < NODES - 1:
            beside[i] = math.sqrt(image @ image)
            basis.append(image / beside[i])
    return diagonal, beside


def _complement(decay: Number, power: int) -> Number:
    """Return 1 - d^power without cancellation, for d near 1."""
    # In the first steps the mean age is a small difference of two large terms. It keeps its digits
    # only if this factor has all of its own, which 1 - d**power has not when d^power is near 1.
    if isinstance(decay, Tensor):
        return -torch.expm1(power * decay.log())
    # math.log refuses 0, where torch above takes exp(-inf) = 0.
    return 1.0 if decay == 0 else -math.expm1(power * math.log(decay))
