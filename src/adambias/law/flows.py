"""Flows that follow an update rule: leading order, modified, memoryless; full batch or mini-batch.

With m_hat frozen at theta, f0 = -Phi(phi_1(g), ..., phi_L(g), theta) is the leading-order drift and

    f1^(n) = sum_l (lambda_l(n) + 1/2) d_l Phi[phi_l'(g) . (Hessian f0)] + 1/2 d_theta Phi[f0]
    lambda_l(n) = d/(1 - d) - (n + 1) d^(n+1) / (1 - d^(n+1)),    d = d_l

makes theta' = f0 + h f1^(n) on [nh, (n+1)h] follow the rule to second order in h. The halves come
from discrete time, the mean ages lambda from memory. For Adam and large n these are equations (2.2)
and (2.3). A list of losses stands for mini-batches taken in cyclic order (Theorem 3.1), whose drift
is in :mod:`adambias.law.minibatch`.

A schedule makes step n one of h s_n. In the time n h, in which the flow is written, it runs s_n
times as fast; the halves are multiplied by s_n; and lambda_l(n) is the mean of the times, in units
of h, that the remembered gradients lie back, see :func:`adambias.law.memory.scheduled_age`.

f1 linearises twice: the past of the gradient along the flow, and Phi around the present moments.
The second is what fails where memory reaches far. ``memory="resummed"`` keeps the first and drops
the second. With c = Hessian f0 the gradient of k steps ago is g - k h c, so that each moment is
known,

    phi_bar_l(n; s) = sum_k w_k(n) phi_l(g - (k + s) h c),

and theta' = -Phi(phi_bar_1(n; 1/2), ..., phi_bar_L(n; 1/2), theta - h f0 / 2). Its expansion in h
is f0 + h f1, so the order is the same; but it stays as bounded as the rule's own step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor

from adambias.core.errors import ConfigError, choose_from
from adambias.core.lazy import Drawable
from adambias.core.validation import integer
from adambias.law.arguments import Losses, as_losses, check_shapes, check_start, check_step_size
from adambias.law.cyclic import settled_step
from adambias.law.derivatives import OwnDerivatives, derivative, gradient, slope
from adambias.law.losses import Loss
from adambias.law.memory import mean_age, scheduled_age
from adambias.law.minibatch import Batches
from adambias.law.resummed import averages, check_resummed
from adambias.law.rules import UpdateRule, require_rule

if TYPE_CHECKING:
    from adambias.law.rules import Number


Step: TypeAlias = int | Literal["step"] | None
Factors: TypeAlias = Callable[[int], float]
"""From a step to the factor of h in it."""
Memory: TypeAlias = Literal["first_order", "resummed"]
MEMORIES: tuple[Memory, ...] = ("first_order", "resummed")


@dataclass(frozen=True, kw_only=True)
class Flow(Drawable):
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
    memory : {"first_order", "resummed"} or None
        How it knows the past; None for the leading-order flow, which has none.
    schedule : callable or None
        The factor of h in each step; None where it is 1.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> loss, rule = ab.losses.bilinear(), ab.rules.adam(beta1=0.3, beta2=0.6, epsilon=1e-2)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> flow = ab.leading_order_flow(rule, loss)
    >>> flow.name, flow.rule.name, flow(theta0).shape
    ('leading_order', 'adam', torch.Size([2]))
    """

    drift: Callable[[Tensor, int], Tensor]
    name: Literal["leading_order", "modified", "memoryless"]
    rule: UpdateRule
    losses: tuple[Loss, ...]
    h: Number | None
    memory: Memory | None = None
    schedule: Factors | None = None

    def __call__(self, theta: Tensor, n: int = 0) -> Tensor:
        """Return the drift at ``theta`` in step ``n``."""
        return self.drift(theta, n)


def leading_order_flow(rule: UpdateRule, loss: Losses, *, schedule: Factors | None = None) -> Flow:
    """Return theta' = f0 = -Phi(phi(g), theta), which follows the rule to first order in h.

    Parameters
    ----------
    rule : UpdateRule
        The optimizer, with bias correction.
    loss : callable or sequence of callables
        The loss, from ``(p,)`` to a scalar; or mini-batch losses, taken in cyclic order.
    schedule : callable, optional
        From a step n to the factor of h in it, for one loss.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> loss, rule = ab.losses.bilinear(), ab.rules.adam(beta1=0.3, beta2=0.6, epsilon=1e-2)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> flow = ab.leading_order_flow(rule, loss)
    >>> flow(theta0)
    tensor([-1.0000, -1.0000], dtype=torch.float64)
    """
    losses = as_losses(loss)
    check_rule(rule, losses)
    _check_schedule(schedule, rule, losses, "step", "first_order")

    def drift(theta: Tensor, n: int) -> Tensor:
        if len(losses) > 1:
            return -Batches(rule, losses, theta, n, derivatives=False).direction
        pace = 1.0 if schedule is None else schedule(n)
        return -pace * _direction(rule, gradient(losses[0], theta), theta)

    return Flow(
        drift=drift,
        name="leading_order",
        rule=rule,
        losses=losses,
        h=None,
        schedule=schedule,
    )


