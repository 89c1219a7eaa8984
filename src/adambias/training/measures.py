"""How the columns of :mod:`adambias.config.measures` are computed from a training under way."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from adambias.config import Trial
from adambias.config.measures import CORRECTION, SMOOTH, Measure, at_each
from adambias.law.norms import gradient_norms
from adambias.training.correction import measure
from adambias.training.objective import Objective
from adambias.training.optimizer import RuleOptimizer

WINDOWS = (2, 4, 8, 16)
"""Numbers of last iterates whose mean :func:`smooth_norms` looks at."""


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
    kept : dict of Tensor
        What measures keep from one epoch to the next, by names of their own; a checkpoint has it.
    """

    trial: Trial
    epoch: int
    objective: Objective
    optimizer: RuleOptimizer
    fit: Tensor
    details: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Tensor] = field(default_factory=dict)

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


def smooth_norms() -> Measure:
    """Return the measure of loss and norm where the mean of the last iterates is.

    An oscillation across a valley averages out there: what is left of the norm is that of the
    smooth path. Columns: ``smooth_loss_k`` and ``smooth_norm_k``, the perturbed one-norm, at the
    mean of the last k = 2, 4, 8 and 16 iterates, every ``measure_every`` epochs.
    """
    return _of_means(WINDOWS)


def smooth_norm() -> Measure:
    """Return the measure of :func:`smooth_norms` at the mean of the last 16 iterates alone."""
    return _of_means((SMOOTH,))


def _of_means(windows: tuple[int, ...]) -> Measure:
    return Measure(
        columns=tuple(f"smooth_{what}_{k}" for k in windows for what in ("loss", "norm")),
        compute=partial(_smooth_norms, windows=windows),
        when=at_each,
        curves=tuple(f"smooth_norm_{k}" for k in windows),
        cost="a gradient for each k every ``measure_every`` epochs, and sums of weights",
    )


def _smooth_norms(snapshot: Snapshot, windows: tuple[int, ...]) -> Tensor:
    found = torch.full((2 * len(windows),), math.nan, dtype=torch.float64)
    found = found.to(snapshot.grad.device)
    for i, k in enumerate(windows):
        mean = _mean_of_last(snapshot, k)
        if mean is not None:
            fit, grad = snapshot.objective.gradient_at(mean)
            norm = gradient_norms(grad, snapshot.trial.epsilon)[0]
            found[2 * i : 2 * i + 2] = torch.stack([fit[0], norm])
    return found


def _mean_of_last(snapshot: Snapshot, k: int) -> Tensor | None:
    """Add theta to the sums that it belongs to; return the mean of the last k if it is due now."""
    epoch, every = snapshot.epoch, snapshot.trial.measure_every
    # A sum for each measurement to come whose window has begun: windows may overlap.
    first = every * math.ceil(epoch / every)
    for due in range(first, epoch + k, every):
        if due >= k - 1:
            name = f"smooth_norms/{k}/{due}"
            before = snapshot.kept.get(name)
            theta = snapshot.theta
            snapshot.kept[name] = theta.clone() if before is None else before.add_(theta)
    if epoch % every or epoch < k - 1:
        return None
    return snapshot.kept.pop(f"smooth_norms/{k}/{epoch}") / k


def weight_norm() -> Measure:
    """Return the measure of the weights' Euclidean norm."""
    return Measure(
        columns=("weight_norm",),
        compute=lambda snapshot: snapshot.theta.double().norm().reshape(1),
    )
