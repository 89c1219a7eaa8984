"""Memory taken out of an optimizer's steps, predicted by the law, put in or cancelled.

Against the step that forgets everything, h f0 with f0 = -Phi(phi(g), theta), memory changes step n
by D = -h Phi(m_hat, theta) - h f0. For D the law predicts P, the memory of the memoryless
iteration:

    first order    P = h^2 sum_l lambda_l(n) d_l Phi[phi_l'(g) . (Hessian f0)]
    resummed       P = -h Phi(phi_bar(n; 0), theta) - h f0

see :mod:`adambias.law.flows`. P costs one Hessian-vector product.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor

from adambias.law.flows import Memory, first_order
from adambias.law.memory import mean_age
from adambias.law.resummed import averages
from adambias.training.objective import Objective
from adambias.training.optimizer import RuleOptimizer


def step_size(optimizer: RuleOptimizer) -> float:
    """Return h."""
    (group,) = optimizer.param_groups
    return float(group["lr"])


def steps_taken(objective: Objective, optimizer: RuleOptimizer) -> int:
    """Return n, the step that comes next."""
    return int(optimizer.state.get(objective.theta, {}).get("step", 0))


def forgotten(objective: Objective, optimizer: RuleOptimizer) -> Tensor:
    """Return h f0, the step without a past, from the gradient at theta^(n), shape (p,)."""
    grad, rule = objective.flat.grad, optimizer.rule
    features = (moment.phi(grad) for moment in rule.moments)
    return -step_size(optimizer) * rule.combine(*features, objective.theta.detach())


def predicted(objective: Objective, optimizer: RuleOptimizer, step: Tensor, law: Memory) -> Tensor:
    """Return P, which the law predicts that memory adds to step n, shape (p,).

    Parameters
    ----------
    objective, optimizer
        After the gradient at theta^(n) and before step n.
    step : Tensor
        The :func:`forgotten` step.
    law : {"first_order", "resummed"}
        How far the law's memory goes.
    """
    theta, grad = objective.theta.detach(), objective.flat.grad
    h, rule, n = step_size(optimizer), optimizer.rule, steps_taken(objective, optimizer)
    change = objective.hessian_vector_product(step)
    if law == "resummed":
        return -h * rule.combine(*averages(rule, grad, change, n, 0.0), theta) - step
    ages = [mean_age(decay, n) for decay in rule.decays]
    return h * first_order(rule, grad, theta, step, change, ages, 0.0)


def take_step(objective: Objective, optimizer: RuleOptimizer, memory: str) -> None:
    """Take step n with the memory of a trial's field of that name.

    The moments go on as they do without, so that a checkpoint holds all there is.
    """
    kind, _, law = memory.partition("_")
    if kind == "optimizer":
        optimizer.step()
        return
    theta, step = objective.theta.data, forgotten(objective, optimizer)
    past = predicted(objective, optimizer, step, cast("Memory", law)) if law else 0.0
    before = theta.clone()
    optimizer.step()
    if kind == "cancelled":
        theta.sub_(past)
    else:
        theta.copy_(before + step + past)
