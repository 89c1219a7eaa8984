"""The memory correction that the law predicts for a network, and the one its optimizer makes.

That is P, to first order, beside D; see :mod:`adambias.training.memory`.
"""

from __future__ import annotations

import torch

from adambias.training.memory import forgotten, predicted, step_size, steps_taken
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
    theta = objective.theta.detach()
    without = forgotten(objective, optimizer)
    estimates = optimizer.next_estimates(objective.theta)
    update = step_size(optimizer) * optimizer.rule.combine(*estimates, theta)
    actual = -update - without
    expected = predicted(objective, optimizer, without, "first_order")
    lengths = [vector.double().norm() for vector in (expected, update, actual)]
    inner = expected.double() @ actual.double()
    length, of_update, of_actual, product = torch.stack([*lengths, inner]).tolist()
    nothing = steps_taken(objective, optimizer) == 0 or length == 0 or of_actual == 0
    return {
        "norm_ratio": length / of_update if of_update else float("nan"),
        "length_ratio": float("nan") if nothing else length / of_actual,
        "cosine": float("nan") if nothing else product / (length * of_actual),
    }
