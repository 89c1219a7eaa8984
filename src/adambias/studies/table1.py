"""The paper's Table 1, read off the law at random points."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from adambias.config import Table1
from adambias.core.files import markdown_table
from adambias.law import losses, rules
from adambias.law.derivatives import gradient, gradient_of
from adambias.law.flows import correction


def table1_cells(settings: Table1) -> list[dict[str, Any]]:
    """Return Table 1, read off the law at random points.

    The bias of Adam, -sqrt(g^2 + eps) f1 in the limit of large n, is compared with the gradients
    of the one-norm and of the squared two-norm: the candidate it is parallel to is
    penalised if the coefficient is positive, and its decrease hindered if it is negative.
    """
    cells = []
    for size, epsilon in (("small", settings.small), ("large", settings.large)):
        for beta1, beta2 in settings.pairs:
            candidates = _candidates(settings.points, beta1, beta2, epsilon)
            norm = max(candidates, key=lambda each: abs(candidates[each]["cosine"]))
            sign = "" if candidates[norm]["coefficient"] > 0 else "-"
            cells.append(
                {
                    "epsilon": size,
                    "epsilon_value": epsilon,
                    "beta1": beta1,
                    "beta2": beta2,
                    "penalised": sign + norm,
                    "candidates": candidates,
                }
            )
    return cells


def _candidates(
    points: int, beta1: float, beta2: float, epsilon: float
) -> dict[str, dict[str, float]]:
    """Return cosine and coefficient per h of the bias against each norm's gradient."""
    loss = losses.double_wells()
    generator = torch.Generator().manual_seed(0)
    theta = 2 * torch.randn(points, 5, generator=generator, dtype=torch.float64)
    rule = rules.adam(beta1=beta1, beta2=beta2, epsilon=epsilon)
    g = gradient(loss, theta)
    bias = -correction(rule, loss, theta, h=1.0) * (g * g + epsilon).sqrt()
    norms = {
        "one_norm": lambda v: gradient(loss, v).abs().sum(-1),
        "squared_two_norm": lambda v: gradient(loss, v).square().sum(-1),
    }
    return {name: _compare(bias, norm, theta) for name, norm in norms.items()}


def _compare(bias: Tensor, norm: Any, theta: Tensor) -> dict[str, float]:
    direction = gradient_of(lambda v: norm(v).sum(), theta)
    product, square = (bias * direction).sum(), (direction * direction).sum()
    cosine = product / (bias.norm() * direction.norm())
    return {"cosine": float(cosine), "coefficient": float(product / square)}


_WORDS = {
    "one_norm": "‖∇E‖₁ penalised",
    "-one_norm": "−‖∇E‖₁ penalised: its decrease is hindered",
    "squared_two_norm": "‖∇E‖₂² penalised",
    "-squared_two_norm": "−‖∇E‖₂² penalised: its decrease is hindered",
}


def table1_markdown(cells: list[dict[str, Any]]) -> str:
    """Return Table 1 as a Markdown table."""
    pairs = dict.fromkeys((cell["beta1"], cell["beta2"]) for cell in cells)
    epsilons = dict.fromkeys((cell["epsilon"], cell["epsilon_value"]) for cell in cells)
    head = ["", *(f"ε {name} ({value:g})" for name, value in epsilons)]
    rows = []
    for beta1, beta2 in pairs:
        order = "≥" if beta1 >= beta2 else "<"
        row = [c for c in cells if (c["beta1"], c["beta2"]) == (beta1, beta2)]
        rows.append([f"β {order} ρ ({beta1:g}, {beta2:g})", *(_WORDS[c["penalised"]] for c in row)])
    return markdown_table(head, rows)
