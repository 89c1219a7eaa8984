"""The law on a network: orders, and how far both flows stay with each rule over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from adambias.figures import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from adambias.figures.tables import Tables

TITLE = "The flows of a residual network"
NAMES = {"adam": "Adam", "heavy_ball": "heavy ball", "lion": "smoothed Lion"}
LOOKS: dict[str, dict[str, Any]] = {
    "leading_order": {"linestyle": "--", "label": "leading-order flow"},
    "modified": {"linestyle": "-", "label": "modified flow"},
}


def draw(tables: Tables) -> Figure:
    """Draw the orders, and per run the distances of both flows over the distance travelled."""
    summary, runs = tables.json("netflow.json"), tables.frame("netflow.parquet")
    names = list(summary["settings"]["runs"])
    figure, axes = style.panels(1 + len(names), columns=2, aspect=0.72)
    _draw_orders(axes[0], summary["orders"])
    for ax, name in zip(axes[1:], names, strict=True):
        _draw_run(ax, runs[runs["run"] == name], summary["settings"]["runs"][name], name)
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=1 if style.is_narrow() else len(labels)
    )
    return figure


def _colour(index: int) -> Any:
    return list(style.COLOURS.values())[index]


def _draw_orders(ax: Axes, orders: list[dict[str, Any]]) -> None:
    for i, (row, marker) in enumerate(zip(orders, "os^Dv", strict=False)):
        h = np.array(row["step_sizes"]) / row["horizon"]
        name = NAMES.get(row["rule"], row["rule"])
        ax.plot(
            h,
            row["modified_errors"],
            color=_colour(i),
            marker=marker,
            label=f"{name}: {row['leading_order']:.2f}, {row['modified']:.2f}",
        )
        ax.plot(
            h,
            row["leading_errors"],
            color=_colour(i),
            marker=marker,
            markerfacecolor="white",
            linestyle="--",
        )
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="step size h / T",
        ylabel="largest distance from the rule",
    )
    style.fraction_ticks(ax.xaxis, orders[0]["step_sizes"], orders[0]["horizon"])
    ax.set(title="observed orders", ylim=(None, 25 * max(orders[0]["leading_errors"])))
    ax.legend(title="leading order, modified", loc="upper left")


def _draw_run(ax: Axes, rows: pd.DataFrame, case: dict[str, Any], name: str) -> None:
    rows = rows[rows["n"] > 0]
    rule = rows[rows["kind"] == "rule"]
    ax.plot(
        rule["t"], rule["travelled"], color=style.FAINT, linestyle=":", label="distance travelled"
    )
    colours = {"leading_order": style.COLOURS["orange"], "modified": style.COLOURS["blue"]}
    for kind, look in LOOKS.items():
        path = rows[rows["kind"] == kind]
        ax.plot(path["t"], path["distance"], color=colours[kind], **look)
    top = 3 * rule["travelled"].max()
    ax.set(yscale="log", ylim=(1e-5 * top, top), xlabel="time n·h", ylabel="distance from the rule")
    values = ", ".join(f"{key} {value:g}" for key, value in _decays(case).items())
    ax.set_title(f"{NAMES.get(name, name)}: {values}")


def _decays(case: dict[str, Any]) -> dict[str, float]:
    chosen = {k: v for k, v in case["hyperparameters"].items() if k in ("beta1", "beta2")}
    return {style.SYMBOLS[k]: v for k, v in chosen.items()} | {"h": case["h"]}


def caption(tables: Tables) -> str:
    """Say what was measured, and how far the flows strayed."""
    summary = tables.json("netflow.json")
    settings = summary["settings"]
    strayed = []
    for name in settings["runs"]:
        far = {
            r["kind"]: r["distance"] / r["travelled"] for r in summary["runs"] if r["run"] == name
        }
        strayed.append(
            f"{NAMES.get(name, name)} {far['leading_order']:.1%} and {far['modified']:.1%}"
        )
    return (
        f"A residual network of {summary['parameters']:,} parameters with {settings['activation']} "
        f"and without normalisation, on {settings['images']} images of {settings['dataset']}, in "
        "float64. (a) Largest distance to the rule against the step size; filled: modified flow, "
        "open: leading-order flow. Others: distances to the rule over time. Largest distance of "
        "the leading-order and the modified flow over the distance travelled: "
        f"{'; '.join(strayed)}."
    )


ALT = (
    "Four panels. First, errors of both flows of three rules against the step size, with slopes "
    "near one and two. Others, one per rule: the modified flow stays closer to the rule than the "
    "leading-order flow."
)


def settings(tables: Tables) -> dict[str, str]:
    """Return the hyperparameters of every run."""
    rows = {}
    chosen = tables.json("netflow.json")["settings"]
    for group in ("orders", "runs"):
        for name, case in chosen[group].items():
            words = {k: v for k, v in case.items() if k not in ("rule", "hyperparameters")}
            values = case["hyperparameters"] | words
            rows[f"{name} ({group})"] = ", ".join(f"{k} {v:g}" for k, v in values.items())
    return rows
