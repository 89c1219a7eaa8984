"""The oscillating flow: a smooth path, and how far the iterates swing around it.

Where curvature is high an optimizer's steps alternate around a smooth path. With z the weights and
the moments, write z^(n) = z_bar(nh) + (-1)^n delta^(n). One step T of the rule then splits without
an error into

    z_bar+ = [T(z_bar + delta) + T(z_bar - delta)] / 2
    delta+ = -[T(z_bar + delta) - T(z_bar - delta)] / 2

The amplitude keeps its steps. The mean is given a flow: with g+- = grad E(theta +- delta) and the
moments kept half a step ahead of the rule's, M(t) = m(t + h/2),

    theta' = -[Phi((M + eps)/c, ..., theta - h F / 2) + Phi((M - eps)/c, ..., theta - h F / 2)] / 2
    M'     = kappa ([phi(g+) + phi(g-)] / 2 - M),     c' = kappa (1 - c),     kappa = -ln d / h

with F = theta' without its h F / 2, and eps the amplitude of the moments in the step. A moment
without memory is phi(g+-) half a step back, at theta - h F / 2. One with memory lags by what it
should but for w h / 2, w = (1 + d)/(1 - d) + 2/ln d, which is made up by mixing in the gradient of
half a step back with the weight w.

Half a step ahead, weights and moments are those of a leapfrog scheme: but for w a mode that swings
fades by exp(-kappa h / 2) = sqrt(d) in a step, whatever its frequency, as it does in the rule. The
moment flow, of the same order, lets fast modes fade too fast. Derivation: docs/theory.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor

from adambias.core.errors import ConfigError
from adambias.core.lazy import Drawable
from adambias.core.validation import Range, integer
from adambias.law.arguments import Losses, as_losses, check_step_size
from adambias.law.derivatives import gradient
from adambias.law.flows import check_rule
from adambias.law.losses import Loss
from adambias.law.moment_flow import _LARGEST_RATE, State
from adambias.law.rules import UpdateRule, square

if TYPE_CHECKING:
    from adambias.law.rules import Number

Pair = tuple[Tensor, Tensor]
"""A value on the branch theta + delta, and on theta - delta."""

NOISE = 0.02
"""Amplitude at the start, of each weight, in units of h."""
_SMALL = 0.1  # weight of the gradient of half a step back that makes no mode fall fast
_FLOOR = 0.1  # share of its mean that an average of squares keeps on either branch
DAMPING = 0.05
"""Share that the amplitude loses in a step where it does not alternate."""
_PAST = 3  # amplitudes before the present one that a state holds
_NOISE = Range(at_least=0, below=math.inf)
_DAMPING = Range(at_least=0, below=1)


class Parts(NamedTuple):
    """What a state consists of; lists have one entry per moment that has memory."""

    theta: Tensor
    moments: State
    corrections: State
    amplitude: Tensor
    before: Tensor
    rise: Tensor
    past: State
    swings: State


@dataclass(frozen=True, kw_only=True)
class OscillatingFlow(Drawable):
    """A flow of theta and a rule's moments, with an amplitude that is renewed at each step.

    Attributes
    ----------
    rule : UpdateRule
        The rule it follows.
    losses : tuple of callable
        The loss, alone in its tuple.
    h : float or Tensor
        The step size it was made for.
    noise : float
        Root mean square of the amplitude at the start, of each weight, in units of h.
    seed : int
        What the amplitude at the start is drawn from.
    damping : float
        Share of the amplitude that it loses in a step where it does not alternate.
    half_step : bool
        Whether moments that have memory know the gradient of half a step back.
    name : "oscillating"
        Which approximation it is.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> loss, rule = ab.losses.bilinear(), ab.rules.adam(beta1=0.3, beta2=0.6, epsilon=1e-2)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> flow = ab.oscillating_flow(rule, loss, h=0.01)
    >>> flow.name, flow.noise, ab.integrate(flow, theta0, h=0.01, n_steps=80)[-1]
    ('oscillating', 0.02, tensor([2.0095, 2.7103], dtype=torch.float64))
    """

    rule: UpdateRule
    losses: tuple[Loss, ...]
    h: Number
    noise: float
    seed: int
    damping: float
    half_step: bool
    name: Literal["oscillating"] = "oscillating"

    @cached_property
    def decays(self) -> tuple[float, ...]:
        """Decay of each moment that has memory."""
        return tuple(float(self.rule.decays[i]) for i in self.rule.remembered)

    @cached_property
    def rates(self) -> tuple[Number, ...]:
        """Rate kappa of each of them."""
        return tuple(-math.log(d) / self.h for d in self.decays)

    @cached_property
    def weights(self) -> tuple[float, ...]:
        """Weight w of the gradient of half a step back in each of them.

        0.12 for a decay of 0.5, 0.018 for 0.9. Zero without ``half_step``, unless a moment without
        memory asks for that gradient anyway.
        """
        if not (self.half_step or self._looks_back):
            return tuple(0.0 for _ in self.decays)
        return tuple((1 + d) / (1 - d) + 2 / math.log(d) for d in self.decays)

    @property
    def substeps(self) -> int:
        """Fewest Runge-Kutta steps per h.

        Short memory fades too fast for one; and where the gradient of half a step back counts, a
        mode at the edge falls at the rate 4 / h.
        """
        fastest = max((-math.log(d) for d in self.decays), default=0.0)
        looks_back = self._looks_back or max(self.weights, default=0.0) > _SMALL
        return max(2 if looks_back else 1, math.ceil(fastest / _LARGEST_RATE))

    @cached_property
    def fading(self) -> tuple[Number | None, ...]:
        """Fastest rate at which each entry of the state can fall; None where there is none."""
        moments, indices = self.rule.moments, self.rule.remembered
        falls = zip(indices, self.rates, strict=True)
        rates = [rate if moments[i].phi is square else None for i, rate in falls]
        return (None, *rates, *(None for _ in range(2 * len(rates) + 3 + _PAST)))

    @property
    def _looks_back(self) -> bool:
        """Whether a moment without memory needs the gradient of half a step back anyway."""
        return len(self.rule.remembered) < len(self.rule.moments)

    def start(self, theta: Tensor) -> State:
        """Return the state after the rule's own first step from ``theta``."""
        moments = [self.rule.moments[i] for i in self.rule.remembered]
        g = gradient(self.losses[0], theta)
        moved = theta - self.h * self.rule.combine(*(m.phi(g) for m in self.rule.moments), theta)
        following = gradient(self.losses[0], moved)
        # From m = (1 - d) phi(g) half a step on, over which phi is that of three quarters of h.
        held = []
        for moment, d in zip(moments, self.decays, strict=True):
            first, second = moment.phi(g), moment.phi(following)
            held.append(_half(d, (1 - d) * first, (first + 3 * second) / 4))
        corrections = [torch.as_tensor(0 * r + 1 - d**1.5).to(theta) for r, d in self._fades()]
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randn(theta.shape, generator=generator, dtype=torch.float64).to(theta)
        none = torch.zeros_like(theta)
        amplitude = self.noise * self.h * drawn
        past = (amplitude,) * _PAST
        swing = (amplitude, amplitude, none, *past, *(none for _ in held))
        return (moved, *held, *corrections, *swing)

    def renewed(self, state: State) -> State:
        """Return the state with the amplitude on its way to that of the next step.

        To be called at the times nh, before integrating on to (n + 1) h.
        """
        parts = self.parts(state)
        theta, delta = parts.theta, parts.amplitude
        plus, minus = self._gradients(theta, delta)
        held, corrections, swings = [], [], []
        for j, i in enumerate(self.rule.remembered):
            phi, d = self.rule.moments[i].phi, self.decays[j]
            one, other = phi(plus), phi(minus)
            held.append(_half(d, parts.moments[j], (one + other) / 2))
            corrections.append(_half(d, parts.corrections[j], torch.ones_like(one)))
            swings.append(-d * parts.swings[j] + (1 - d) * (one - other) / 2)
        ahead = parts._replace(
            moments=tuple(held), corrections=tuple(corrections), swings=tuple(swings)
        )
        one, other = self._directions(ahead, (plus, minus), (theta + delta, theta - delta))
        following = self._damped(self.h * (one - other) / 2 - delta, (delta, *parts.past))
        rise = (following - delta) / self.h
        kept = (theta, *parts.moments, *parts.corrections)
        return (*kept, delta, delta, rise, delta, *parts.past[:-1], *swings)

    def velocity(self, state: State) -> State:
        """Return the time derivative of the state, between one step and the next."""
        parts = self.parts(state)
        theta = parts.theta
        g = self._gradients(theta, parts.amplitude)
        drift = self._mean_drift(parts, g, theta)
        # In the mean over the step, half a step back is the amplitude that it began with.
        back, half = g, theta - self.h / 2 * drift
        if self._looks_back or any(self.weights):
            back = self._gradients(half, parts.before)
        moments = []
        for j, i in enumerate(self.rule.remembered):
            phi, w = self.rule.moments[i].phi, self.weights[j]
            one, other = (phi((1 - w) * now + w * then) for now, then in zip(g, back, strict=True))
            moments.append(self.rates[j] * ((one + other) / 2 - parts.moments[j]))
        corrections = [r * (1 - c) for r, c in zip(self.rates, parts.corrections, strict=True)]
        still = torch.zeros_like(theta)
        moved = (self._mean_drift(parts, back, half), *moments, *corrections)
        return (*moved, parts.rise, *(still for _ in range(2 + _PAST + len(moments))))

    def branches(self, state: State) -> Pair:
        """Return theta + delta and theta - delta, between which the iterates alternate."""
        parts = self.parts(state)
        return parts.theta + parts.amplitude, parts.theta - parts.amplitude

    def estimates(self, state: State) -> State:
        """Return the mean moments, corrected, half a step ahead of the rule's; then delta."""
        parts = self.parts(state)
        pairs = zip(parts.moments, parts.corrections, strict=True)
        return (*(moment / correction for moment, correction in pairs), parts.amplitude)

    def parts(self, state: State) -> Parts:
        """Return the parts of a state by their names."""
        count = len(self.decays)
        moments, corrections, rest = state[1:], state[1 + count :], state[1 + 2 * count :]
        amplitude, before, rise, *others = rest
        past, swings = tuple(others[:_PAST]), tuple(others[_PAST:])
        kept = moments[:count], corrections[:count]
        return Parts(state[0], *kept, amplitude, before, rise, past, swings)

    def _fades(self) -> zip[tuple[Number, float]]:
        return zip(self.rates, self.decays, strict=True)

    def _damped(self, following: Tensor, past: State) -> Tensor:
        """Return an amplitude less what does not alternate, which belongs to the mean.

        Its fourth difference is 16 times what flips its sign at each step, and next to nothing of
        what changes slowly.
        """
        d0, d1, d2, d3 = past
        return following - self.damping / 16 * (following - 4 * d0 + 6 * d1 - 4 * d2 + d3)

    def _gradients(self, theta: Tensor, delta: Tensor) -> Pair:
        loss = self.losses[0]
        return gradient(loss, theta + delta), gradient(loss, theta - delta)

    def _mean_drift(self, parts: Parts, g: Pair, at: Tensor) -> Tensor:
        delta = parts.amplitude
        one, other = self._directions(parts, g, (at + delta, at - delta))
        return -(one + other) / 2

    def _directions(self, parts: Parts, g: Pair, at: Pair) -> Pair:
        """Return Phi on both branches, with ``g`` for the moments without memory."""
        one, other = (
            self.rule.combine(*self._inputs(parts, sign, slope), place)
            for sign, slope, place in zip((1, -1), g, at, strict=True)
        )
        return one, other

    def _inputs(self, parts: Parts, sign: int, g: Tensor) -> list[Tensor]:
        inputs = [moment.phi(g) for moment in self.rule.moments]
        for j, i in enumerate(self.rule.remembered):
            mean = parts.moments[j]
            value = mean + sign * parts.swings[j]
            if self.rule.moments[i].phi is square:
                # Mean and swing are not of one time, so that their difference may fall below zero.
                value = torch.maximum(value, _FLOOR * mean)
            inputs[i] = value / parts.corrections[j]
        return inputs


