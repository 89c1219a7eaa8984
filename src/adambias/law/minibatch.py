"""The drift over mini-batches taken in cyclic order (Theorem 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.func import vmap

from adambias.law import cyclic
from adambias.law.derivatives import derivative, gradient_of, pullback, total
from adambias.law.losses import Loss
from adambias.law.rules import Moment, UpdateRule, identity


class Batches:
    """Everything at one theta and step n: the cyclic batches' gradients, moments and direction."""

    def __init__(
        self,
        rule: UpdateRule,
        losses: tuple[Loss, ...],
        theta: Tensor,
        n: int,
        *,
        derivatives: bool,
    ) -> None:
        n = cyclic.recurring_step(n, rule.decays, len(losses))
        self.rule, self.theta = rule, theta
        self.step = (n, rule.decays, len(losses))
        seen = losses[: n + 1]
        self.weights = cyclic.weights(*self.step)[:, : len(seen)].to(theta)
        slope = partial(gradient_of, _sum_of_batches(seen, theta))
        places = theta.expand(len(seen), *theta.shape)
        if derivatives:
            self.gradients, self.hessian_products = pullback(slope, places)
        else:
            self.gradients = slope(places)
        self.features = [moment.phi(self.gradients) for moment in rule.moments]
        self.direction = rule.combine(*_averages(self.weights, self.features), theta)

    def first_order(self, half: float) -> Tensor:
        """Return f1 of Theorem 3.1."""
        moments = zip(self.rule.moments, self._displacements(half), strict=True)
        tangents = [self._moment_tangent(*each) for each in moments]
        point = (*_averages(self.weights, self.features), self.theta)
        return -derivative(self.rule.combine, point, (*tangents, half * self.direction))

    def _moment_tangent(self, moment: Moment, displacements: Tensor) -> Tensor:
        """Return sum_r phi'(g_r) . (Hessian_r displacement_r)."""
        (curvatures,) = self.hessian_products(displacements)
        if moment.phi is identity:
            return curvatures.sum(0)
        return derivative(moment.phi, (self.gradients,), (curvatures,)).sum(0)

    def _displacements(self, half: float) -> Tensor:
        """Return how far back each moment looks to each batch, shape (L, batches, ...).

        With w the weights of moment l, that is sum_k w_k (sum_(j=k)^(n-1) U^(j) + half U^(n)) over
        the steps k of the batch.
        """
        now = torch.tensordot(self.weights.unsqueeze(-1), half * self.direction.unsqueeze(0), 1)
        history, past = self._past()
        if past is None:
            return now
        coefficients = history.coefficients[:, : len(self.gradients)].to(self.theta)
        return torch.tensordot(coefficients, past, dims=1) + now

    def _past(self) -> tuple[cyclic.History, Tensor | None]:
        """Return the weights of the past and U at their steps, as many as U's turns need."""
        history = cyclic.history(*self.step)
        if not len(history.steps):
            return history, None
        past = self._directions(history.node_weights)
        while history.probes is not None:
            between = self._directions(history.probes.weights)
            refined = cyclic.sharp(history, past, between)
            if not refined:
                break
            history = cyclic.history(*self.step, history.refined | refined)
            past = self._directions(history.node_weights)
        return history, past

    def _directions(self, weights: Tensor) -> Tensor:
        """Return U at steps at which the batches have weights (L, K, batches), shape (K, ...)."""
        seen = weights[..., : len(self.gradients)].to(self.theta)
        moments = _averages(seen, self.features)
        in_dims = (*(0 for _ in moments), None)
        return vmap(self.rule.combine, in_dims=in_dims)(*moments, self.theta)


def _averages(weights: Tensor, features: Sequence[Tensor]) -> list[Tensor]:
    """Return each moment from its weights (L, ..., batches) and features (batches, ...)."""
    pairs = zip(weights, features, strict=True)
    return [torch.tensordot(weight, feature, dims=1) for weight, feature in pairs]


def _sum_of_batches(losses: tuple[Loss, ...], theta: Tensor) -> Loss:
    """Return the sum of the losses, each at a place of its own, so that one gradient holds all."""
    totals = [total(loss, theta) for loss in losses]
    return lambda places: torch.stack([f(x) for f, x in zip(totals, places, strict=True)]).sum()
