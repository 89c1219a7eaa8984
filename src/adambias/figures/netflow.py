"""The laws on a network: orders, distances from each rule over time, and where people train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from adambias.core.flows import FLOW_NAMES, LAWS
from adambias.figures import flows, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from adambias.figures.tables import Tables

TITLE = "The flows of a residual network"
NAMES = {"adam": "Adam", "heavy_ball": "heavy ball", "lion": "smoothed Lion"}
MARKERS = "os^Dv"
"""Markers of the rules whose orders are measured."""
WIDTH = 0.45
"""How far apart the flows of one pair of decays stand, first to last; pairs are 1 apart."""
TRAVELLED: dict[str, Any] = {
    "color": style.FAINT,
    "linestyle": ":",
    "label": "the rule's distance travelled",
}


def draw(tables: Tables) -> Figure:
    """Draw the orders, the distances of the flows in each run, and what is found in practice."""
    summary, runs = tables.json("netflow.json"), tables.frame("netflow.parquet")
    names = list(summary["settings"]["runs"])
    figure, axes = style.panels(3 + len(names), columns=2, aspect=0.72)
    _draw_orders(axes[0], summary["orders"])
    for ax, name in zip(axes[1:-2], names, strict=True):
        _draw_run(ax, runs[runs["run"] == name], summary["settings"]["runs"][name], name)
    _draw_practical(axes[-2], summary["practical"], "distance", TRAVELLED)
    axes[-2].set(yscale="log", ylabel="largest distance from Adam", title=_practical(summary))
    _draw_practical(axes[-1], summary["practical"], "log10_excess_change", {"color": style.INK})
    axes[-1].set(ylabel="change of the log₁₀ norm", title="gradient norm there, line: Adam")
    flows.legend(figure, columns=3, marked=True, more=[Line2D([], [], **TRAVELLED)])
    return figure


def _draw_orders(ax: Axes, orders: list[dict[str, Any]]) -> None:
    """Draw the errors of every flow, its colour, for every rule, its marker."""
    for row, marker in zip(orders, MARKERS, strict=False):
        h = np.array(row["step_sizes"]) / row["horizon"]
        name = NAMES.get(row["rule"], row["rule"])
        ax.plot([], [], color=style.INK, marker=marker, linestyle="none", label=name)
        for kind in flows.KINDS:
            ax.plot(h, row[flows.ERRORS[kind]], marker=marker, **flows.LINES[kind])
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="step size h / T",
        ylabel="largest distance from the rule",
    )
    style.fraction_ticks(ax.xaxis, orders[0]["step_sizes"], orders[0]["horizon"])
    ax.set(title="observed orders", ylim=(None, 12 * max(orders[0]["leading_errors"])))
    ax.legend(loc="upper left", ncols=len(orders), columnspacing=1, handletextpad=0.2)


def _draw_run(ax: Axes, rows: pd.DataFrame, case: dict[str, Any], name: str) -> None:
    rows = rows[rows["n"] > 0]
    rule = rows[rows["kind"] == "rule"]
    ax.plot(rule["t"], rule["travelled"], **TRAVELLED)
    top = 3 * rule["travelled"].max()
    bottom = 1e-6 * top
    for kind in flows.KINDS:
        path = rows[rows["kind"] == kind]
        # The moment flow begins with the rule's own first step, at no distance but rounding.
        ax.plot(path["t"], path["distance"].where(path["distance"] > bottom), **flows.LINES[kind])
    ax.set(yscale="log", ylim=(bottom, top), xlabel="time n·h", ylabel="distance from the rule")
    values = ", ".join(f"{key} {value:g}" for key, value in _decays(case).items())
    ax.set_title(f"{NAMES.get(name, name)}: {values}")


def _draw_practical(
    ax: Axes, rows: Sequence[dict[str, Any]], column: str, own: dict[str, Any]
) -> None:
    """Mark a number of each flow for every pair of decays; ``own`` is how Adam's is drawn."""
    pairs = list(dict.fromkeys((row["beta1"], row["beta2"]) for row in rows))
    shifts = np.linspace(-WIDTH / 2, WIDTH / 2, len(flows.KINDS))
    places = dict(zip(flows.KINDS, shifts, strict=True))
    for row in rows:
        place, kind = pairs.index((row["beta1"], row["beta2"])), row["kind"]
        if kind == "rule":
            value = row["travelled" if column == "distance" else column]
            ax.plot((place - 0.4, place + 0.4), (value, value), **own)
        elif row[column] is not None:
            look = {"color": flows.LINES[kind]["color"], "marker": flows.MARKERS[kind]}
            ax.plot(place + places[kind], row[column], **look)
    ax.set_xticks(range(len(pairs)), [f"{beta1:g}\n{beta2:g}" for beta1, beta2 in pairs])
    ax.set(xlabel=", ".join(style.SYMBOLS[name] for name in ("beta1", "beta2")))
    ax.grid(False, axis="x")


