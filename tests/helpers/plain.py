"""Plain transcriptions of the theory page, slow and simple: oracles for the flows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import grad, jacrev

from adambias.core.registry import RULES
from adambias.law.losses import Loss
from adambias.law.rules import UpdateRule, make_rule

COMPONENTWISE = tuple(name for name in RULES.names if make_rule(name).componentwise)
"""Built-in rules whose steps in one component are of that component alone."""


def labelled_rule(label: str, beta1: float, beta2: float) -> UpdateRule:
    """A built-in rule, or ``adam_outside``, with all that it takes above zero."""
    return make_rule(
        label.removesuffix("_outside"),
        beta1=beta1,
        beta2=beta2,
        epsilon=0.1,
        weight_decay=0.1,
        epsilon_placement="outside" if label == "adam_outside" else "inside",
    )


def hessian(loss: Loss) -> Loss:
    """The dense Hessian, by reverse sweeps alone."""
    return jacrev(grad(loss))


def weights(d: float, n: int) -> list[float]:
    """w_k(n) for k = 0..n."""
    return [d ** (n - k) * (1 - d) / (1 - d ** (n + 1)) for k in range(n + 1)]


def minibatch_drift(
    rule: UpdateRule, losses: Sequence[Loss], theta: Tensor, n: int
) -> tuple[Tensor, Tensor]:
    """f0 and f1 of Theorem 3.1 by its double sum over all past steps, with dense Hessians."""
    g, directions, ways = _past(rule, losses, theta, n, 0.5)
    tangents = []
    for moment in rule.moments:
        total = torch.zeros_like(theta)
        for w, gk, way in zip(weights(float(moment.decay), n), g, ways, strict=True):
            total = total + w * (jacrev(moment.phi)(gk) @ way)
        tangents.append(total)
    arguments = (*_moments(rule, g, n), theta)
    jacobians = [jacrev(rule.combine, argnums=i)(*arguments) for i in range(len(arguments))]
    f1 = -sum(j @ t for j, t in zip(jacobians[:-1], tangents, strict=True))
    return -directions[n], f1 - 0.5 * jacobians[-1] @ directions[n]


def minibatch_resummed(
    rule: UpdateRule, losses: Sequence[Loss], theta: Tensor, h: float, n: int, half: float
) -> Tensor:
    """The drift in which every past gradient is moved first, and then goes through phi and Phi."""
    g, directions, ways = _past(rule, losses, theta, n, half)
    moved = [gk + h * way for gk, way in zip(g, ways, strict=True)]
    return -rule.combine(*_moments(rule, moved, n), theta + half * h * directions[n])


def _past(
    rule: UpdateRule, losses: Sequence[Loss], theta: Tensor, n: int, half: float
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """g_k, U^(k) and Hessian_k V_k of the steps k = 0..n, everything at ``theta``."""
    gradients = [grad(loss)(theta) for loss in losses]
    hessians = [hessian(loss)(theta) for loss in losses]
    g = [gradients[k % len(losses)] for k in range(n + 1)]
    directions = [rule.combine(*_moments(rule, g, step), theta) for step in range(n + 1)]
    ways = []
    for k in range(n + 1):
        since = sum(directions[k:n], torch.zeros_like(theta)) + half * directions[n]
        ways.append(hessians[k % len(losses)] @ since)
    return g, directions, ways


def _moments(rule: UpdateRule, g: Sequence[Tensor], n: int) -> list[Tensor]:
    """The moments at step n of the gradients g_0, ..., g_n."""
    averages = []
    for moment in rule.moments:
        terms = zip(weights(float(moment.decay), n), g, strict=False)
        averages.append(sum(w * moment.phi(gk) for w, gk in terms))
    return averages


def resummed_drift(
    rule: UpdateRule,
    loss: Loss,
    theta: Tensor,
    h: float,
    n: int | None,
    half: float,
    oldest: int = 1500,
) -> Tensor:
    """The resummed drift by its sum over ages, up to ``oldest`` where n is None."""
    g, second = grad(loss)(theta), hessian(loss)(theta)
    f0 = -rule.combine(*(m.phi(g) for m in rule.moments), theta)
    last = oldest if n is None else n
    past = [g - (last - k + half) * h * (second @ f0) for k in range(last + 1)]
    return -rule.combine(*_moments(rule, past, last), theta - half * h * f0)


def dense_correction(rule: UpdateRule, loss: Loss, theta: Tensor, n: int | None) -> Tensor:
    """f1 of the full-batch law with dense Jacobians."""
    g, second = grad(loss)(theta), hessian(loss)(theta)
    f0 = -rule.combine(*(m.phi(g) for m in rule.moments), theta)
    arguments = (*(m.phi(g) for m in rule.moments), theta)
    f1 = 0.5 * jacrev(rule.combine, argnums=len(rule.moments))(*arguments) @ f0
    for index, moment in enumerate(rule.moments):
        d = float(moment.decay)
        age = d / (1 - d)
        if n is not None:
            age = sum(w * (n - k) for k, w in enumerate(weights(d, n)))
        inner = jacrev(moment.phi)(g) @ (second @ f0)
        f1 = f1 + (age + 0.5) * jacrev(rule.combine, argnums=index)(*arguments) @ inner
    return f1
