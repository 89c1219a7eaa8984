"""Pictures of a flow beside its optimizer, and of observed orders; matplotlib is loaded by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from adambias.core.errors import ABSENT, ConfigError
from adambias.core.extras import need
from adambias.law.flows import Flow
from adambias.law.integration import AnyFlow, integrate, iterate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from adambias.law.convergence import OrderReport


def plot_flow(
    flow: AnyFlow, theta0: Tensor, n_steps: int, *, h: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the loss along a flow and at its optimizer's steps, over the time n h.

    Parameters
    ----------
    flow : Flow, MomentFlow or OscillatingFlow
        The flow.
    theta0 : Tensor, shape (p,)
        Where both begin.
    n_steps : int
        Number of steps.
    h : float, optional
        The step size, for a flow that was made without one.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        With a line for the flow and dots for the optimizer.
    """
    size = flow.h if h is None else h
    if size is None:
        allowed = "is needed to draw a flow that was made without one, give it a number > 0"
        raise ConfigError("h", ABSENT, allowed)
    schedule = flow.schedule if isinstance(flow, Flow) else None
    steps = iterate(flow.rule, list(flow.losses), theta0, size, n_steps, schedule=schedule)
    path = integrate(flow, theta0, size, n_steps)
    times = [n * float(size) for n in range(n_steps + 1)]
    ax = _axes(ax)
    ax.plot(times, _mean_loss(flow.losses, steps), "o", markersize=3, label=flow.rule.name)
    ax.plot(times, _mean_loss(flow.losses, path), label=f"{flow.name.replace('_', ' ')} flow")
    ax.set(xlabel="time n h", ylabel="loss", yscale="log")
    ax.legend()
    return ax


def plot_orders(report: OrderReport, ax: Axes | None = None) -> Axes:
    """Draw the errors of each flow against the step size, log scale, with the orders they show."""
    errors = {
        "leading_order": report.leading_errors,
        "modified": report.modified_errors,
        "resummed": report.resummed_errors,
        "moment": report.moment_errors,
    }
    ax = _axes(ax)
    for name, values in errors.items():
        if values is not None:
            label = f"{name.replace('_', ' ')}, order {getattr(report, name):.2f}"
            ax.plot(report.step_sizes, values, "o-", markersize=4, label=label)
    ax.set(xlabel="step size h", ylabel="largest distance", xscale="log", yscale="log")
    ax.legend()
    return ax


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    need("matplotlib")
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]


@torch.no_grad()
def _mean_loss(losses: Any, path: Tensor) -> list[float]:
    return [float(sum(loss(theta) for loss in losses)) / len(losses) for theta in path]
