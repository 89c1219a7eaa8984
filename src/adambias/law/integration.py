"""Iterate a rule, and integrate a flow at the same times nh."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias, overload

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from adambias.core.errors import ConfigError, choose_from
from adambias.core.validation import integer
from adambias.law.arguments import Losses, as_losses, check_shapes, check_start, check_step_size
from adambias.law.derivatives import gradient
from adambias.law.flows import Factors, Flow
from adambias.law.losses import Loss
from adambias.law.moment_flow import MomentFlow, State
from adambias.law.oscillating_flow import OscillatingFlow
from adambias.law.rules import UpdateRule, require_rule

if TYPE_CHECKING:
    from adambias.law.rules import Number


AnyFlow: TypeAlias = Flow | MomentFlow | OscillatingFlow
Method: TypeAlias = Literal["rk4", "dop853", "euler"]
METHODS: tuple[Method, ...] = ("rk4", "dop853", "euler")


class DivergenceWarning(RuntimeWarning):
    """A trajectory left the finite numbers."""


@dataclass(frozen=True, kw_only=True)
class PathInfo:
    """How a trajectory ended.

    Attributes
    ----------
    status : {"finished", "diverged"}
        ``diverged`` if theta, or any trajectory of a batch, became infinite or NaN.
    diverged_at : int, Tensor or None
        First step n with a theta^(n) that is not finite, None if there is none; for a batch an
        int64 tensor ``(B,)`` with -1 for the trajectories that finished.
    moments : tuple of Tensor or None
        If asked for: the estimates m_hat of the moments that have memory, in the rule's order, each
        of the shape of the path; row n is what step n - 1 used, row 0 is NaN. An oscillating flow's
        are half a step ahead of that.
    amplitude : Tensor or None
        Of an oscillating flow, if its moments were asked for: how far the iterates swing to either
        side of the path, of its shape; row 0 is NaN.

    Examples
    --------
    A step size too large for gradient descent:

    >>> import torch, adambias as ab
    >>> rule, theta0 = ab.rules.gradient_descent(), torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> loss = ab.losses.bilinear()
    >>> _, info = ab.iterate(rule, loss, theta0, h=1.0, n_steps=20, return_info=True)
    >>> info.status, info.diverged_at
    ('diverged', 6)
    """

    status: Literal["finished", "diverged"]
    diverged_at: int | Tensor | None
    moments: tuple[Tensor, ...] | None = None
    amplitude: Tensor | None = None


@overload
def iterate(
    rule: UpdateRule,
    loss: Losses,
    theta0: Tensor,
    h: Number,
    n_steps: int,
    *,
    every: int = ...,
    schedule: Factors | None = ...,
    return_info: Literal[False] = ...,
) -> Tensor: ...
@overload
def iterate(
    rule: UpdateRule,
    loss: Losses,
    theta0: Tensor,
    h: Number,
    n_steps: int,
    *,
    every: int = ...,
    schedule: Factors | None = ...,
    return_info: Literal[True],
    moments: bool = ...,
) -> tuple[Tensor, PathInfo]: ...
@torch.no_grad()
def iterate(
    rule: UpdateRule,
    loss: Losses,
    theta0: Tensor,
    h: Number,
    n_steps: int,
    *,
    every: int = 1,
    schedule: Factors | None = None,
    return_info: bool = False,
    moments: bool = False,
) -> Tensor | tuple[Tensor, PathInfo]:
    """Run an optimizer from ``theta0``.

    Parameters
    ----------
    rule : UpdateRule
        The optimizer.
    loss : callable or sequence of callables
        The loss, from ``(p,)`` to a scalar; or mini-batch losses, taken in cyclic order.
    theta0 : Tensor, shape (p,) or (B, p)
        Start, or one start for each of B independent trajectories.
    h : float or Tensor
        Step size, > 0; a tensor ``(B, 1)`` for one per trajectory. The rule's decays and epsilon
        may be such tensors too.
    n_steps : int
        Number of steps.
    every : int, optional
        Keep only the rows n = 0, every, 2 every, ...; it divides n_steps.
    schedule : callable, optional
        From a step n to the factor of h in it.
    return_info : bool, optional
        Return a :class:`PathInfo` as well; without it a divergence is a warning.
    moments : bool, optional
        Keep the path of the moments too, in the info, which has to be asked for.

    Returns
    -------
    path : Tensor, shape (n_steps / every + 1, *theta0.shape)
        theta^(0), theta^(1), ...; NaN from the step on at which a trajectory blew up. It carries no
        graph of autograd's, whatever theta0 brings along.
    info : PathInfo
        Only if ``return_info``.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> loss, rule = ab.losses.bilinear(), ab.rules.adam(beta1=0.3, beta2=0.6, epsilon=1e-2)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> path = ab.iterate(rule, loss, theta0, h=0.01, n_steps=80, every=40)
    >>> path
    tensor([[2.8000, 3.5000],
            [2.4041, 3.1044],
            [2.0095, 2.7103]], dtype=torch.float64)
    """
    losses = as_losses(loss)
    require_rule(rule)
    n_steps, every = _check_run(rule, losses, theta0, h, n_steps, every)
    _check_moments(moments, return_info)
    kept = len(rule.remembered) if moments else None
    steps = iterates(rule, losses, theta0, h, schedule)
    return _collect(steps, theta0, n_steps, every, return_info, kept)


@overload
def integrate(
    flow: AnyFlow,
    theta0: Tensor,
    h: Number,
    n_steps: int,
    method: Method | None = ...,
    substeps: int = ...,
    *,
    every: int = ...,
    return_info: Literal[False] = ...,
) -> Tensor: ...
@overload
def integrate(
    flow: AnyFlow,
    theta0: Tensor,
    h: Number,
    n_steps: int,
    method: Method | None = ...,
    substeps: int = ...,
    *,
    every: int = ...,
    return_info: Literal[True],
    moments: bool = ...,
) -> tuple[Tensor, PathInfo]: ...
@torch.no_grad()
def integrate(
    flow: AnyFlow,
    theta0: Tensor,
    h: Number,
    n_steps: int,
    method: Method | None = None,
    substeps: int = 1,
    *,
    every: int = 1,
    return_info: bool = False,
    moments: bool = False,
) -> Tensor | tuple[Tensor, PathInfo]:
    """Integrate a flow and return it at the times nh, n = 0, ..., n_steps.

    Parameters
    ----------
    flow : Flow, MomentFlow or OscillatingFlow
        From :func:`leading_order_flow`, :func:`modified_flow`, :func:`memoryless`,
        :func:`moment_flow` or :func:`oscillating_flow`. The last two begin with the rule's own
        first step.
    theta0 : Tensor, shape (p,) or (B, p)
        Start.
    h : float or Tensor
        Step size, that of the flow; a tensor ``(B, 1)`` for one per trajectory.
    n_steps : int
        Number of steps of h.
    method : {"rk4", "dop853", "euler"}, optional
        Fixed-step Runge-Kutta of order 4 (the default), SciPy's DOP853 with relative tolerance
        1e-11, or Euler (the default and only choice for the memoryless iteration).
    substeps : int, optional
        Runge-Kutta or Euler steps per h; 1 for DOP853, which chooses its own, and for the
        memoryless iteration, which takes one step per h by definition. A moment flow takes more of
        them where its shortest memory fades within one.
    every, return_info, moments
        As in :func:`iterate`; only a moment flow or an oscillating flow has moments.

    Returns
    -------
    path : Tensor, shape (n_steps / every + 1, *theta0.shape)
        Without a graph of autograd's.
    info : PathInfo
        Only if ``return_info``.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> loss, rule = ab.losses.bilinear(), ab.rules.adam(beta1=0.3, beta2=0.6, epsilon=1e-2)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> flow = ab.modified_flow(rule, loss, h=0.01)
    >>> path, info = ab.integrate(flow, theta0, h=0.01, n_steps=80, every=40, return_info=True)
    >>> info.status
    'finished'
    >>> path
    tensor([[2.8000, 3.5000],
            [2.4041, 3.1044],
            [2.0094, 2.7102]], dtype=torch.float64)
    """
    if not isinstance(flow, Flow | MomentFlow | OscillatingFlow):
        raise ConfigError("flow", flow, "must be a flow, as adambias.modified_flow returns")
    n_steps, every = _check_run(flow.rule, flow.losses, theta0, h, n_steps, every)
    _check_moments(moments, return_info)
    if moments and isinstance(flow, Flow):
        raise ConfigError("moments", moments, f"must be false: a {flow.name} flow has none")
    chosen = _method(flow, method)
    substeps = _check_integration(flow, theta0, h, substeps, chosen)
    places = places_of(flow, theta0, advance_by(chosen, h, substeps))
    kept = len(flow.rule.remembered) if moments else None
    if moments and isinstance(flow, OscillatingFlow):
        path, info = _collect(places, theta0, n_steps, every, True, len(flow.decays) + 1)
        *means, amplitude = info.moments or ()
        return path, replace(info, moments=tuple(means), amplitude=amplitude)
    return _collect(places, theta0, n_steps, every, return_info, kept)


Place: TypeAlias = tuple[Tensor, tuple[Tensor, ...]]
"""theta, and the estimates of its moments."""
Velocity: TypeAlias = Callable[[State], State]
Fading: TypeAlias = Sequence["Number | None"]
Advance: TypeAlias = Callable[[Velocity, Fading, State], State]
"""Integrate over one step of h; no entry falls faster than at its rate of fading."""


def iterates(
    rule: UpdateRule,
    losses: tuple[Loss, ...],
    theta: Tensor,
    h: Number,
    schedule: Factors | None = None,
) -> Iterator[Place]:
    """Yield theta^(1), theta^(2), ..., each with the estimates that led there.

    Unchecked, as :func:`places_of` is: for what follows several of them side by side.
    """
    memories = [torch.zeros_like(theta) for _ in rule.moments]
    n = 0
    while True:
        g = gradient(losses[n % len(losses)], theta)
        corrected = []
        for index, moment in enumerate(rule.moments):
            decay = moment.decay
            memories[index] = decay * memories[index] + (1 - decay) * moment.phi(g)
            scale = 1 - decay ** (n + 1) if rule.bias_correction else 1.0
            corrected.append(memories[index] / scale)
        # Not in place: the caller may keep what it was given.
        step = h if schedule is None else h * schedule(n)
        theta = theta - step * rule.combine(*corrected, theta)
        n += 1
        yield theta, tuple(corrected[i] for i in rule.remembered)


def places_of(flow: AnyFlow, theta: Tensor, advance: Advance) -> Iterator[Place]:
    """Yield the places of a flow at h, 2 h, ...; ``advance`` is from :func:`advance_by`."""
    if not isinstance(flow, Flow):
        for state in states_of(flow, theta, advance):
            yield state[0], flow.estimates(state)
        return
    drift, state = flow.drift, (theta,)
    for n in itertools.count():
        # Each [nh, (n+1)h] on its own, as the drift jumps where n changes.
        state = advance(partial(_drift_at, drift, n), (None,), state)
        yield state[0], ()


def states_of(
    flow: MomentFlow | OscillatingFlow, theta: Tensor, advance: Advance
) -> Iterator[State]:
    """Yield the states of a flow that has moments, at h, 2 h, ..."""
    state = flow.start(theta)
    while True:
        yield state
        if isinstance(flow, OscillatingFlow):
            state = flow.renewed(state)
        state = advance(flow.velocity, flow.fading, state)


def _drift_at(drift: Callable[[Tensor, int], Tensor], n: int, state: State) -> State:
    return (drift(state[0], n),)


def advance_by(method: Method, h: Number, substeps: int) -> Advance:
    """Return what integrates over one step of h, in so many steps of a fixed-step method."""
    if method == "dop853":
        return _Dop853(h)
    step = _rk4_step if method == "rk4" else _euler_step

    def advance(velocity: Velocity, fading: Fading, state: State) -> State:
        for _ in range(substeps):
            state = step(velocity, fading, state, h / substeps)
        return state

    return advance


def _rk4_step(velocity: Velocity, fading: Fading, state: State, dt: Number) -> State:
    k1 = velocity(state)
    k2 = velocity(_moved(state, dt / 2, k1, fading, dt / 2))
    k3 = velocity(_moved(state, dt / 2, k2, fading, dt / 2))
    k4 = velocity(_moved(state, dt, k3, fading, dt))
    slopes = [a + 2 * b + 2 * c + d for a, b, c, d in zip(k1, k2, k3, k4, strict=True)]
    return _moved(state, dt / 6, slopes, fading, dt)


def _euler_step(velocity: Velocity, fading: Fading, state: State, dt: Number) -> State:
    return _moved(state, dt, velocity(state), fading, dt)


def _moved(
    state: State, factor: Number, slopes: Sequence[Tensor], fading: Fading, dt: Number
) -> State:
    """Return the state moved along ``slopes``, over the time ``dt``."""
    moved = []
    for each, slope, rate in zip(state, slopes, fading, strict=True):
        new = each + factor * slope
        # Where a gradient falls to nothing within a step, a stage would take the average of its
        # squares below zero: Runge-Kutta's weights add up to one, but some of them are negative.
        if rate is not None:
            new = torch.maximum(new, torch.exp(-torch.as_tensor(rate * dt)).to(each) * each)
        moved.append(new)
    return tuple(moved)


class _Dop853:
    """SciPy's integrator over one step of h after the other."""

    def __init__(self, h: Number) -> None:
        if isinstance(h, Tensor):
            raise ConfigError("h", "a tensor", "must be a number for dop853")
        self.h = h
        # Without a first step SciPy spends two evaluations on guessing one, at every n.
        self.suggested: float | None = None

    def __call__(self, velocity: Velocity, fading: Fading, state: State) -> State:
        # It takes steps as short as it needs, on which no bound has to be kept.
        def drift(_: float, flat: np.ndarray) -> np.ndarray:
            return _flat(velocity(_unflat(flat, state)))

        # A flow that blows up is a result, which `_collect` reports; SciPy would warn on its way.
        with np.errstate(over="ignore", invalid="ignore"):
            solution = solve_ivp(
                drift,
                (0.0, self.h),
                _flat(state),
                "DOP853",
                rtol=1e-11,
                atol=1e-13,
                first_step=self.suggested,
            )
        self.suggested = min(self.h, float(np.diff(solution.t).max(initial=0.0))) or None
        reached = solution.y[:, -1]
        return _unflat(reached if solution.success else np.full_like(reached, np.nan), state)


