"""Iterate a rule, and integrate a flow."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from adambias.core.errors import ConfigError, choose_from
from adambias.core.validation import integer
from adambias.law.arguments import Losses, as_losses, check_shapes, check_start, check_step_size
from adambias.law.derivatives import gradient
from adambias.law.flows import Flow
from adambias.law.losses import Loss
from adambias.law.rules import UpdateRule, require_rule

if TYPE_CHECKING:
    from adambias.law.rules import Number


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
    """

    status: Literal["finished", "diverged"]
    diverged_at: int | Tensor | None


@overload
def iterate(
    rule: UpdateRule,
    loss: Losses,
    theta0: Tensor,
    h: Number,
    n_steps: int,
    *,
    every: int = ...,
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
    return_info: Literal[True],
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
    return_info: bool = False,
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
    return_info : bool, optional
        Return a :class:`PathInfo` as well; without it a divergence is a warning.

    Returns
    -------
    path : Tensor, shape (n_steps / every + 1, *theta0.shape)
        theta^(0), theta^(1), ...; NaN from the step on at which a trajectory blew up. It carries no
        graph of autograd's, whatever theta0 brings along.
    info : PathInfo
        Only if ``return_info``.
    """
    losses = as_losses(loss)
    require_rule(rule)
    n_steps, every = _check_run(rule, losses, theta0, h, n_steps, every)
    return _collect(_steps(rule, losses, theta0, h), theta0, n_steps, every, return_info)


@overload
def integrate(
    flow: Flow,
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
    flow: Flow,
    theta0: Tensor,
    h: Number,
    n_steps: int,
    method: Method | None = ...,
    substeps: int = ...,
    *,
    every: int = ...,
    return_info: Literal[True],
) -> tuple[Tensor, PathInfo]: ...
@torch.no_grad()
def integrate(
    flow: Flow,
    theta0: Tensor,
    h: Number,
    n_steps: int,
    method: Method | None = None,
    substeps: int = 1,
    *,
    every: int = 1,
    return_info: bool = False,
) -> Tensor | tuple[Tensor, PathInfo]:
    """Integrate a flow and return it at the times nh, n = 0, ..., n_steps.

    Parameters
    ----------
    flow : Flow
        From :func:`leading_order_flow`, :func:`modified_flow` or :func:`memoryless`.
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
        memoryless iteration, which takes one step per h by definition.
    every, return_info
        As in :func:`iterate`.

    Returns
    -------
    path : Tensor, shape (n_steps / every + 1, *theta0.shape)
        Without a graph of autograd's.
    info : PathInfo
        Only if ``return_info``.
    """
    if not isinstance(flow, Flow):
        raise ConfigError("flow", flow, "must be a Flow, as adambias.modified_flow returns")
    n_steps, every = _check_run(flow.rule, flow.losses, theta0, h, n_steps, every)
    chosen = _method(flow, method)
    substeps = _check_integration(flow, theta0, h, substeps, chosen)
    if chosen == "dop853":
        states = _dop853(flow, theta0, h)
    else:
        stepper = _rk4_step if chosen == "rk4" else _euler_step
        states = _fixed_steps(flow, theta0, h, substeps, stepper)
    return _collect(states, theta0, n_steps, every, return_info)


def _steps(
    rule: UpdateRule, losses: tuple[Loss, ...], theta: Tensor, h: Number
) -> Iterator[Tensor]:
    """Yield theta^(1), theta^(2), ..."""
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
        theta = theta - h * rule.combine(*corrected, theta)
        n += 1
        yield theta


def _fixed_steps(
    flow: Flow,
    theta: Tensor,
    h: Number,
    substeps: int,
    step: Callable[[Flow, Tensor, Number, int], Tensor],
) -> Iterator[Tensor]:
    n = 0
    while True:
        for _ in range(substeps):
            theta = step(flow, theta, h / substeps, n)
        n += 1
        yield theta


def _rk4_step(flow: Flow, theta: Tensor, dt: Number, n: int) -> Tensor:
    k1 = flow.drift(theta, n)
    k2 = flow.drift(theta + dt / 2 * k1, n)
    k3 = flow.drift(theta + dt / 2 * k2, n)
    k4 = flow.drift(theta + dt * k3, n)
    return theta + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def _euler_step(flow: Flow, theta: Tensor, dt: Number, n: int) -> Tensor:
    return theta + dt * flow.drift(theta, n)


def _dop853(flow: Flow, theta: Tensor, h: Number) -> Iterator[Tensor]:
    """Integrate each [nh, (n+1)h] on its own, as the drift jumps where n changes."""
    if isinstance(h, Tensor):
        raise ConfigError("h", "a tensor", "must be a number for dop853")
    suggested = None
    n = 0
    while True:
        solution = _solve_interval(flow, theta, h, n, suggested)
        reached = solution.y[:, -1] if solution.success else np.full(theta.numel(), np.nan)
        theta = torch.from_numpy(reached).to(theta).view_as(theta)
        suggested = min(h, float(np.diff(solution.t).max(initial=0.0))) or None
        n += 1
        yield theta


def _solve_interval(flow: Flow, theta: Tensor, h: float, n: int, first_step: float | None) -> Any:
    def drift(_: float, flat: np.ndarray) -> np.ndarray:
        state = torch.from_numpy(flat).to(theta).view_as(theta)
        return flow.drift(state, n).double().reshape(-1).cpu().numpy()

    start = theta.double().reshape(-1).cpu().numpy()
    # A flow that blows up is a result, which `_collect` reports; SciPy would warn on its way there.
    with np.errstate(over="ignore", invalid="ignore"):
        return solve_ivp(
            drift, (0.0, h), start, "DOP853", rtol=1e-11, atol=1e-13, first_step=first_step
        )


def _collect(
    states: Iterator[Tensor], theta0: Tensor, n_steps: int, every: int, return_info: bool
) -> Tensor | tuple[Tensor, PathInfo]:
    """Store the rows asked for, and note where trajectories blow up."""
    path = theta0.new_full((n_steps // every + 1, *theta0.shape), math.nan)
    path[0] = theta0
    diverged_at = torch.full(theta0.shape[:-1], -1, dtype=torch.int64)
    for n, theta in zip(range(1, n_steps + 1), states, strict=False):
        if not math.isfinite(theta.sum()):
            lost = ~torch.isfinite(theta).all(-1)
            diverged_at = torch.where(lost.cpu() & (diverged_at < 0), n, diverged_at)
            theta = torch.where(lost.unsqueeze(-1), math.nan, theta)
        if n % every == 0:
            path[n // every] = theta
        if bool((diverged_at >= 0).all()):
            break
    info = _path_info(diverged_at)
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


def _path_info(diverged_at: Tensor) -> PathInfo:
    if not bool((diverged_at >= 0).any()):
        return PathInfo(status="finished", diverged_at=None)
    where = int(diverged_at) if diverged_at.ndim == 0 else diverged_at
    return PathInfo(status="diverged", diverged_at=where)


def _method(flow: Flow, method: Method | None) -> Method:
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


def _check_integration(flow: Flow, theta0: Tensor, h: Number, substeps: int, method: Method) -> int:
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
    return substeps
