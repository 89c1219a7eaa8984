"""The memory correction that the law predicts for a network, and the one its optimizer makes.

Against the step that forgets everything, h f0 with f0 = -Phi(phi(g), theta), memory changes step n
by D = -h Phi(m_hat, theta) - h f0. To first order in h the law says that D is

    P = h^2 sum_l lambda_l(n) d_l Phi[phi_l'(g) . (Hessian f0)],

the memory terms of the memoryless iteration. P costs one Hessian-vector product.
"""

from __future__ import annotations

import torch
from torch import Tensor

from adambias.law.derivatives import derivative
from adambias.law.memory import mean_age
from adambias.law.rules import UpdateRule
from adambias.training.objective import Objective
from adambias.training.optimizer import RuleOptimizer


def measure(objective: Objective, optimizer: RuleOptimizer) -> dict[str, float]:
    """Compare the law's memory correction with the one the optimizer is about to make.

    Call it after the gradient at theta^(n) and before step n, which it leaves to be taken.

    Returns
    -------
    dict
        ``norm_ratio``, the length of P over that of the update h Phi(m_hat, theta);
        ``length_ratio``, the length of P over that of D; ``cosine`` between P and D. At n = 0
        both vanish, and the last two are NaN.
    """
    theta, grad = objective.theta.detach(), objective.flat.grad
    (group,) = optimizer.param_groups
    h, rule = float(group["lr"]), optimizer.rule
    step = int(optimizer.state.get(objective.theta, {}).get("step", 0))
    forgetful = -rule.combine(*(moment.phi(grad) for moment in rule.moments), theta)
    update = h * rule.combine(*optimizer.next_estimates(objective.theta), theta)
    actual = -update - h * forgetful
    curvature = objective.hessian_vector_product(forgetful)
    predicted = h * h * _memory_term(rule, grad, theta, curvature, step)
    lengths = [vector.double().norm() for vector in (predicted, update, actual)]
    inner = predicted.double() @ actual.double()
    length, of_update, of_actual, product = torch.stack([*lengths, inner]).tolist()
    nothing = step == 0 or length == 0 or of_actual == 0
    return {
        "norm_ratio": length / of_update if of_update else float("nan"),
        "length_ratio": float("nan") if nothing else length / of_actual,
        "cosine": float("nan") if nothing else product / (length * of_actual),
    }


def _memory_term(
    rule: UpdateRule, grad: Tensor, theta: Tensor, curvature: Tensor, step: int
) -> Tensor:
    """Return sum_l lambda_l(n) d_l Phi[phi_l'(g) . curvature]."""
    ages = [mean_age(decay, step) for decay in rule.decays]

    def direction(*gradients: Tensor) -> Tensor:
        estimates = [m.phi(g) for m, g in zip(rule.moments, gradients, strict=True)]
        return rule.combine(*estimates, theta)

    point = tuple(grad for _ in ages)
    return derivative(direction, point, tuple(age * curvature for age in ages))
