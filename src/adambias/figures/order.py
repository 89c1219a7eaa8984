"""Order of convergence: errors of the flows against the step size, and the order of every rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from adambias.core.flows import FLOW_NAMES, LAWS
from adambias.figures import flows, style
from adambias.figures.tables import Missing

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
SHOWN = "adam"
"""The rule whose errors are drawn; the orders of all rules stand in the last panel."""
WIDTH = 0.6
"""How far apart the flows of one rule stand, first to last; rules are 1 apart."""


def draw(tables: Tables) -> Figure:
    """Draw Adam's errors on each loss and along growing memory, and the orders of every rule."""
    fixed, growing = _drawn(tables)
    count = len(fixed) + len(growing) + 1
    aspect = 0.64 if style.is_narrow() else 0.95
    figure, axes = style.panels(count, columns=3, aspect=aspect, wide_last=True)
    for ax, row in zip(axes[:-1], [*fixed, *growing], strict=True):
        flows.draw_errors(ax, row)
        _draw_guides(ax, row)
        ax.margins(y=0.12)
        ax.set(ylabel="largest distance from Adam", title=_title(row))
    _draw_orders(axes[-1], tables.json("bilinear.json")["orders"])
    flows.legend(figure, columns=2, marked=True)
    return figure


def _drawn(tables: Tables) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the reports whose errors are drawn: at fixed decays, and along growing memory."""
    summary = tables.json("bilinear.json")
    fixed = [row for row in summary["orders"] if row["rule"] == SHOWN]
    if not fixed:
        raise Missing(f"bilinear.json has no orders of {SHOWN}")
    return fixed, summary["growing_memory"]


def _title(row: dict[str, Any]) -> str:
    name = LOSSES.get(row["loss"], row["loss"])
    decays = (style.SYMBOLS["beta1"], style.SYMBOLS["beta2"])
    if "rates" in row["hyperparameters"]:
        rates = row["hyperparameters"]["rates"]
        words = [f"1 − {each} = {rate:g} h" for each, rate in zip(decays, rates, strict=True)]
    else:
        words = [f"{each} = {d:g}" for each, d in zip(decays, row["decays"], strict=True)]
    return f"{name}\n{', '.join(words)}"


def _draw_guides(ax: Axes, row: dict[str, Any]) -> None:
    """Draw the slopes 1 and 2 for the eye, above and below the curves."""
    h = np.array(row["step_sizes"]) / row["horizon"]
    span = np.array([h.min(), h.max()])
    errors = np.array([row[name] for name in flows.ERRORS.values() if row[name] is not None])
    ends = {1: 3 * (errors / h).max() * span, 2: (errors / h**2).min() / 3 * span**2}
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


def _draw_orders(ax: Axes, orders: Sequence[dict[str, Any]]) -> None:
    """Mark, for every rule and loss, the order of each flow less that which the theory says."""
    rules = list(dict.fromkeys(row["rule"] for row in orders))
    shifts = np.linspace(-WIDTH / 2, WIDTH / 2, len(flows.KINDS))
    for kind, shift in zip(flows.KINDS, shifts, strict=True):
        known = [row for row in orders if row[kind] is not None]
        places = [rules.index(row["rule"]) + shift for row in known]
        off = [row[kind] - flows.ORDERS[kind] for row in known]
        look = {"color": flows.LINES[kind]["color"], "marker": flows.MARKERS[kind]}
        ax.plot(places, off, **look, linestyle="none", markeredgewidth=0, alpha=0.75)
    ax.axhline(0, color=style.FAINT, linewidth=1, zorder=0)
    ax.set_xticks(range(len(rules)), [rule.replace("_", " ") for rule in rules])
    ax.set(
        xlim=(-0.5, len(rules) - 0.5), ylabel="order less the theory's", title="every rule and loss"
    )
    ax.grid(False, axis="x")
    style.slant_crowded(ax)


def caption(tables: Tables) -> str:
    """Say which orders are seen."""
    orders = tables.json("bilinear.json")["orders"]
    fixed, growing = _drawn(tables)
    whole, rules = len(fixed) + len(growing), {row["rule"] for row in orders}
    growth = ", ".join(f"{flows.SHORT[kind]} {_of(growing, kind)}" for kind in flows.KINDS)
    laws = ", ".join(f"{flows.SHORT[kind]} {_of(orders, kind)}" for kind in LAWS)
    return (
        "Largest distance to the rule over the path against the step size, in units of the "
        f"horizon. {_letters(0, len(fixed))}: Adam with fixed decays. "
        f"{_letters(len(fixed), whole)}: Adam with 1 − β in proportion to h, "
        f"whose memory stays in time and grows in steps; observed orders: {growth}. "
        f"{_letters(whole, whole + 1)} How far the orders of {len(rules)} rules with fixed decays "
        "are from the theory's, a mark for each loss. Observed: leading-order flow "
        f"{_of(orders, 'leading_order')} (theory: 1), {laws} (theory: 2). "
        "Mini-batches have no moment flow."
    )


def _letters(start: int, stop: int) -> str:
    """Name some panels: ``(a) to (d)``."""
    names = [f"({letter})" for letter in "abcdefghijkl"[start:stop]]
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _of(rows: Sequence[dict[str, Any]], kind: str) -> str:
    return flows.span([row[kind] for row in rows if row[kind] is not None])


def alt(tables: Tables) -> str:
    """Describe the panels."""
    fixed, growing = _drawn(tables)
    rules = {row["rule"] for row in tables.json("bilinear.json")["orders"]}
    slopes = ", ".join(f"{FLOW_NAMES[kind]} {_of(fixed, kind)}" for kind in flows.KINDS)
    return (
        f"{len(fixed) + len(growing)} log-log plots of the errors of the flows against the step "
        f"size. In {len(fixed)} of them decays are fixed; slopes: {slopes}. In the others memory "
        f"grows, and {_falling(growing)}. Last, how far the order of each flow is from the "
        f"theory's, for {len(rules)} rules."
    )


def _falling(growing: Sequence[dict[str, Any]]) -> str:
    """Say which flows still come closer as memory grows: those with an order above one half."""
    near = [k for k in flows.KINDS if min(row[k] for row in growing) > 0.5]
    names = " and ".join(f"the {FLOW_NAMES[kind]}" for kind in near) or "none"
    return f"of the flows only {names} comes closer" if len(near) < 2 else f"{names} come closer"


def settings(tables: Tables) -> dict[str, str]:
    """Return the hyperparameters, horizon and numbers of steps of each loss."""
    orders = tables.json("bilinear.json")["settings"]["orders"]
    common = ", ".join(f"{k} {v}" for k, v in orders["hyperparameters"].items())
    rows = {"hyperparameters": common}
    for name, case in orders["losses"].items():
        steps = " ".join(map(str, case["steps"]))
        rows[LOSSES.get(name, name)] = f"T {case['horizon']:g}, steps {steps}"
    for name, case in orders["growing"].items():
        steps, rates = (" ".join(f"{v:g}" for v in case[key]) for key in ("steps", "rates"))
        words = f"T {case['horizon']:g}, steps {steps}, rates {rates}, epsilon {case['epsilon']:g}"
        rows[f"{LOSSES.get(name, name)}, growing memory"] = words
    return rows
