"""What a moment remembers: its mean age."""

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
    if n is None:
        return limit
    return limit - (n + 1) * decay ** (n + 1) / _complement(decay, n + 1)


def _complement(decay: Number, power: int) -> Number:
    """Return 1 - d^power without cancellation, for d near 1."""
    if isinstance(decay, Tensor):
        return -torch.expm1(power * decay.log())
    return 1.0 if decay == 0 else -math.expm1(power * math.log(decay))