def _practical(summary: dict[str, Any]) -> str:
    """Say where people train: Adam, epsilon and h."""
    case = summary["settings"]["practical"]
    return f"Adam: {style.SYMBOLS['epsilon']} {case['epsilon']:g}, h {case['h']:g}"


def _decays(case: dict[str, Any]) -> dict[str, float]:
    chosen = {k: v for k, v in case["hyperparameters"].items() if k in ("beta1", "beta2")}
    return {style.SYMBOLS[k]: v for k, v in chosen.items()} | {"h": case["h"]}


def caption(tables: Tables) -> str:
    """Say what was measured, and how far the flows strayed."""
    summary = tables.json("netflow.json")
    settings = summary["settings"]
    strayed = []
    for name in settings["runs"]:
        rows = [row for row in summary["runs"] if row["run"] == name]
        far = {row["kind"]: row["distance"] / row["travelled"] for row in rows}
        shares = ", ".join(_percent(far[kind]) for kind in flows.KINDS)
        strayed.append(f"{NAMES.get(name, name)} {shares}")
    orders = ", ".join(
        f"{FLOW_NAMES[kind]} {flows.span([row[kind] for row in summary['orders']])}"
        for kind in flows.KINDS
    )
    return (
        f"A residual network of {summary['parameters']:,} parameters with {settings['activation']} "
        f"and without normalisation, on {settings['images']} images of {settings['dataset']}, in "
        f"float64. (a) Largest distance to the rule against the step size; orders: {orders}. Then, "
        "one rule each, distances over time. Largest distance over the distance travelled, of the "
        f"flows in this order: {'; '.join(strayed)}. {_practice(summary)}"
    )


def _percent(share: float) -> str:
    """Write a share with two digits, however small."""
    return f"{float(f'{100 * share:.2g}'):g}%"


def _practice(summary: dict[str, Any]) -> str:
    """Say how the laws do at the settings where people train."""
    steps = summary["settings"]["practical"]["n_steps"]
    said = ", ".join(f"{FLOW_NAMES[law]} {_shares(summary['practical'], law)}" for law in LAWS[1:])
    return (
        f"Last, {steps} steps of Adam at the settings where people train: largest distances from "
        "it, and the change over the run of the log₁₀ excess of the perturbed one-norm of the "
        f"gradient over p√ε. In shares of the modified flow's distance: {said}."
    )


def _shares(rows: Sequence[dict[str, Any]], law: str) -> str:
    """Return the least and the most of a law's distance over that of the modified flow."""
    far = {(row["beta1"], row["beta2"], row["kind"]): row["distance"] for row in rows}
    pairs = {(row["beta1"], row["beta2"]) for row in rows}
    both = [(far[(*pair, law)], far[(*pair, "modified")]) for pair in pairs]
    shares = [a / b for a, b in both if a is not None and b is not None]
    return f"{_percent(min(shares))} to {_percent(max(shares))}" if shares else "unknown"


def alt(tables: Tables) -> str:
    """Say what the panels show."""
    summary = tables.json("netflow.json")
    names = [NAMES.get(name, name) for name in summary["settings"]["runs"]]
    near = {
        run: min((row for row in summary["runs"] if row["run"] == run), key=_distance)["kind"]
        for run in summary["settings"]["runs"]
    }
    return (
        f"Errors of the flows of {len(summary['orders'])} rules against the step size; distances "
        f"over time from {', '.join(names)}, where the closest flow is "
        f"{', '.join(f'the {FLOW_NAMES[kind]}' for kind in dict.fromkeys(near.values()))}; and "
        "marks for pairs of decays at practical settings: how far each flow is from Adam, and how "
        "the gradient's norm changes along it and along Adam."
    )


def _distance(row: dict[str, Any]) -> float:
    return float("inf") if row["distance"] is None else row["distance"]


def settings(tables: Tables) -> dict[str, str]:
    """Return the hyperparameters of every run."""
    rows = {}
    chosen = tables.json("netflow.json")["settings"]
    for group in ("orders", "runs"):
        for name, case in chosen[group].items():
            words = {k: v for k, v in case.items() if k not in ("rule", "hyperparameters")}
            values = case["hyperparameters"] | words
            rows[f"{name} ({group})"] = ", ".join(f"{k} {v:g}" for k, v in values.items())
    practical = chosen["practical"]
    pairs = "; ".join(f"{beta1:g}, {beta2:g}" for beta1, beta2 in practical["pairs"])
    values = ", ".join(f"{key} {practical[key]:g}" for key in ("epsilon", "h", "n_steps"))
    rows["adam (practical)"] = f"{values}; beta1, beta2: {pairs}"
    return rows
