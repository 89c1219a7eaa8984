"""Flows that follow an update rule: leading order, modified, memoryless; full batch or mini-batch.

With m_hat frozen at theta, f0 = -Phi(phi_1(g), ..., phi_L(g), theta) is the leading-order drift and

    f1^(n) = sum_l (lambda_l(n) + 1/2) d_l Phi[phi_l'(g) . (Hessian f0)] + 1/2 d_theta Phi[f0]
    lambda_l(n) = d/(1 - d) - (n + 1) d^(n+1) / (1 - d^(n+1)),    d = d_l

makes theta' = f0 + h f1^(n) on [nh, (n+1)h] follow the rule to second order in h. The halves come
from discrete time, the mean ages lambda from memory. A list of losses stands for mini-batches taken
in cyclic order (Theorem 3.1); :mod:`adambias.memory` holds its weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor
from torch.func import vmap

from adambias import memory
from adambias.checks import integer
from adambias.derivatives import derivative, gradient_of, pullback
from adambias.errors import ConfigError
from adambias.losses import Loss
from adambias.rules import Moment, UpdateRule, identity, require_rule

if TYPE_CHECKING:
    from adambias.rules import Number

Losses: TypeAlias = Loss | Sequence[Loss]
Step: TypeAlias = int | Literal["step"] | None


@dataclass(frozen=True, kw_only=True)
class Flow:
    """An ordinary differential equation theta' = drift(theta, n) on [nh, (n+1)h].

    Attributes
    ----------
    drift : callable
        The right side: of ``theta`` of shape ``(p,)`` or ``(B, p)`` and of the step ``n``.
    name : {"leading_order", "modified", "memoryless"}
        Which approximation it is.
    rule : UpdateRule
        The rule it follows.
    losses : tuple of callable
        The loss, or the mini-batch losses in cyclic order.
    h : float, Tensor or None
        The step size it was made for; None for the leading-order flow, which needs none.
    """

    drift: Callable[[Tensor, int], Tensor]
    name: Literal["leading_order", "modified", "memoryless"]
    rule: UpdateRule
    losses: tuple[Loss, ...]
    h: Number | None

    def __call__(self, theta: Tensor, n: int = 0) -> Tensor:
        """Return the drift at ``theta`` in step ``n``."""
        return self.drift(theta, n)


def leading_order_flow(rule: UpdateRule, loss: Losses) -> Flow:
    """Return theta' = f0 = -Phi(phi(g), theta), which follows the rule to first order in h.

    Parameters
    ----------
    rule : UpdateRule
        The optimizer, with bias correction.
    loss : callable or sequence of callables
        The loss, from ``(p,)`` to a scalar; or mini-batch losses, taken in cyclic order.
    """
    losses = as_losses(loss)
    _check_rule(rule, losses)

    def drift(theta: Tensor, n: int) -> Tensor:
        if len(losses) > 1:
            return -_Batches(rule, losses, theta, n, derivatives=False).direction
        return -_direction(rule, gradient(losses[0], theta), theta)

    return Flow(
        drift=drift,
        name="leading_order",
        rule=rule,
        losses=losses,
        h=None,
    )


def modified_flow(rule: UpdateRule, loss: Losses, h: Number, n: Step = "step") -> Flow:
    """Return theta' = f0 + h f1, which follows the rule to second order in h.

    Parameters
    ----------
    rule : UpdateRule
        The optimizer, with bias correction.
    loss : callable or sequence of callables
        The loss, from ``(p,)`` to a scalar; or mini-batch losses, taken in cyclic order.
    h : float or Tensor
        Step size, >= 0; a tensor ``(B, 1)`` for one per trajectory.
    n : "step", None or int, optional
        The age of the memory: that of each step (the default, and the theorem), None for the limit
        of large n, equations (2.2)-(2.3), or one fixed step.
    """
    return _corrected_flow("modified", rule, loss, h, n, half=0.5)


def memoryless(rule: UpdateRule, loss: Losses, h: Number, n: Step = "step") -> Flow:
    """Return the memoryless iteration theta+ = theta + h f0 + h^2 sum_l lambda_l d_l Phi[...].

    It keeps only the terms that come from memory. Being an iteration, it is integrated by Euler's
    method with one step per h: that is what :func:`adambias.integrate` does with it. Parameters as
    in :func:`modified_flow`.

    References
    ----------
    Cattaneo and Shigida (2025), on memory in optimization algorithms.
    """
    return _corrected_flow("memoryless", rule, loss, h, n, half=0.0)


@torch.no_grad()
def correction(
    rule: UpdateRule, loss: Losses, theta: Tensor, h: Number, n: int | None = None
) -> Tensor:
    """Return h f1, the O(h) term of the modified flow's drift.

    Parameters
    ----------
    rule, loss, h
        As in :func:`modified_flow`.
    theta : Tensor, shape (p,) or (B, p)
        Where to evaluate.
    n : int or None
        The step; None is the limit of large n, for one loss only, since a mini-batch drift depends
        on which batch comes.

    Returns
    -------
    Tensor of the shape of theta
        Without autograd's graph, whatever theta brings along.
    """
    losses = as_losses(loss)
    _check_rule(rule, losses)
    check_step_size(h)
    n = None if n is None else integer("n", n, at_least=0)
    check_start(losses, theta)
    check_shapes(rule, theta, h)
    if n is None and len(losses) > 1:
        raise ConfigError("n", n, "must be an integer for mini-batches: it says which batch comes")
    _, first_order = _drift(rule, losses, theta, n, 0.5)
    return h * first_order


def gradient(loss: Loss, theta: Tensor) -> Tensor:
    """Return the gradient at ``theta``, ``(p,)`` or one row per trajectory, ``(B, p)``."""
    return gradient_of(_total(loss, theta), theta)


def as_losses(loss: Losses) -> tuple[Loss, ...]:
    """Return the losses as a tuple, one entry for full batch."""
    losses = (loss,) if callable(loss) else tuple(loss) if isinstance(loss, Iterable) else ()
    if not losses or not all(callable(each) for each in losses):
        raise ConfigError("loss", loss, "must be a function, or a list of functions, of a vector")
    return losses


def check_start(losses: Sequence[Loss], theta: Tensor) -> None:
    """Refuse a start, or a loss at it, that no trajectory can begin with.

    Raises
    ------
    ConfigError
        If theta is not a floating ``(p,)`` or ``(B, p)``, or a loss is not scalar or not finite.
    """
    if not isinstance(theta, Tensor) or not theta.is_floating_point():
        raise ConfigError("theta0", theta, "must be a floating-point tensor, float64 by preference")
    if theta.ndim not in (1, 2) or theta.numel() == 0:
        raise ConfigError("theta0.shape", tuple(theta.shape), "must be (p,) or (B, p)")
    for loss in losses:
        value = loss(theta if theta.ndim == 1 else theta[0])
        if not isinstance(value, Tensor) or value.ndim != 0:
            shape = tuple(value.shape) if isinstance(value, Tensor) else value
            raise ConfigError("loss(theta0)", shape, "must be a scalar tensor, of shape ()")
        values = value if theta.ndim == 1 else vmap(loss)(theta)
        if not bool(torch.isfinite(values).all()):
            worst = values.flatten()[~torch.isfinite(values.flatten())][0].item()
            raise ConfigError("loss(theta0)", worst, "must be finite at the start")


def check_shapes(rule: UpdateRule, theta: Tensor, h: Number) -> None:
    """Refuse hyperparameters or a step size of a shape that does not go with ``theta``.

    Raises
    ------
    ConfigError
        If h is neither a number nor ``(B, 1)`` for ``theta`` of shape ``(B, p)``, or the rule's
        direction is not of the shape of ``theta``.
    """
    shape = tuple(theta.shape)
    advice = f"does not go with theta0 {shape}, one start per trajectory: expand theta0 to (B, p)"
    if isinstance(h, Tensor) and h.ndim and h.shape != (*shape[:-1], 1):
        raise ConfigError("h.shape", tuple(h.shape), advice)
    for decay in rule.decays:
        if isinstance(decay, Tensor) and not _broadcasts(decay, theta):
            raise ConfigError("decay.shape", tuple(decay.shape), advice)
    try:
        direction = rule.combine(*(torch.zeros_like(theta) for _ in rule.moments), theta)
    except RuntimeError as error:
        raise ConfigError("rule", rule.name, f"{advice} ({str(error).splitlines()[0]})") from None
    if isinstance(direction, Tensor) and not _broadcasts(direction, theta):
        raise ConfigError("rule", rule.name, advice)


def _broadcasts(value: Tensor, theta: Tensor) -> bool:
    try:
        value.expand(theta.shape)
    except RuntimeError:
        return False
    return True


def _corrected_flow(
    name: Literal["modified", "memoryless"],
    rule: UpdateRule,
    loss: Losses,
    h: Number,
    n: Step,
    half: float,
) -> Flow:
    losses = as_losses(loss)
    _check_rule(rule, losses)
    check_step_size(h)
    fixed = n if n is None or n == "step" else integer("n", n, at_least=0)
    settled = memory.settled_step(rule.decays, len(losses)) if len(losses) > 1 else 0

    def age(step: int) -> int | None:
        if fixed is None:
            return settled + step % len(losses) if len(losses) > 1 else None
        return step if fixed == "step" else fixed

    def drift(theta: Tensor, step: int) -> Tensor:
        leading, first_order = _drift(rule, losses, theta, age(step), half)
        return leading + h * first_order

    return Flow(
        drift=drift,
        name=name,
        rule=rule,
        losses=losses,
        h=h,
    )


def _drift(
    rule: UpdateRule, losses: tuple[Loss, ...], theta: Tensor, n: int | None, half: float
) -> tuple[Tensor, Tensor]:
    """Return f0 and f1; ``half`` is the share of discrete time, 0 for the memoryless iteration."""
    if len(losses) > 1:
        assert n is not None
        batches = _Batches(rule, losses, theta, n, derivatives=True)
        return -batches.direction, batches.first_order(half)
    return _full_batch_drift(rule, losses[0], theta, n, half)


def _full_batch_drift(
    rule: UpdateRule, loss: Loss, theta: Tensor, n: int | None, half: float
) -> tuple[Tensor, Tensor]:
    """Return f0 and f1 from one gradient and one Hessian-vector product."""
    g, hessian_product = pullback(partial(gradient_of, _total(loss, theta)), theta)
    f0 = -_direction(rule, g, theta)
    (curvature,) = hessian_product(f0)
    ages = [memory.mean_age(decay, n) for decay in rule.decays]

    def direction(*arguments: Tensor) -> Tensor:
        moments = [m.phi(a) for m, a in zip(rule.moments, arguments[:-1], strict=True)]
        return rule.combine(*moments, arguments[-1])

    point = (*(g for _ in ages), theta)
    tangent = (*((age + half) * curvature for age in ages), half * f0)
    return f0, derivative(direction, point, tangent)


class _Batches:
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
        n = memory.recurring_step(n, rule.decays, len(losses))
        self.rule, self.theta = rule, theta
        self.step = (n, rule.decays, len(losses))
        seen = losses[: n + 1]
        self.weights = memory.weights(*self.step)[:, : len(seen)].to(theta)
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

    def _past(self) -> tuple[memory.History, Tensor | None]:
        """Return the weights of the past and U at their steps, as many as U's turns need."""
        history = memory.history(*self.step)
        if not len(history.steps):
            return history, None
        past = self._directions(history.node_weights)
        while history.probes is not None:
            between = self._directions(history.probes.weights)
            refined = memory.sharp(history, past, between)
            if not refined:
                break
            history = memory.history(*self.step, history.refined | refined)
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


