"""Pictures of a flow beside its optimizer, and of observed orders; matplotlib is loaded by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from adambias.core.errors import ABSENT, ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from adambias.law.convergence import OrderReport


class Drawable:
    """A flow that can be drawn beside the optimizer it follows."""

    def plot(
        self: Any, theta0: Tensor, n_steps: int, *, h: float | None = None, ax: Axes | None = None
    ) -> Axes:
        """Draw the loss along the flow and at the optimizer's steps, over the time n h.

        Parameters
        ----------
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
        from adambias.law.integration import integrate, iterate

        h = self.h if h is None else h
        if h is None:
            allowed = "is needed to draw a flow that was made without one, give it a number > 0"
            raise ConfigError("h", ABSENT, allowed)
        losses = self.losses
        steps = iterate(
            self.rule, list(losses), theta0, h, n_steps, schedule=getattr(self, "schedule", None)
        )
        path = integrate(self, theta0, h, n_steps)
        times = [n * float(h) for n in range(n_steps + 1)]
        ax = _axes(ax)
        ax.plot(times, _mean_loss(losses, steps), "o", markersize=3, label=self.rule.name)
        ax.plot(times, _mean_loss(losses, path), label=f"{self.name.replace('_', ' ')} flow")
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
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]


@torch.no_grad()
def _mean_loss(losses: Any, path: Tensor) -> list[float]:
    return [float(sum(loss(theta) for loss in losses)) / len(losses) for theta in path]
