"""Flows on a trial's network: the optimizer and its flows side by side from the same weights.

A trial's training loss becomes a loss of the law's own kind, a function of one vector, so that
every flow of :mod:`adambias.law` follows the trainer's networks, in the trial's own precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from adambias.config import Trial
from adambias.core.errors import ConfigError, choose_from
from adambias.core.validation import integer
from adambias.data.dataset import Dataset
from adambias.law.convergence import FLOWS
from adambias.law.derivatives import OwnDerivatives, Product
from adambias.law.integration import Place, advance_by, iterates, places_of
from adambias.law.moment_flow import MomentFlow
from adambias.law.norms import NORMS, gradient_norms
from adambias.training.objective import Objective
from adambias.training.trainer import rule_of

OPTIMIZER = "optimizer"
COLUMNS = (
    *("law", "n", "t", "train_loss", "train_accuracy", "test_loss", "test_accuracy"),
    *NORMS,
    *("distance", "travelled"),
)
"""Columns of a row of :func:`follow`."""


class NetworkLoss(OwnDerivatives):
    """The training loss of a network as a function of all its weights in one vector ``(p,)``.

    Parameters
    ----------
    objective : Objective
        The network on its data; its weights are moved to wherever the loss is asked for.

    Attributes
    ----------
    fit : Tensor, shape (2,), float64
        Loss and accuracy on the training images where the gradient was last taken.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.fit = torch.full((2,), math.nan, dtype=torch.float64)
        self._place: Tensor | None = None
        self._gradient = torch.empty(0)

    def __call__(self, theta: Tensor) -> Tensor:
        """Return the mean loss over all training images."""
        self.gradient(theta)
        return self.fit[0]

    @torch.no_grad()
    def gradient(self, theta: Tensor) -> Tensor:
        """Return the full-batch gradient; at the very vector it was last asked for, for nothing."""
        # A record's gradient is the first one that the next step asks for.
        if theta is not self._place:
            self._go(theta)
            with torch.enable_grad():
                self.fit = self.objective.gradient()
            self._place, self._gradient = theta, self.objective.flat.grad.clone()
        return self._gradient

    def slope(self, theta: Tensor) -> tuple[Tensor, Product]:
        """Return the gradient and the Hessian-vector product at ``theta``."""
        return self.gradient(theta), lambda vector: self._product(theta, vector)

    def test(self, theta: Tensor) -> Tensor:
        """Return mean loss and accuracy on the test images, shape (2,)."""
        self._place = None  # BatchNorm's statistics are those of the last pass: it is made anew
        self.gradient(theta)
        return self.objective.evaluate()

    def _go(self, theta: Tensor) -> None:
        self.objective.theta.data.copy_(theta)

    def _product(self, theta: Tensor, vector: Tensor) -> Tensor:
        self._go(theta)
        with torch.enable_grad():
            return self.objective.hessian_vector_product(vector)


def follow(
    trial: Trial,
    data: Dataset,
    laws: Sequence[str] = ("leading_order", "moment"),
    *,
    every: int = 1,
    substeps: int = 1,
    device: torch.device | str | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Train a network and integrate flows of its optimizer beside it, from the same weights.

    Parameters
    ----------
    trial : Trial
        What to train, in full batches, for ``epochs`` rows; ``eval_every`` says how often the test
        images are looked at, ``precision`` is that of the flows too.
    data : Dataset
        From :func:`adambias.load_dataset`.
    laws : sequence of str
        Of :data:`adambias.core.flows.FLOW_NAMES`.
    every : int, optional
        Steps between rows.
    substeps : int, optional
        Runge-Kutta steps of order 4 per step h.
    device : optional
        CUDA if there is one, else the CPU.

    Yields
    ------
    list of dict
        At each step that has rows, one for the optimizer and one per law, with :data:`COLUMNS`:
        ``t`` = n h, loss and accuracy, the norms of the gradient, the Euclidean ``distance`` from
        the optimizer and the distance ``travelled`` from the start. A flow that leaves the finite
        numbers has a row of NaN at that step, and none after it.

    Raises
    ------
    ConfigError
        If the trial is not full-batch or a law is unknown.
    """
    for law in laws:
        if law not in FLOWS:
            raise ConfigError("laws", law, choose_from(FLOWS, law))
    if trial.batch_size is not None:
        raise ConfigError("batch_size", trial.batch_size, "must be left out: flows are full-batch")
    if trial.blocks != "fixed":
        raise ConfigError("blocks", trial.blocks, "must be 'fixed' for a loss to be one function")
    if trial.clip_norm is not None:
        raise ConfigError("clip_norm", trial.clip_norm, "must be left out: flows know no clipping")
    if not trial.has_one_step_size:
        raise ConfigError(
            "schedule", trial.schedule, "must be constant: flows are of one step size"
        )
    every, substeps = integer("every", every, at_least=1), integer("substeps", substeps, at_least=1)
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return _follow(trial, Objective(trial, data, torch.device(chosen)), laws, every, substeps)


@torch.no_grad()
def _follow(
    trial: Trial, objective: Objective, laws: Sequence[str], every: int, substeps: int
) -> Iterator[list[dict[str, Any]]]:
    loss, rule, h = NetworkLoss(objective), rule_of(trial, objective.flat.shapes), trial.h
    start = objective.theta.detach().clone()
    tracks: dict[str, Iterator[Place]] = {OPTIMIZER: iterates(rule, (loss,), start, h)}
    for law in laws:
        flow = FLOWS[law](rule, loss, h)
        fewest = flow.substeps if isinstance(flow, MomentFlow) else 1
        tracks[law] = places_of(flow, start, advance_by("rk4", h, max(substeps, fewest)))
    places = dict.fromkeys(tracks, start)
    with objective.precision.arithmetic():
        for n in range(trial.epochs):
            last = n == trial.epochs - 1
            rows, ahead = [], {}
            for name, theta in places.items():
                finite = bool(torch.isfinite(theta).all())
                if not finite or last or n % every == 0:
                    away = {"distance": places[OPTIMIZER], "travelled": start}
                    measured = _measured(trial, loss, theta, n, away) if finite else {}
                    rows.append(_ROW | {"law": name, "n": n, "t": n * h} | measured)
                # Right after its row, whose gradient is the first one that the step needs.
                if finite and not last:
                    ahead[name] = next(tracks[name])[0]
            places = ahead
            if rows:
                yield rows
            if OPTIMIZER not in places:
                return


_ROW: dict[str, Any] = dict.fromkeys(COLUMNS, math.nan)


def _measured(
    trial: Trial, loss: NetworkLoss, theta: Tensor, n: int, away: dict[str, Tensor]
) -> dict[str, float]:
    """Return what a row holds besides its place in time."""
    values: dict[str, float] = {}
    if n % trial.eval_every == 0 or n == trial.epochs - 1:
        values |= zip(("test_loss", "test_accuracy"), loss.test(theta).tolist(), strict=True)
    norms = gradient_norms(loss.gradient(theta), trial.epsilon).tolist()
    values |= zip(("train_loss", "train_accuracy"), loss.fit.tolist(), strict=True)
    values |= zip(NORMS, norms, strict=True)
    return values | {k: float((theta - v).double().norm()) for k, v in away.items()}