def modified_flow(
    rule: UpdateRule,
    loss: Losses,
    h: Number,
    n: Step = "step",
    memory: Memory = "first_order",
    *,
    schedule: Factors | None = None,
) -> Flow:
    """Return the modified flow, which follows the rule to second order in h.

    With ``memory="first_order"`` that is theta' = f0 + h f1; with ``"resummed"`` the moments are
    those of a gradient that changed at the present rate all the time.

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
    memory : {"first_order", "resummed"}, optional
        Whether memory's effect is linear in h, as in the paper, or goes through Phi as it is. The
        first is exact as h falls and unbounded where h is not small against sqrt(epsilon); the
        second stays bounded.
    schedule : callable, optional
        From a step n to the factor of h in it, as of a warm-up or a decay; for one loss, memory of
        the first order, and n that of each step.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> loss, rule = ab.losses.bilinear(), ab.rules.adam(beta1=0.3, beta2=0.6, epsilon=1e-2)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> flow = ab.modified_flow(rule, loss, h=0.01)
    >>> path = ab.iterate(rule, loss, theta0, h=0.01, n_steps=80)
    >>> far = ab.integrate(flow, theta0, h=0.01, n_steps=80) - path
    >>> print(f"{far.norm(dim=-1).max():.1e}")
    8.6e-05
    """
    return _corrected_flow("modified", rule, loss, h, n, 0.5, memory, schedule)


def memoryless(
    rule: UpdateRule,
    loss: Losses,
    h: Number,
    n: Step = "step",
    memory: Memory = "first_order",
    *,
    schedule: Factors | None = None,
) -> Flow:
    """Return the memoryless iteration theta+ = theta + h f0 + h^2 sum_l lambda_l d_l Phi[...].

    It keeps only the terms that come from memory; with resummed memory it is the step
    theta - h Phi(phi_bar_1(n; 0), ..., phi_bar_L(n; 0), theta). Being an iteration, it is
    integrated by Euler's method with one step per h: that is what :func:`adambias.integrate` does
    with it. Parameters as in :func:`modified_flow`.

    References
    ----------
    Cattaneo and Shigida (2025), on memory in optimization algorithms.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> loss, rule = ab.losses.bilinear(), ab.rules.adam(beta1=0.3, beta2=0.6, epsilon=1e-2)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> iteration = ab.memoryless(rule, loss, h=0.01)
    >>> ab.integrate(iteration, theta0, h=0.01, n_steps=80)[-1]
    tensor([2.0094, 2.7102], dtype=torch.float64)
    """
    return _corrected_flow("memoryless", rule, loss, h, n, 0.0, memory, schedule)


@torch.no_grad()
def correction(
    rule: UpdateRule,
    loss: Losses,
    theta: Tensor,
    h: Number,
    n: int | None = None,
    memory: Memory = "first_order",
) -> Tensor:
    """Return what the modified flow's drift adds to f0: h f1, or all of it with resummed memory.

    Parameters
    ----------
    rule, loss, h
        As in :func:`modified_flow`.
    theta : Tensor, shape (p,) or (B, p)
        Where to evaluate.
    n : int or None
        The step; None is the limit of large n, for one loss only, since a mini-batch drift depends
        on which batch comes.
    memory
        As in :func:`modified_flow`.

    Returns
    -------
    Tensor of the shape of theta
        Without autograd's graph, whatever theta brings along.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> loss, rule = ab.losses.bilinear(), ab.rules.adam(beta1=0.3, beta2=0.6, epsilon=1e-2)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> ab.correction(rule, loss, theta0, h=0.01)
    tensor([0.0105, 0.0113], dtype=torch.float64)
    """
    losses = as_losses(loss)
    check_rule(rule, losses)
    check_step_size(h)
    n = None if n is None else integer("n", n, at_least=0)
    check_start(losses, theta)
    check_shapes(rule, theta, h)
    _check_memory(rule, memory)
    if n is None and len(losses) > 1:
        raise ConfigError("n", n, "must be an integer for mini-batches: it says which batch comes")
    return _drifts(rule, losses, theta, h, n, 0.5, memory)[1]


def _check_schedule(
    schedule: Factors | None,
    rule: UpdateRule,
    losses: tuple[Loss, ...],
    n: Step,
    memory: Memory,
) -> None:
    """Refuse a schedule where the law with one is not known."""
    if schedule is None:
        return
    if not callable(schedule):
        raise ConfigError("schedule", schedule, "must be a function from a step to its factor of h")
    if len(losses) > 1:
        raise ConfigError("loss", f"{len(losses)} losses", "must be one loss under a schedule")
    if n != "step":
        raise ConfigError("n", n, "must be 'step' under a schedule, whose steps differ")
    if memory != "first_order":
        raise ConfigError("memory", memory, "must be 'first_order' under a schedule")
    if any(isinstance(decay, Tensor) for decay in rule.decays):
        raise ConfigError("decay", "a tensor", "must be a number under a schedule")