def oscillating_flow(
    rule: UpdateRule,
    loss: Losses,
    h: Number,
    *,
    noise: float = NOISE,
    seed: int = 0,
    damping: float = DAMPING,
    half_step: bool = True,
) -> OscillatingFlow:
    """Return the oscillating flow: a smooth path and the swing of the iterates around it.

    Parameters
    ----------
    rule : UpdateRule
        The optimizer, with bias correction; its decays numbers.
    loss : callable
        The loss, from ``(p,)`` to a scalar; full batch.
    h : float or Tensor
        Step size, > 0; a tensor ``(B, 1)`` for one per trajectory.
    noise : float, optional
        What the swing grows from: its root mean square at the start, of each weight, in units of
        h. Without it there is no swing, and the flow is smooth, of second order in h.
    seed : int, optional
        What the swing at the start is drawn from.
    damping : float, optional
        Share of the swing that it loses in a step where it does not alternate from step to step: a
        displacement that stays is the mean's.
    half_step : bool, optional
        Whether a moment that has memory knows the gradient of half a step back. Without it the lag
        is off by w h / 2, at most a hundredth of a step for decays from 0.9 on, so that the order
        is 1 in the end; but an evaluation takes two gradients in place of four, and a fast mode
        fades as it does in the rule. For networks.

    Returns
    -------
    OscillatingFlow
        For :func:`adambias.integrate`, whose path is the smooth one; its info has the amplitude.

    Raises
    ------
    ConfigError
        If the rule has no bias correction or a decay is a tensor, or ``loss`` is a list of several.

    Examples
    --------
    Gradient descent on a valley whose curvature climbs to 2/h = 20, where the flow stays with it:

    >>> import torch, adambias as ab
    >>> def climbing(theta):
    ...     return (theta[0] - 21) ** 2 / 10 + theta[0] * theta[1] ** 2 / 2
    >>> flow = ab.oscillating_flow(ab.rules.gradient_descent(), climbing, 0.1, noise=0.5)
    >>> start = torch.tensor([19.5, 0.05], dtype=torch.float64)
    >>> print(f"{ab.integrate(flow, start, 0.1, 500)[-1, 0]:.2f}")
    20.03
    """
    losses = as_losses(loss)
    check_rule(rule, losses)
    check_step_size(h, positive=True)
    if any(isinstance(decay, Tensor) for decay in rule.decays):
        raise ConfigError("decay", "a tensor", "must be a number for an oscillating flow")
    if len(losses) > 1:
        allowed = "must be one loss: the moments of mini-batches jump from step to step"
        raise ConfigError("loss", f"{len(losses)} losses", allowed)
    for key, value, bounds in (("noise", noise, _NOISE), ("damping", damping, _DAMPING)):
        if not isinstance(value, Real) or not bounds.holds(value):
            raise ConfigError(key, value, f"must be a number {bounds}")
    seed = integer("seed", seed, at_least=0)
    return OscillatingFlow(
        rule=rule,
        losses=losses,
        h=h,
        noise=float(noise),
        seed=seed,
        damping=float(damping),
        half_step=half_step,
    )


def _half(decay: float, moment: Tensor, feature: Tensor) -> Tensor:
    """Return a moment half a step on, in which its feature stays as it is."""
    return decay**0.5 * moment + (1 - decay**0.5) * feature
