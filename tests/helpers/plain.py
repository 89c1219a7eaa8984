"""Plain transcriptions of the theory page, slow and simple: oracles for the flows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import grad, jacrev

from adambias.law.losses import Loss
from adambias.law.rules import UpdateRule


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
    batch = [losses[k % len(losses)] for k in range(n + 1)]
    g = [grad(loss)(theta) for loss in batch]
    hessians = [hessian(loss)(theta) for loss in batch]
    decays = [float(m.decay) for m in rule.moments]

    def moments(step: int) -> list[Tensor]:
        averages = []
        for d, moment in zip(decays, rule.moments, strict=True):
            terms = zip(weights(d, step), g, strict=False)
            averages.append(sum(w * moment.phi(gk) for w, gk in terms))
        return averages

    directions = [rule.combine(*moments(step), theta) for step in range(n + 1)]
    tangents = []
    for d, moment in zip(decays, rule.moments, strict=True):
        total = torch.zeros_like(theta)
        for k, w in enumerate(weights(d, n)):
            since = sum(directions[k:n], torch.zeros_like(theta)) + 0.5 * directions[n]
            total = total + w * (jacrev(moment.phi)(g[k]) @ (hessians[k] @ since))
        tangents.append(total)
    arguments = (*moments(n), theta)
    jacobians = [jacrev(rule.combine, argnums=i)(*arguments) for i in range(len(arguments))]
    f1 = -sum(j @ t for j, t in zip(jacobians[:-1], tangents, strict=True))
    return -directions[n], f1 - 0.5 * jacobians[-1] @ directions[n]


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