def _check_memory(rule: UpdateRule, memory: Memory) -> None:
    if memory not in MEMORIES:
        raise ConfigError("memory", memory, choose_from(MEMORIES, memory))
    if memory == "resummed":
        check_resummed(rule)


def _corrected_flow(
    name: Literal["modified", "memoryless"],
    rule: UpdateRule,
    loss: Losses,
    h: Number,
    n: Step,
    half: float,
    memory: Memory,
    schedule: Factors | None,
) -> Flow:
    losses = as_losses(loss)
    check_rule(rule, losses)
    _check_memory(rule, memory)
    _check_schedule(schedule, rule, losses, n, memory)
    check_step_size(h)
    fixed = n if n is None or n == "step" else integer("n", n, at_least=0)
    settled = settled_step(rule.decays, len(losses)) if len(losses) > 1 else 0

    def age(step: int) -> int | None:
        if fixed is None:
            # The limit of large n still depends on which batch comes: a step far enough out has it.
            return settled + step % len(losses) if len(losses) > 1 else None
        return step if fixed == "step" else fixed

    def drift(theta: Tensor, step: int) -> Tensor:
        leading, added = _drifts(rule, losses, theta, h, age(step), half, memory)
        return leading + added

    def scheduled(theta: Tensor, step: int) -> Tensor:
        assert schedule is not None
        pace = float(schedule(step))
        ages = [scheduled_age(float(decay), step, schedule) for decay in rule.decays]
        g, product = slope(losses[0], theta)
        f0 = -_direction(rule, g, theta)
        added = first_order(rule, g, theta, f0, product(f0), ages, half * pace)
        return pace * (f0 + h * added)

    return Flow(
        drift=drift if schedule is None else scheduled,
        name=name,
        rule=rule,
        losses=losses,
        h=h,
        memory=memory,
        schedule=schedule,
    )


def _drifts(
    rule: UpdateRule,
    losses: tuple[Loss, ...],
    theta: Tensor,
    h: Number,
    n: int | None,
    half: float,
    memory: Memory,
) -> tuple[Tensor, Tensor]:
    """Return f0 and what the corrected drift adds to it.

    ``half`` is the share of discrete time, 0 for the memoryless iteration.
    """
    if len(losses) > 1:
        assert n is not None
        batches = Batches(rule, losses, theta, n, derivatives=True)
        f0 = -batches.direction
        if memory == "resummed":
            return f0, batches.resummed(h, half) - f0
        return f0, h * batches.first_order(half)
    # One gradient and the only Hessian-vector product, for every rule: all moments share it. A test
    # counts the gradients and products of one evaluation.
    g, product = slope(losses[0], theta)
    f0 = -_direction(rule, g, theta)
    curvature = product(f0)
    if memory == "resummed":
        estimates = averages(rule, g, h * curvature, n, half)
        return f0, -rule.combine(*estimates, theta - half * h * f0) - f0
    ages = [mean_age(decay, n) for decay in rule.decays]
    return f0, h * first_order(rule, g, theta, f0, curvature, ages, half)


def first_order(
    rule: UpdateRule,
    g: Tensor,
    theta: Tensor,
    f0: Tensor,
    curvature: Tensor,
    ages: Sequence[Number],
    half: float,
) -> Tensor:
    """Return f1 from the gradient and the Hessian times f0; ``half`` = 0 leaves memory alone.

    ``ages`` are the mean ages of the moments, in steps or in units of h.
    """

    # Phi after phi, so that one derivative gives d_l Phi[phi_l'(g) . ...] summed over the moments.
    def direction(*arguments: Tensor) -> Tensor:
        moments = [m.phi(a) for m, a in zip(rule.moments, arguments[:-1], strict=True)]
        return rule.combine(*moments, arguments[-1])

    point = (*(g for _ in ages), theta)
    tangent = (*((age + half) * curvature for age in ages), half * f0)
    return derivative(direction, point, tangent)


def _direction(rule: UpdateRule, g: Tensor, theta: Tensor) -> Tensor:
    return rule.combine(*(moment.phi(g) for moment in rule.moments), theta)


def check_rule(rule: UpdateRule, losses: tuple[Loss, ...]) -> None:
    """Refuse what no flow follows, such as a rule without bias correction.

    Raises
    ------
    ConfigError
        Naming what is wrong.
    """
    require_rule(rule)
    # Without it the first moments are near zero whatever the gradient, and no expansion around
    # phi(g) holds.
    if not rule.bias_correction:
        raise ConfigError(
            "bias_correction", False, f"must be true for the flows of {rule.name} to hold"
        )
    if len(losses) > 1 and any(isinstance(loss, OwnDerivatives) for loss in losses):
        allowed = "must be one loss where it brings its own derivatives, or plain functions"
        raise ConfigError("loss", f"{len(losses)} losses", allowed)
    if len(losses) > 1 and any(isinstance(decay, Tensor) for decay in rule.decays):
        raise ConfigError("decay", "a tensor", "must be a number for mini-batches")
