"""The moment flow: a law in phase space, whose state is theta and the moments.

A flow of theta alone has its moments follow the gradient at once, or at a lag that is small. Where
memory reaches far they do not: momentum has inertia. Here they are part of the state. With the
moments m_l uncorrected for their start, and c_l the correction, which is the average of 1,

    theta' = -Phi([m_l + a_l (phi_l(g_half) - m_l)] / [c_l + a_l (1 - c_l)], ..., theta - h F / 2)
    m_l'   = kappa_l (phi_l(g_half) - m_l),      c_l' = kappa_l (1 - c_l)
    kappa  = -ln d / h,      a = 1 + d ln d / (1 - d)

with F = theta' with g in place of g_half and theta in place of theta - h F / 2, and g_half the
gradient half a step back, of which there are two forms:

    gradient    grad E(theta - h F / 2)
    hessian     g - h/2 Hessian F

kappa makes a moment fade by d in the time h. The weight a is what makes the average over a step of
m + a (phi - m) the moment that the optimizer uses in it; with it the estimate lags behind the
gradient by d/(1 - d) + 1/2 steps, the lambda + 1/2 of the first-order law. For d = 0 it is 1: the
moment is slaved, phi(g_half). Derivation: docs/theory.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor

from adambias.core.errors import ConfigError, choose_from
from adambias.core.lazy import Drawable
from adambias.law.arguments import Losses, as_losses, check_step_size
from adambias.law.derivatives import gradient, slope
from adambias.law.flows import check_rule
from adambias.law.losses import Loss
from adambias.law.rules import UpdateRule, square

if TYPE_CHECKING:
    from adambias.law.rules import Number

Form: TypeAlias = Literal["gradient", "hessian"]
FORMS: tuple[Form, ...] = ("gradient", "hessian")
State: TypeAlias = tuple[Tensor, ...]
"""theta, then the moments that have memory, then their corrections c."""

_LARGEST_RATE = 1.25  # kappa times the length of a Runge-Kutta step


@dataclass(frozen=True, kw_only=True)
class MomentFlow(Drawable):
    """An ordinary differential equation for theta and the moments of a rule.

    Attributes
    ----------
    rule : UpdateRule
        The rule it follows.
    losses : tuple of callable
        The loss, alone in its tuple.
    h : float or Tensor
        The step size it was made for.
    form : {"gradient", "hessian"}
        How it knows the gradient half a step back.
    name : "moment"
        Which approximation it is.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> loss, rule = ab.losses.bilinear(), ab.rules.adam(beta1=0.3, beta2=0.6, epsilon=1e-2)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> flow = ab.moment_flow(rule, loss, h=0.01)
    >>> flow.name, ab.integrate(flow, theta0, h=0.01, n_steps=80)[-1]
    ('moment', tensor([2.0095, 2.7103], dtype=torch.float64))
    """

    rule: UpdateRule
    losses: tuple[Loss, ...]
    h: Number
    form: Form
    name: Literal["moment"] = "moment"

    @cached_property
    def rates(self) -> tuple[Number, ...]:
        """Rate kappa of each moment; 0 stands for a moment without memory, which has none."""
        return tuple(_rate(decay, self.h) for decay in self.rule.decays)

    @cached_property
    def shares(self) -> tuple[Number, ...]:
        """Weight a of the present in each moment."""
        return tuple(_share(decay) for decay in self.rule.decays)

    @property
    def substeps(self) -> int:
        """Fewest Runge-Kutta steps per h: short memory fades too fast for one."""
        fastest = max(float(torch.as_tensor(self.h * rate).max()) for rate in self.rates)
        return max(1, math.ceil(fastest / _LARGEST_RATE))

    def start(self, theta: Tensor) -> State:
        """Return the state after the rule's own first step from ``theta``.

        An average that fills goes short of the optimizer's by h phi' / (8 n) at step n where memory
        is long, which adds up to a logarithm. An eighth of the next feature makes it up.
        """
        g = gradient(self.losses[0], theta)
        features = [moment.phi(g) for moment in self.rule.moments]
        moved = theta - self.h * self.rule.combine(*features, theta)
        decays = [self.rule.decays[i] for i in self.rule.remembered]
        following = gradient(self.losses[0], moved)
        moments = []
        for i, decay in zip(self.rule.remembered, decays, strict=True):
            ahead = self.rule.moments[i].phi(following) - features[i]
            moments.append((1 - decay) * (features[i] + ahead / 8))
        # Shaped as the rate: one number, or one per trajectory.
        rates = [torch.as_tensor(self.rates[i]).to(theta) for i in self.rule.remembered]
        corrections = [0 * rate + (1 - d) for rate, d in zip(rates, decays, strict=True)]
        return (moved, *moments, *corrections)

    @cached_property
    def fading(self) -> tuple[Number | None, ...]:
        """Fastest rate at which each entry of the state can fall; None where there is none.

        An average of squares falls no faster than it fades.
        """
        moments = self.rule.moments
        rates = (self.rates[i] if moments[i].phi is square else None for i in self.rule.remembered)
        return (None, *rates, *(None for _ in self.rule.remembered))

    def velocity(self, state: State) -> State:
        """Return the time derivative of the state."""
        theta, held = state[0], self._held(state)

        def direction(g: Tensor, at: Tensor) -> Tensor:
            estimates = []
            for i, moment in enumerate(self.rule.moments):
                estimate, share = moment.phi(g), self.shares[i]
                if i in held:
                    past, correction = held[i]
                    mixed = past + share * (estimate - past)
                    estimate = mixed / (correction + share * (1 - correction))
                estimates.append(estimate)
            return -self.rule.combine(*estimates, at)

        half = self.h / 2
        if self.form == "gradient":
            drift = direction(gradient(self.losses[0], theta), theta)
            g = gradient(self.losses[0], theta - half * drift)
        else:
            now, product = slope(self.losses[0], theta)
            drift = direction(now, theta)
            g = now - half * product(drift)
        moments, corrections = [], []
        for i, (past, correction) in held.items():
            moments.append(self.rates[i] * (self.rule.moments[i].phi(g) - past))
            corrections.append(self.rates[i] * (1 - correction))
        return (direction(g, theta - half * drift), *moments, *corrections)

    def estimates(self, state: State) -> tuple[Tensor, ...]:
        """Return the moments that have memory, corrected for their start, each as theta.

        NaN in a trajectory whose own decay is 0, and whose moment is not followed.
        """
        found = []
        for i, (past, correction) in self._held(state).items():
            decay = torch.as_tensor(self.rule.decays[i])
            found.append((past / correction).where(decay.to(past) != 0, math.nan))
        return tuple(found)

    def _held(self, state: State) -> dict[int, tuple[Tensor, Tensor]]:
        """Return moment and correction of each that has memory, by its index in the rule."""
        count = len(self.rule.remembered)
        pairs = zip(state[1 : 1 + count], state[1 + count :], strict=True)
        return dict(zip(self.rule.remembered, pairs, strict=True))


def moment_flow(rule: UpdateRule, loss: Losses, h: Number, form: Form = "gradient") -> MomentFlow:
    """Return the moment flow: second order in h, however far memory reaches.

    Parameters
    ----------
    rule : UpdateRule
        The optimizer, with bias correction.
    loss : callable
        The loss, from ``(p,)`` to a scalar; full batch. From one mini-batch to the next the moments
        jump, and no flow of theirs is near them.
    h : float or Tensor
        Step size, > 0; a tensor ``(B, 1)`` for one per trajectory.
    form : {"gradient", "hessian"}, optional
        Two gradients an evaluation, or a gradient and a Hessian-vector product. They agree to the
        order of the law; the first needs no second derivative.

    Returns
    -------
    MomentFlow
        For :func:`adambias.integrate`.

    Raises
    ------
    ConfigError
        If the rule has no bias correction, or ``loss`` is a list of several.

    Examples
    --------
    Where memory reaches far, it is nearer than the modified flow:

    >>> import torch, adambias as ab
    >>> loss, theta0 = ab.losses.tanh_mlp()
    >>> rule, h = ab.rules.adam(beta1=0.9, beta2=0.99, epsilon=1e-4), 2.5e-3
    >>> path = ab.iterate(rule, loss, theta0, h, n_steps=50)
    >>> for flow in (ab.modified_flow(rule, loss, h), ab.moment_flow(rule, loss, h)):
    ...     far = ab.integrate(flow, theta0, h, n_steps=50) - path
    ...     print(f"{far.norm(dim=-1).max():.1e}")
    1.4e-02
    3.7e-05
    """
    losses = as_losses(loss)
    check_rule(rule, losses)
    check_step_size(h, positive=True)
    if form not in FORMS:
        raise ConfigError("form", form, choose_from(FORMS, form))
    if len(losses) > 1:
        allowed = "must be one loss: the moments of mini-batches jump from step to step"
        raise ConfigError("loss", f"{len(losses)} losses", allowed)
    return MomentFlow(rule=rule, losses=losses, h=h, form=form)


def _rate(decay: Number, h: Number) -> Number:
    if isinstance(decay, Tensor):
        # Where there is no memory the moment stays as it is and has no weight: the share is 1.
        return torch.where(decay == 0, 0.0, -decay.log()) / h
    return 0.0 / h if decay == 0 else -math.log(decay) / h


def _share(decay: Number) -> Number:
    if isinstance(decay, Tensor):
        return 1 + torch.special.xlogy(decay, decay) / (1 - decay)
    return 1.0 if decay == 0 else 1 + decay * math.log(decay) / (1 - decay)
