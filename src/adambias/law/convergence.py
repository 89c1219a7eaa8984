"""Measure the order of convergence: how fast the error of a flow falls with the step size."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from adambias.core.errors import ConfigError
from adambias.core.flows import FLOW_NAMES, LAWS
from adambias.law.arguments import Losses, as_losses
from adambias.law.flows import Flow, leading_order_flow, modified_flow
from adambias.law.integration import Method, PathInfo, integrate, iterate
from adambias.law.moment_flow import MomentFlow, moment_flow
from adambias.law.pictures import plot_orders
from adambias.law.rules import UpdateRule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from adambias.law.rules import Number


FLOWS: dict[str, Callable[[UpdateRule, Losses, Number], Flow | MomentFlow]] = {
    "leading_order": lambda rule, loss, h: leading_order_flow(rule, loss),
    "modified": lambda rule, loss, h: modified_flow(rule, loss, h),
    "resummed": lambda rule, loss, h: modified_flow(rule, loss, h, memory="resummed"),
    "moment": lambda rule, loss, h: moment_flow(rule, loss, h),
}
"""How each of :data:`adambias.core.flows.FLOW_NAMES` is made."""


@dataclass(frozen=True, kw_only=True)
class OrderReport:
    """Errors of the flows against the rule, and the orders they show.

    Attributes
    ----------
    step_sizes : tuple of float
        The step sizes h.
    leading_errors, modified_errors, resummed_errors : tuple of float
        Largest Euclidean distance to the rule over the path, per step size, of the leading-order
        flow and of the modified flow with first-order and with resummed memory.
    moment_errors : tuple of float or None
        That of the moment flow; None for mini-batches, which it does not follow.
    leading_order, modified, resummed : float
        Slopes of log error against log h, by least squares; NaN when an error is zero.
    moment : float or None
        That of the moment flow.

    Examples
    --------
    >>> report = OrderReport(
    ...     step_sizes=(0.1, 0.05),
    ...     leading_errors=(0.2, 0.1),
    ...     modified_errors=(0.04, 0.01),
    ...     resummed_errors=(0.04, 0.01),
    ...     moment_errors=None,
    ... )
    >>> print(report)
        h  leading_order  modified  resummed
      0.1            0.2      0.04      0.04
     0.05            0.1      0.01      0.01
    order           1.00      2.00      2.00
    """

    step_sizes: tuple[float, ...]
    leading_errors: tuple[float, ...]
    modified_errors: tuple[float, ...]
    resummed_errors: tuple[float, ...]
    moment_errors: tuple[float, ...] | None

    @property
    def leading_order(self) -> float:
        """Order of the leading-order flow; the theory says 1."""
        return _slope(self.step_sizes, self.leading_errors)

    @property
    def modified(self) -> float:
        """Order of the modified flow; the theory says 2."""
        return _slope(self.step_sizes, self.modified_errors)

    @property
    def resummed(self) -> float:
        """Order of the modified flow with resummed memory; the theory says 2."""
        return _slope(self.step_sizes, self.resummed_errors)

    @property
    def moment(self) -> float | None:
        """Order of the moment flow; the theory says 2."""
        return None if self.moment_errors is None else _slope(self.step_sizes, self.moment_errors)

    def __str__(self) -> str:
        """Return a table: a column for each flow, a row for each step size, the orders last."""
        columns = {name: getattr(self, name) for name in FLOW_NAMES}
        errors = {
            "leading_order": self.leading_errors,
            **{law: getattr(self, f"{law}_errors") for law in LAWS},
        }
        shown = [name for name in FLOW_NAMES if errors[name] is not None]
        lines = [["h", *shown]]
        for i, h in enumerate(self.step_sizes):
            lines.append([f"{h:g}", *(f"{errors[name][i]:.3g}" for name in shown)])
        lines.append(["order", *(f"{columns[name]:.2f}" for name in shown)])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(word.rjust(width) for word, width in zip(line, widths, strict=True))
            for line in lines
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the errors against the step size; see :func:`adambias.law.pictures.plot_orders`."""
        return plot_orders(self, ax)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, the orders too, for a results file."""
        orders = {name: getattr(self, name) for name in ("leading_order", *LAWS)}
        return dataclasses.asdict(self) | orders


def observed_order(
    rule: UpdateRule | Callable[[float], UpdateRule],
    loss: Losses,
    theta0: Tensor,
    horizon: float,
    step_sizes: Sequence[float],
    *,
    method: Method = "rk4",
    substeps: int = 1,
) -> OrderReport:
    """Measure the order to which the flows follow a rule.

    Parameters
    ----------
    rule : UpdateRule or callable
        The optimizer; or a function from h to it, where its hyperparameters change with h.
    loss : callable or sequence of callables
        As in :func:`iterate`.
    theta0 : Tensor of float64, shape (p,)
        Start.
    horizon : float
        Length of time T; a multiple of every step size.
    step_sizes : sequence of float
        At least two step sizes.
    method, substeps
        As in :func:`integrate`.

    Returns
    -------
    OrderReport

    Examples
    --------
    >>> import torch, adambias as ab
    >>> loss, rule = ab.losses.bilinear(), ab.rules.adam(beta1=0.3, beta2=0.6, epsilon=1e-2)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> report = ab.observed_order(
    ...     rule, loss, theta0, horizon=0.8, step_sizes=[0.01, 0.005, 0.0025]
    ... )
    >>> print(f"{report.leading_order:.2f} {report.modified:.2f}")
    0.98 1.92
    """
    _check_order_request(theta0, horizon, step_sizes)
    errors: dict[str, list[float]] = {}
    for h in step_sizes:
        n_steps = round(horizon / h)
        followed = rule if isinstance(rule, UpdateRule) else rule(h)
        run = iterate(followed, loss, theta0, h, n_steps, return_info=True)
        path = _finite(run, "the rule", h)
        for name, flow in flows_of(followed, loss, h).items():
            run = integrate(flow, theta0, h, n_steps, method, substeps, return_info=True)
            found = _finite(run, f"the {FLOW_NAMES[name]}", h)
            errors.setdefault(name, []).append(_distance(path, found))
    return OrderReport(
        step_sizes=tuple(map(float, step_sizes)),
        leading_errors=tuple(errors["leading_order"]),
        modified_errors=tuple(errors["modified"]),
        resummed_errors=tuple(errors["resummed"]),
        moment_errors=tuple(errors["moment"]) if "moment" in errors else None,
    )


def flows_of(rule: UpdateRule, loss: Losses, h: Number) -> dict[str, Flow | MomentFlow]:
    """Return the leading-order flow and every law, by name.

    Parameters
    ----------
    rule, loss, h
        As in :func:`modified_flow`. Of mini-batches there is no moment flow.
    """
    several = len(as_losses(loss)) > 1
    makers = {name: make for name, make in FLOWS.items() if not several or name != "moment"}
    return {name: make(rule, loss, h) for name, make in makers.items()}


def _finite(run: tuple[Tensor, PathInfo], what: str, h: float) -> Tensor:
    path, info = run
    if info.status == "diverged":
        at = info.diverged_at
        raise ConfigError("step_sizes", h, f"{what} diverged at step {at}, take a smaller one")
    return path


def _distance(path: Tensor, other: Tensor) -> float:
    return float(torch.linalg.vector_norm(path - other, dim=-1).max())


def _slope(step_sizes: Sequence[float], errors: Sequence[float]) -> float:
    if min(errors) <= 0:
        return math.nan
    return float(np.polyfit(np.log(step_sizes), np.log(errors), 1)[0])


def _check_order_request(theta0: Tensor, horizon: float, step_sizes: Sequence[float]) -> None:
    if len(step_sizes) < 2:
        raise ConfigError("step_sizes", list(step_sizes), "must hold at least two step sizes")
    if isinstance(theta0, Tensor) and theta0.dtype != torch.float64:
        raise ConfigError(
            "theta0.dtype", theta0.dtype, "must be float64: rounding in others hides the order"
        )
    if isinstance(theta0, Tensor) and theta0.ndim != 1:
        raise ConfigError("theta0.shape", tuple(theta0.shape), "must be (p,)")
    if not 0 < horizon < math.inf:
        raise ConfigError("horizon", horizon, "must be > 0 and finite")
    for h in step_sizes:
        if not 0 < h < math.inf:
            raise ConfigError("step_sizes", h, "must be > 0 and finite")
        steps = horizon / h
        if round(steps) < 1 or abs(steps - round(steps)) > 1e-6 * steps:
            raise ConfigError("step_sizes", h, f"must divide the horizon, {horizon}")
    if len(set(step_sizes)) < len(step_sizes):
        raise ConfigError("step_sizes", list(step_sizes), "must differ from one another")