def _direction(rule: UpdateRule, g: Tensor, theta: Tensor) -> Tensor:
    return rule.combine(*(moment.phi(g) for moment in rule.moments), theta)


def _total(loss: Loss, theta: Tensor) -> Loss:
    """Return the loss, or the sum of the losses of independent trajectories."""
    if theta.ndim == 1:
        return loss
    return lambda rows: vmap(loss)(rows).sum()


def _sum_of_batches(losses: tuple[Loss, ...], theta: Tensor) -> Loss:
    """Return the sum of the losses, each at a place of its own, so that one gradient holds all."""
    totals = [_total(loss, theta) for loss in losses]
    return lambda places: torch.stack([f(x) for f, x in zip(totals, places, strict=True)]).sum()


def _check_rule(rule: UpdateRule, losses: tuple[Loss, ...]) -> None:
    require_rule(rule)
    if not rule.bias_correction:
        raise ConfigError(
            "bias_correction", False, f"must be true for the flows of {rule.name} to hold"
        )
    if len(losses) > 1 and any(isinstance(decay, Tensor) for decay in rule.decays):
        raise ConfigError("decay", "a tensor", "must be a number for mini-batches")


def check_step_size(h: Number, *, positive: bool = False) -> None:
    """Refuse a step size that is negative, infinite, or a tensor of a shape other than (B, 1).

    Raises
    ------
    ConfigError
        Naming ``h``; 0 is refused too if it has to be ``positive``.
    """
    if not isinstance(h, Real | Tensor):
        raise ConfigError("h", h, "must be a number, or a tensor (B, 1)")
    values, bound = torch.as_tensor(h), ">" if positive else ">="
    if not torch.all((values > 0 if positive else values >= 0) & (values < math.inf)):
        raise ConfigError("h", h, f"must be {bound} 0 and finite")
    if values.ndim and (values.ndim != 2 or values.shape[1] != 1):
        raise ConfigError("h.shape", tuple(values.shape), "must be (B, 1), one per trajectory")
