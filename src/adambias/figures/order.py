"""Order of convergence: errors of both flows against the step size, for every rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from adambias.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from adambias.figures.tables import Tables

TITLE = "Order of convergence of the flows"
LOSSES = {
    "bilinear": "bilinear model",
    "tanh_mlp": "tanh network",
    "double_wells": "coupled double wells",
    "bilinear_batches": "mini-batches, cyclic",
}
_NAMES = ("blue", "orange", "green", "vermillion", "purple", "sky", "brown", "grey", "pink")
PALETTE = [*(style.COLOURS[name] for name in _NAMES), style.INK]
"""A colour for each of ten rules; colour-blind readers tell them apart, and markers help."""
MARKERS = "osD^vPXph*"
WIDTH = 0.42
"""How far apart the marks at one step size are drawn, first to last, in powers of two."""


def draw(tables: Tables) -> Figure:
    """Draw one panel per loss; filled marks are the modified flow, open ones leading order."""
    orders = tables.json("bilinear.json")["orders"]
    names = list(dict.fromkeys(row["loss"] for row in orders))
    rules = list(dict.fromkeys(row["rule"] for row in orders))
    figure, axes = style.panels(len(names), columns=2, aspect=0.72)
    looks = {rule: _look(i, len(rules)) for i, rule in enumerate(rules)}
    for ax, name in zip(axes, names, strict=True):
        rows = [row for row in orders if row["loss"] == name]
        for row in rows:
            _draw_rule(ax, row, *looks[row["rule"]])
        _draw_guides(ax, rows)
        ax.set(xscale="log", yscale="log", title=LOSSES.get(name, name))
        ax.set(xlabel="step size h / T", ylabel="largest distance from the rule")
        style.fraction_ticks(ax.xaxis, rows[0]["step_sizes"], rows[0]["horizon"])
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles,
        [label.replace("_", " ") for label in labels],
        loc="outside lower center",
        ncols=2 if style.is_narrow() else 4,
    )
    return figure


def _look(number: int, of: int) -> tuple[dict[str, Any], float]:
    """Return a rule's colour and marker, and the factor by which its marks are moved sideways."""
    look = {"color": PALETTE[number % len(PALETTE)], "marker": MARKERS[number % len(MARKERS)]}
    return look, 2 ** (WIDTH * (number / max(of - 1, 1) - 0.5))


def _draw_rule(ax: Axes, row: dict[str, Any], look: dict[str, Any], shift: float) -> None:
    """Draw both errors of a rule, moved sideways so that no rule hides another."""
    h = shift * np.array(row["step_sizes"]) / row["horizon"]
    look = look | {"linewidth": 0.09 * style.measures().text}
    ax.plot(h, row["modified_errors"], **look, label=row["rule"])
    ax.plot(h, row["leading_errors"], **look, markerfacecolor="white", linestyle="--")


def _draw_guides(ax: Axes, rows: list[dict[str, Any]]) -> None:
    """Draw the slopes 1 and 2 for the eye, above and below the curves."""
    h = np.array(rows[0]["step_sizes"]) / rows[0]["horizon"]
    span = np.array([h.min(), h.max()])
    highest = max(max(row["leading_errors"]) for row in rows)
    lowest = min(min(row["modified_errors"]) for row in rows)
    ends = {1: 3 * highest * span / h.max(), 2: lowest / 3 * (span / h.min()) ** 2}
    for slope, values in ends.items():
        ax.plot(span, values, color=style.FAINT, linewidth=1)
        ax.annotate(
            f"slope {slope}",
            (np.sqrt(span.prod()), np.sqrt(values.prod())),
            xytext=(0, 5 if slope == 1 else -5),
            textcoords="offset points",
            ha="right" if slope == 1 else "left",
            va="bottom" if slope == 1 else "top",
            color=style.FAINT,
        )


def caption(tables: Tables) -> str:
    """Say which orders are seen."""
    orders = tables.json("bilinear.json")["orders"]
    leading = [row["leading_order"] for row in orders]
    modified = [row["modified"] for row in orders]
    return (
        "Largest distance to the rule over the path against the step size, in units of the "
        "horizon; the marks of the rules stand side by side. Filled marks, solid: modified flow, "
        f"observed orders {min(modified):.2f} to {max(modified):.2f} (theory: 2). Open marks, "
        f"dashed: leading-order flow, {min(leading):.2f} to {max(leading):.2f} (theory: 1)."
    )


ALT = (
    "Log-log plots, one per loss. For every rule the error of the modified flow falls with slope "
    "two as the step size falls, that of the leading-order flow with slope one."
)


def settings(tables: Tables) -> dict[str, str]:
    """Return the hyperparameters, horizon and numbers of steps of each loss."""
    orders = tables.json("bilinear.json")["settings"]["orders"]
    common = ", ".join(f"{k} {v}" for k, v in orders["hyperparameters"].items())
    rows = {"hyperparameters": common}
    for name, case in orders["losses"].items():
        steps = " ".join(map(str, case["steps"]))
        rows[LOSSES.get(name, name)] = f"T {case['horizon']:g}, steps {steps}"
    return rows
