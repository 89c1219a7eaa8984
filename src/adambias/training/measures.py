"""How the columns of :mod:`adambias.config.measures` are computed from a training under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from adambias.config import Trial
from adambias.config.measures import CORRECTION, Measure
from adambias.law.norms import gradient_norms
from adambias.training.correction import measure
from adambias.training.objective import Objective
from adambias.training.optimizer import RuleOptimizer


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A training at theta^(n), after its full-batch gradient and before step n.

    Parameters
    ----------
    trial : Trial
        What is trained.
    epoch : int
        n.
    objective : Objective
        The network: ``objective.theta``, shape (p,), and what can be computed with it.
    optimizer : RuleOptimizer
        Its moments are those before step n.
    fit : Tensor, shape (2,), float64
        Mean training loss and accuracy, from the gradient's pass.
    details : dict
        What a measure leaves besides its columns, by the measure's first column.
    """

    trial: Trial
    epoch: int
    objective: Objective
    optimizer: RuleOptimizer
    fit: Tensor
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def theta(self) -> Tensor:
        """All weights, shape (p,)."""
        return self.objective.theta.detach()

    @property
    def grad(self) -> Tensor:
        """The full-batch gradient, shape (p,)."""
        return self.objective.flat.grad


def fit(snapshot: Snapshot) -> Tensor:
    """Return mean loss and accuracy over the training images."""
    return snapshot.fit


def test(snapshot: Snapshot) -> Tensor:
    """Return mean loss and accuracy over the test images."""
    return snapshot.objective.evaluate()


def norms(snapshot: Snapshot) -> Tensor:
    """Return the norms of the gradient, perturbed by the trial's epsilon."""
    return gradient_norms(snapshot.grad, snapshot.trial.epsilon)


def correction(snapshot: Snapshot) -> Tensor:
    """Return length and cosine of the memory correction."""
    found = measure(snapshot.objective, snapshot.optimizer)
    snapshot.details[CORRECTION.columns[0]] = found
    columns = [found["norm_ratio"], found["cosine"]]
    return torch.tensor(columns, dtype=torch.float64, device=snapshot.grad.device)


def weight_norm() -> Measure:
    """Return the measure of the weights' Euclidean norm."""
    return Measure(
        columns=("weight_norm",),
        compute=lambda snapshot: snapshot.theta.double().norm().reshape(1),
    )
