"""Linear stability of a rule: the curvature that its steps can bear, in units of 1/h.

On a quadratic, with every moment frozen that is not linear in the gradient, a step is linear: with
c_l = dPhi/dm_l of the linear moments, D = 1 / sum_l c_l the rule's preconditioner and mu = h lambda
for an eigenvalue lambda of D^(-1/2) Hessian D^(-1/2),

    m_l+ = d_l m_l + (1 - d_l) lambda theta,      theta+ = theta - h D^(-1) sum_l w_l m_l+

with w_l = D c_l, which add up to one. Its multipliers z are the roots of

    z - 1 + mu sum_l w_l (1 - d_l) z / (z - d_l) = 0,

and the rule is stable while all of them are within the unit circle. The threshold is the smallest
mu > 0 at which one is on it. For gradient descent and RMSProp that is 2, for heavy ball and Adam
2 (1 + beta) / (1 - beta), where z = -1.

With bias correction a moment is divided by c_l = 1 - d_l^(n+1) in step n, and so is its weight w_l.
While memory fills, steps are larger for it and the threshold is lower: c times that for Adam.

References
----------
Cohen, Kaur, Li, Kolter and Talwalkar (2021), Gradient descent on neural networks typically occurs
at the edge of stability. Cohen and co-authors (2022), Adaptive gradient methods at the edge of
stability.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from torch import Tensor

from adambias.core.errors import ConfigError
from adambias.law.rules import UpdateRule, require_rule

_ANGLES = 2001
"""Places on the upper half of the unit circle between which a crossing is looked for."""


def linear_weights(
    rule: UpdateRule, estimates: Sequence[Tensor], theta: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the derivatives of a rule's direction along its linear moments, and their sum.

    Parameters
    ----------
    rule : UpdateRule
        The optimizer.
    estimates : sequence of Tensor
        Its moments, corrected for their start, each of the shape of ``theta``.
    theta : Tensor, shape (p,)
        The weights.

    Returns
    -------
    weights : Tensor, shape (L, p)
        w_l, one row for each moment that is linear in the gradient, in the rule's order; the rows
        add up to one.
    inverse : Tensor, shape (p,)
        D^(-1), by which a step multiplies the average gradient: 1/(sqrt(nu) + epsilon) for Adam.

    Raises
    ------
    ConfigError
        If no moment of the rule is linear in the gradient, or it is not componentwise.
    """
    if not rule.componentwise:
        allowed = "has no diagonal preconditioner, by which curvature could be measured"
        raise ConfigError("rule", rule.name, allowed)
    gains = _gains(rule)
    with torch.enable_grad():
        inputs = [each.detach().requires_grad_(i in gains) for i, each in enumerate(estimates)]
        total = rule.combine(*inputs, theta.detach()).sum()
        found = torch.autograd.grad(total, [inputs[i] for i in gains], materialize_grads=True)
    slopes = torch.stack([gain * each for gain, each in zip(gains.values(), found, strict=True)])
    inverse = slopes.sum(0)
    return slopes / inverse, inverse


def stability_threshold(rule: UpdateRule, step: int | None = None) -> float:
    """Return the largest h times preconditioned curvature at which a rule is linearly stable.

    Parameters
    ----------
    rule : UpdateRule
        The optimizer, its decays numbers. What its direction does to the weights themselves, such
        as weight decay, is left out.
    step : int, optional
        Step n, from 0, whose bias correction counts; by default memory is full.

    Returns
    -------
    float
        2 for gradient descent, 38 for Adam with beta1 = 0.9, and 3.8 for its step 0.

    Raises
    ------
    ConfigError
        If no moment of the rule is linear in the gradient, or a decay is a tensor.
    """
    require_rule(rule)
    if any(isinstance(decay, Tensor) for decay in rule.decays):
        raise ConfigError("decay", "a tensor", "must be a number for a threshold of stability")
    weights, decays = _shares(rule)
    if step is not None and rule.bias_correction:
        weights = weights / (1 - decays ** (step + 1))
    return _smallest(weights, decays)


def multipliers(rule: UpdateRule, mu: float) -> NDArray[np.complex128]:
    """Return the factors by which each mode of a step grows, at h times curvature ``mu``.

    Parameters
    ----------
    rule : UpdateRule
        As in :func:`stability_threshold`.
    mu : float
        h times preconditioned curvature.
    """
    shares, decays = _shares(rule)
    # State: theta, then the moments in units of the curvature.
    size = 1 + len(decays)
    step = np.zeros((size, size))
    step[1:, 0] = 1 - decays
    step[1:, 1:] = np.diag(decays)
    step[0, 0] = 1 - mu * shares @ (1 - decays)
    step[0, 1:] = -mu * shares * decays
    return np.asarray(np.linalg.eigvals(step), dtype=np.complex128)


def _shares(rule: UpdateRule) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights w_l of the linear moments, and their decays."""
    one = torch.ones(1, dtype=torch.float64)
    weights, _ = linear_weights(rule, [one for _ in rule.moments], one)
    return weights[:, 0].numpy(), np.array([float(rule.decays[i]) for i in _gains(rule)])


def _gains(rule: UpdateRule) -> dict[int, float]:
    """Return the moments that are linear in the gradient, by index, each with its factor."""
    # By value, not by name: a rule of one's own writes its identity as it likes.
    points = torch.tensor([-3.0, -0.7, 0.2, 1.0, 5.0], dtype=torch.float64)
    ratios = {i: moment.phi(points) / points for i, moment in enumerate(rule.moments)}
    gains = {i: float(r[0]) for i, r in ratios.items() if torch.allclose(r, r[0], rtol=1e-12)}
    if not any(gains.values()):
        allowed = "must hold a moment that is linear in the gradient for linear stability"
        raise ConfigError("moments", rule.name, allowed)
    return gains


def _smallest(weights: NDArray[np.float64], decays: NDArray[np.float64]) -> float:
    """Return the smallest mu > 0 that puts a multiplier on the unit circle."""

    def mu(angle: ArrayLike) -> NDArray[np.complex128]:
        z = np.exp(1j * np.asarray(angle))[..., None]
        terms = weights * (1 - decays) * z / (z - decays)
        return np.asarray((1 - z[..., 0]) / terms.sum(-1))

    # A multiplier of 1 belongs to mu = 0, so the angle 0 is left out. At pi all is real.
    angles = np.linspace(0, np.pi, _ANGLES)[1:]
    imaginary = mu(angles[:-1]).imag
    crossings = [
        brentq(lambda angle: mu(angle).imag, one, other)
        for (one, other), (a, b) in zip(pairwise(angles[:-1]), pairwise(imaginary), strict=True)
        if a * b < 0
    ]
    found = mu([*crossings, np.pi]).real
    return float(found[found > 0].min(initial=np.inf))
