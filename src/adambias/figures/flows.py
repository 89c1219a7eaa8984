"""How figures show the flows: one colour, line, marker and name for each, in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from adambias.core.flows import FLOW_NAMES
from adambias.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = tuple(FLOW_NAMES)
SHORT = {**FLOW_NAMES, "resummed": "resummed memory"}
"""Names for a title."""
ORDERS = {"leading_order": 1, "modified": 2, "resummed": 2, "moment": 2}
"""Order of convergence that the theory says of each, at fixed decays."""
LINES: dict[str, dict[str, Any]] = {
    "leading_order": {"color": style.COLOURS["orange"], "linestyle": "--"},
    "modified": {"color": style.COLOURS["blue"], "linestyle": "-"},
    "resummed": {"color": style.COLOURS["green"], "linestyle": "-."},
    "moment": {"color": style.COLOURS["purple"], "linestyle": "-"},
}
MARKERS = {"leading_order": "o", "modified": "s", "resummed": "^", "moment": "D"}
ERRORS = {
    "leading_order": "leading_errors",
    "modified": "modified_errors",
    "resummed": "resummed_errors",
    "moment": "moment_errors",
}
"""Entry of a report on orders that holds a flow's errors; its order stands under the kind."""


def draw_errors(ax: Axes, report: dict[str, Any]) -> None:
    """Draw the errors of every flow of one report against the step size.

    Mini-batches have no moment flow.
    """
    h = np.array(report["step_sizes"]) / report["horizon"]
    for kind in KINDS:
        if report[ERRORS[kind]] is not None:
            ax.plot(h, report[ERRORS[kind]], marker=MARKERS[kind], **LINES[kind])
    ax.set(xscale="log", yscale="log", xlabel="step size h / T")
    style.fraction_ticks(ax.xaxis, report["step_sizes"], report["horizon"])


def legend(
    figure: Figure, *, columns: int, marked: bool = False, more: Sequence[Line2D] = ()
) -> None:
    """Name the flows below the panels, with their markers if these are drawn, and more lines."""
    handles = [*more]
    for kind in KINDS:
        marker = MARKERS[kind] if marked else None
        handles.append(Line2D([], [], marker=marker, label=FLOW_NAMES[kind], **LINES[kind]))
    columns = 1 if style.is_narrow() else columns
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def span(values: Sequence[float]) -> str:
    """Write the least and the most of some orders: ``1.88 to 2.04``."""
    return f"{min(values):.2f} to {max(values):.2f}".replace("-", "−")