def _flat(state: State) -> np.ndarray:
    return torch.cat([each.double().reshape(-1) for each in state]).cpu().numpy()


def _unflat(flat: np.ndarray, like: State) -> State:
    pieces = torch.from_numpy(flat).split([each.numel() for each in like])
    return tuple(p.to(each).view_as(each) for p, each in zip(pieces, like, strict=True))


def _collect(
    places: Iterator[Place],
    theta0: Tensor,
    n_steps: int,
    every: int,
    return_info: bool,
    moments: int | None,
) -> Tensor | tuple[Tensor, PathInfo]:
    """Store the rows asked for, and of so many moments; note where trajectories blow up."""
    path = theta0.new_full((n_steps // every + 1, *theta0.shape), math.nan)
    kept = tuple(torch.full_like(path, math.nan) for _ in range(moments or 0))
    path[0] = theta0
    diverged_at = torch.full(theta0.shape[:-1], -1, dtype=torch.int64)
    for n, (theta, estimates) in zip(range(1, n_steps + 1), places, strict=False):
        # One number says that all are finite; which are not is looked up only then.
        if not math.isfinite(theta.sum()):
            lost = ~torch.isfinite(theta).all(-1)
            diverged_at = torch.where(lost.cpu() & (diverged_at < 0), n, diverged_at)
            # All of a lost trajectory: its finite components mean nothing any more.
            theta = torch.where(lost.unsqueeze(-1), math.nan, theta)
        if n % every == 0:
            path[n // every] = theta
            for track, estimate in zip(kept, estimates, strict=bool(kept)):
                track[n // every] = estimate
        if bool((diverged_at >= 0).all()):
            break
    info = _path_info(diverged_at, kept if moments is not None else None)
    if return_info:
        return path, info
    if info.status == "diverged":
        first = int(diverged_at[diverged_at >= 0].min())
        many = f"{int((diverged_at >= 0).sum())} of {diverged_at.numel()} trajectories"
        warnings.warn(
            f"{many} diverged, first at step {first}; later rows are NaN",
            DivergenceWarning,
            stacklevel=3,
        )
    return path


def _path_info(diverged_at: Tensor, moments: tuple[Tensor, ...] | None) -> PathInfo:
    if not bool((diverged_at >= 0).any()):
        return PathInfo(status="finished", diverged_at=None, moments=moments)
    where = int(diverged_at) if diverged_at.ndim == 0 else diverged_at
    return PathInfo(status="diverged", diverged_at=where, moments=moments)


def _check_moments(moments: bool, return_info: bool) -> None:
    if moments and not return_info:
        raise ConfigError("moments", moments, "must come with return_info=True, which holds them")


def _method(flow: AnyFlow, method: Method | None) -> Method:
    if method is not None and method not in METHODS:
        raise ConfigError("method", method, choose_from(METHODS, method))
    if flow.name == "memoryless":
        if method not in (None, "euler"):
            raise ConfigError("method", method, "must be euler for the memoryless iteration")
        return "euler"
    return method or "rk4"


def _check_run(
    rule: UpdateRule, losses: tuple[Loss, ...], theta0: Tensor, h: Number, n_steps: int, every: int
) -> tuple[int, int]:
    """Return ``n_steps`` and ``every`` as plain integers."""
    check_step_size(h, positive=True)
    n_steps, every = integer("n_steps", n_steps, at_least=0), integer("every", every, at_least=1)
    if n_steps % every:
        raise ConfigError("every", every, f"must divide n_steps = {n_steps}")
    check_start(losses, theta0)
    check_shapes(rule, theta0, h)
    return n_steps, every


def _check_integration(
    flow: AnyFlow, theta0: Tensor, h: Number, substeps: int, method: Method
) -> int:
    """Return ``substeps`` as a plain integer."""
    substeps = integer("substeps", substeps, at_least=1)
    if substeps > 1 and flow.name == "memoryless":
        raise ConfigError("substeps", substeps, "must be 1 for the memoryless iteration")
    if substeps > 1 and method == "dop853":
        raise ConfigError("substeps", substeps, "must be 1 for dop853, which chooses its own steps")
    if flow.h is not None:
        check_shapes(flow.rule, theta0, flow.h)
        same = torch.as_tensor(flow.h).double() == torch.as_tensor(h).double()
        if not bool(same.all()):
            raise ConfigError("h", h, f"must be the step size the flow was made for, {flow.h}")
    if not isinstance(flow, Flow) and method != "dop853":
        return max(substeps, flow.substeps)
    return substeps
