"""Adam with its flows on the bilinear model, and how far each of them is from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.lines import Line2D

from adambias.core.flows import FLOW_NAMES
from adambias.figures import flows, style, trajectories

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from adambias.figures.tables import Tables

TITLE = "Adam and its flows on the bilinear model"
ADAM: dict[str, Any] = {
    "color": style.INK,
    "marker": "o",
    "linestyle": "none",
    "markersize": 2.6,
    "zorder": 5,
    "label": "Adam",
}


def draw(tables: Tables) -> Figure:
    """Draw, per case, the paths above and the distances from Adam below."""
    summary, table = tables.json("bilinear.json"), tables.frame("bilinear.parquet")
    cases = summary["settings"]["paths"]
    figure, axes = style.panels(2 * len(cases), columns=len(cases), aspect=0.95)
    narrow = style.is_narrow()
    for i, (name, case) in enumerate(cases.items()):
        upper, lower = (2 * i, 2 * i + 1) if narrow else (i, i + len(cases))
        rows = table[table["panel"] == name]
        _draw_paths(axes[upper], summary, rows, case)
        _draw_distances(axes[lower], rows)
    flows.legend(figure, columns=3, more=[Line2D([], [], **ADAM)])
    return figure


def _draw_paths(
    ax: Axes, summary: dict[str, Any], rows: pd.DataFrame, case: dict[str, Any]
) -> None:
    values = ", ".join(f"{style.SYMBOLS[key]} = {case[key]:g}" for key in ("beta1", "beta2"))
    more = ", ".join(f"{style.SYMBOLS[key]} = {case[key]:g}" for key in ("epsilon", "h"))
    margin = 0.15
    ax.set(
        xlim=(rows["theta1"].min() - margin, rows["theta1"].max() + margin),
        ylim=(rows["theta2"].min() - margin, rows["theta2"].max() + margin),
        xlabel="θ₁",
        ylabel="θ₂",
        title=f"{values}\n{more}",
    )
    trajectories.landscape(ax, summary, case["epsilon"])
    adam = rows[rows["kind"] == "adam"]
    adam = adam.iloc[:: max(1, len(adam) // 40)]
    ax.plot(adam["theta1"], adam["theta2"], **ADAM)
    for kind in flows.KINDS:
        path = rows[rows["kind"] == kind]
        ax.plot(path["theta1"], path["theta2"], **flows.LINES[kind])


def _draw_distances(ax: Axes, rows: pd.DataFrame) -> None:
    for kind in flows.KINDS:
        path = rows[(rows["kind"] == kind) & (rows["n"] > 0)]
        ax.plot(path["t"], path["error"], **flows.LINES[kind])
    top = 3 * rows["error"].max()
    ax.set(yscale="log", ylim=(3e-6 * top, top))
    ax.set(xlabel="time n·h", ylabel="distance from Adam")


def caption(tables: Tables) -> str:
    """Say how far each flow strays."""
    summary = tables.json("bilinear.json")
    words = []
    for panel, case in summary["settings"]["paths"].items():
        far = {row["kind"]: row["error"] for row in summary["path_errors"] if row["panel"] == panel}
        title = case["title"]
        for name, symbol in style.SYMBOLS.items():
            title = title.replace(name, symbol)
        words.append(f"{title} {', '.join(f'{far[kind]:.2g}' for kind in flows.KINDS)}")
    return (
        "Adam with its flows from the same start, and their distances from Adam over time. Largest "
        f"distance of the {', the '.join(FLOW_NAMES.values())}: {'; '.join(words)}."
    )


def alt(tables: Tables) -> str:
    """Describe the picture."""
    cases = tables.json("bilinear.json")["settings"]["paths"].values()
    titles = ", ".join(case["title"] for case in cases)
    return (
        f"Maps of the parameter plane for {titles}, each with Adam's steps and {len(flows.KINDS)} "
        "curves, its flows, and below them the distances of the curves from Adam against time."
    )


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings of every case."""
    cases = tables.json("bilinear.json")["settings"]["paths"].values()
    return {
        case["title"]: ", ".join(f"{k} {v:g}" for k, v in case.items() if k != "title")
        for case in cases
    }
