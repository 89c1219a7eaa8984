"""The drift of cyclic mini-batches at one theta and step (Theorem 3.1), for any rule.

    f0^(n) = -U^(n)
    f1^(n) = -sum_l d_l Phi[sum_(k<=n) w_lk phi_l'(g_k) . Hessian_k V_k] - d_theta Phi[U^(n)] / 2
    V_k    = sum_(j=k)^(n-1) U^(j) + U^(n) / 2

with U^(j) = Phi(m_hat_1^(j), ..., m_hat_L^(j), theta), every moment evaluated at the present theta.

Steps k of the same batch share gradient and Hessian, so that their inner sums are added up first:
:mod:`adambias.law.cyclic` has the weights of these sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import vmap

from adambias.law import cyclic
from adambias.law.derivatives import derivative, gradient_of, pullback, total
from adambias.law.losses import Loss
from adambias.law.memory import age_quadrature, age_variance, mean_age
from adambias.law.resummed import in_closed_form, spread, sum_of
from adambias.law.rules import Moment, UpdateRule, identity

if TYPE_CHECKING:
    from adambias.law.rules import Number


class Batches:
    """Gradients, moments and direction of the cyclic batches at one theta and step n."""

    def __init__(
        self,
        rule: UpdateRule,
        losses: tuple[Loss, ...],
        theta: Tensor,
        n: int,
        *,
        derivatives: bool,
    ) -> None:
        # From some step on the weights recur with each cycle: few steps then stand for all the
        # others, and the cache of weights stays small.
        n = cyclic.recurring_step(n, rule.decays, len(losses))
        self.rule, self.theta = rule, theta
        self.step = (n, rule.decays, len(losses))
        # A batch that has not come yet has no weight: its loss is not evaluated.
        seen = losses[: n + 1]
        self.weights = cyclic.weights(*self.step)[:, : len(seen)].to(theta)
        # Each batch has a copy of theta of its own. The Hessian of the sum is then block diagonal,
        # so that one reverse sweep gives all gradients, and one product all Hessian_r
        # displacement_r.
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
        # Phi is differentiated once along all its arguments, rather than once for each moment.
        moments = zip(self.rule.moments, self._displacements(half), strict=True)
        tangents = [self._moment_tangent(*each) for each in moments]
        point = (*_averages(self.weights, self.features), self.theta)
        return -derivative(self.rule.combine, point, (*tangents, half * self.direction))

    def resummed(self, h: Number, half: float) -> Tensor:
        """Return the drift with resummed memory.

        Batch r's gradients in moment l are taken to lie on a line, g_r + h (a + half) v with v such
        that their mean is right: the one that f1 has, of Hessian_r times the mean displacement. The
        batch's ages a are (n - r) mod m and m, 2 m, ... steps more; their weights fade by d^m each.
        """
        moments = enumerate(zip(self.rule.moments, self._displacements(half), strict=True))
        estimates = [self._resummed_moment(h, half, i, *each) for i, each in moments]
        return -self.rule.combine(*estimates, self.theta + half * h * self.direction)

    def _resummed_moment(
        self, h: Number, half: float, index: int, moment: Moment, displacements: Tensor
    ) -> Tensor:
        n, decays, batches = self.step
        decay = decays[index]
        # What has no weight, such as any batch but the present one without memory, has no past.
        counted = self.weights[index] > 0
        (curvatures,) = self.hessian_products(displacements)
        terms = []
        for r in counted.nonzero().flatten().tolist():
            lag, visits = (n - r) % batches, (n - r) // batches
            weight, g = self.weights[index, r], self.gradients[r]
            change = h * curvatures[r] / weight
            if in_closed_form(moment):
                age = lag + batches * mean_age(decay**batches, visits) + half
                variance = batches**2 * age_variance(decay**batches, visits)
                relative = variance / age**2 if age else 0.0
                average = spread(moment, g + change, relative, change)
            else:
                pairs = age_quadrature(decay**batches, visits)
                ages = [(lag + batches * age + half, w) for age, w in pairs]
                mean = sum(age * w for age, w in ages) or 1.0
                average = sum_of([w * moment.phi(g + age / mean * change) for age, w in ages])
            terms.append(weight * average)
        return sum_of(terms)

    def _moment_tangent(self, moment: Moment, displacements: Tensor) -> Tensor:
        """Return sum_r phi'(g_r) . (Hessian_r displacement_r)."""
        # The displacements hold the weights of the batches, so that a plain sum is the average.
        (curvatures,) = self.hessian_products(displacements)
        if moment.phi is identity:
            return curvatures.sum(0)
        return derivative(moment.phi, (self.gradients,), (curvatures,)).sum(0)

    def _displacements(self, half: float) -> Tensor:
        """Return the weighted ways back to the steps of each batch, shape (L, batches, ...).

        With w the weights of moment l, that is sum_k w_k (sum_(j=k)^(n-1) U^(j) + half U^(n)) over
        the steps k of the batch. Times h it is the way from the present theta to where the batch's
        gradients were taken, along the directions in between.
        """
        now = torch.tensordot(self.weights.unsqueeze(-1), half * self.direction.unsqueeze(0), 1)
        past_weights, past = self._past()
        if past is None:
            return now
        coefficients = past_weights.coefficients[:, : len(self.gradients)].to(self.theta)
        return torch.tensordot(coefficients, past, dims=1) + now

    def _past(self) -> tuple[cyclic.PastWeights, Tensor | None]:
        """Return the weights of the past and U at their steps, refined until U is matched."""
        past_weights = cyclic.past_weights(*self.step)
        if not len(past_weights.steps):
            return past_weights, None
        past = self._directions(past_weights.node_weights)
        # It ends: panels only get shorter, and short ones are taken step by step, without probes.
        while past_weights.probes is not None:
            between = self._directions(past_weights.probes.weights)
            refined = cyclic.misfits(past_weights.probes, past, between)
            if not refined:
                break
            # Together with those found before: a new set alone would undo earlier halvings.
            past_weights = cyclic.past_weights(*self.step, past_weights.refined | refined)
            past = self._directions(past_weights.node_weights)
        return past_weights, past

    def _directions(self, weights: Tensor) -> Tensor:
        """Return U at steps at which the batches have weights (L, K, batches), shape (K, ...)."""
        seen = weights[..., : len(self.gradients)].to(self.theta)
        # The features are those of the present theta: U^(j) differs from U^(n) by its weights
        # alone.
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
