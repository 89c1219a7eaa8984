"""The mean age of the gradients that a moment remembers, in steps.

At step n a moment of decay d gives the gradient of step k the weight

    w_k(n) = d^(n-k) (1 - d) / (1 - d^(n+1)),

whose denominator is the bias correction. The mean age is the mean of n - k under these weights.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from adambias.law.rules import Number


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


def _complement(decay: Number, power: int) -> Number:
    """Return 1 - d^power without cancellation, for d near 1."""
    # In the first steps the mean age is a small difference of two large terms. It keeps its digits
    # only if this factor has all of its own, which 1 - d**power has not when d^power is near 1.
    if isinstance(decay, Tensor):
        return -torch.expm1(power * decay.log())
    # math.log refuses 0, where torch above takes exp(-inf) = 0.
    return 1.0 if decay == 0 else -math.expm1(power * math.log(decay))
