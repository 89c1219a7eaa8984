"""Resummed memory: moments of a gradient that has changed at the present rate all the time.

If the gradient of k steps ago is g - k c, a moment with the weights w_k(n) of
:mod:`adambias.law.memory` is the average of phi(g - k c) over the ages k. For the identity and the
square that is known in closed form; any other phi takes Gauss's rule over the ages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from adambias.core.errors import ConfigError
from adambias.law.memory import age_quadrature, age_variance, mean_age
from adambias.law.rules import Moment, UpdateRule, identity, square

if TYPE_CHECKING:
    from adambias.law.rules import Number


def averages(
    rule: UpdateRule, g: Tensor, change: Tensor, n: int | None, shift: float
) -> list[Tensor]:
    """Return the average of each phi_l(g - (k + shift) change) over the ages k at step n.

    Parameters
    ----------
    rule : UpdateRule
        Its moments say phi and the decays.
    g, change : Tensor, shape (p,) or (B, p)
        The gradient, and how much it changes in one step.
    n : int or None
        The step; None is the limit of large n.
    shift : float
        Added to every age, in steps.

    Returns
    -------
    list of Tensor
        One per moment, of the shape of ``g``; that of a square is never negative.
    """
    return [_average(moment, g, change, n, shift) for moment in rule.moments]


def _average(moment: Moment, g: Tensor, change: Tensor, n: int | None, shift: float) -> Tensor:
    if in_closed_form(moment):
        mean = g - (mean_age(moment.decay, n) + shift) * change
        return spread(moment, mean, age_variance(moment.decay, n), change)
    pairs = age_quadrature(float(moment.decay), n)
    return sum_of([w * moment.phi(g - (age + shift) * change) for age, w in pairs])


def spread(moment: Moment, mean: Tensor, variance: Number, change: Tensor) -> Tensor:
    """Return the average of g, or of g^2, over gradients of this mean and variance times change^2.

    The square as the mean's square and the variance: a sum of what cannot be negative.
    """
    return mean if moment.phi is identity else mean * mean + variance * (change * change)


def sum_of(terms: list[Tensor]) -> Tensor:
    """Return the sum of at least one tensor."""
    return sum(terms[1:], terms[0])


def check_resummed(rule: UpdateRule) -> None:
    """Refuse a decay per trajectory where its moment takes a quadrature.

    Raises
    ------
    ConfigError
        If such a decay is a tensor: the nodes of a quadrature belong to one decay.
    """
    for moment in rule.moments:
        if isinstance(moment.decay, Tensor) and not in_closed_form(moment):
            allowed = "must be a number for resummed memory of a phi that is neither g nor g^2"
            raise ConfigError("decay", "a tensor", allowed)


def in_closed_form(moment: Moment) -> bool:
    """Tell whether a moment's average is known in closed form."""
    return moment.phi is identity or moment.phi is square
