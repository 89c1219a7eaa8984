"""Adam with both its flows on the bilinear model, and how far each flow is from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adambias.figures import style, trajectories

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from adambias.figures.tables import Tables

TITLE = "Adam and its flows on the bilinear model"
KINDS: dict[str, dict[str, Any]] = {
    "leading_order": {"color": style.COLOURS["orange"], "linestyle": "--"},
    "modified": {"color": style.COLOURS["blue"]},
    "adam": {
        "color": style.INK,
        "marker": "o",
        "linestyle": "none",
        "markersize": 2.6,
        "zorder": 5,
    },
}
NAMES = {"leading_order": "leading-order flow", "modified": "modified flow", "adam": "Adam"}


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
    handles, labels = axes[0].get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    wanted = [NAMES[kind] for kind in ("adam", "modified", "leading_order")]
    columns = 1 if narrow else 3
    figure.legend([named[n] for n in wanted], wanted, loc="outside lower center", ncols=columns)
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
    for kind, look in KINDS.items():
        path = rows[rows["kind"] == kind]
        every = max(1, len(path) // 40) if kind == "adam" else 1
        ax.plot(path["theta1"][::every], path["theta2"][::every], label=NAMES[kind], **look)


def _draw_distances(ax: Axes, rows: pd.DataFrame) -> None:
    for kind in ("leading_order", "modified"):
        path = rows[(rows["kind"] == kind) & (rows["n"] > 0)]
        ax.plot(path["t"], path["error"], **KINDS[kind])
    top = 3 * rows["error"].max()
    ax.set(yscale="log", ylim=(1e-5 * top, top))
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
        words.append(f"{title} {far['leading_order']:.2g} and {far['modified']:.2g}")
    return (
        "Adam with its leading-order and its modified flow from the same start, and the distances "
        f"from Adam over time. Largest distance of the two flows: {'; '.join(words)}."
    )


def alt(tables: Tables) -> str:
    """Describe the picture."""
    cases = tables.json("bilinear.json")["settings"]["paths"].values()
    titles = ", ".join(case["title"] for case in cases)
    return (
        f"Maps of the parameter plane for {titles}, each with Adam's steps and two curves, and "
        "below them the distances of the two curves from Adam against time."
    )


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings of every case."""
    cases = tables.json("bilinear.json")["settings"]["paths"].values()
    return {
        case["title"]: ", ".join(f"{k} {v:g}" for k, v in case.items() if k != "title")
        for case in cases
    }
