"""How far each law reaches on networks: memory's effect predicted and measured, and over what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from adambias.core.flows import FLOW_NAMES, LAWS
from adambias.figures import flows, style, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from adambias.figures.tables import Tables

TITLE = "How far the laws reach on networks"
TABLE = "reach.json"
NUMBER = "change of the gradient over the memory"
STEP = "change of the gradient in a step"
NETWORKS = {
    ("softplus", "none"): ("s", "blue"),
    ("gelu", "none"): ("o", "green"),
    ("relu", "batch"): ("^", "vermillion"),
}
"""Markers and colours of networks, by activation and normalisation."""
KNOWN = {"paper": "the paper's h", "sweeps": "the sweeps", "pytorch": "PyTorch's default"}
"""Grids of settings that people know, by what they are called."""
SMALLEST = 3e-4
"""Change of the log-norm below which the axes are linear."""


def draw(tables: Tables) -> Figure:
    """Draw predicted against measured for each law, and every law's error over the number."""
    rows, limits = _rows(tables), tables.json(TABLE)["settings"]["within"]
    figure, axes = style.panels(1 + len(LAWS), columns=2, aspect=0.8)
    for ax, law in zip(axes, LAWS, strict=False):
        _draw_predictions(ax, rows, law, limits[law])
    _draw_errors(axes[-1], rows)
    handles = [
        Line2D([], [], label=words.network(*network), **_look(*network)) for network in NETWORKS
    ]
    empty: dict[str, Any] = {
        "color": style.INK,
        "marker": "o",
        "linestyle": "none",
        "fillstyle": "none",
    }
    handles.append(Line2D([], [], label="open: out of reach", **empty))
    columns = 2 if style.is_narrow() else 4
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _rows(tables: Tables) -> pd.DataFrame:
    """Return the settings, with each law's error over that of the leading-order flow."""
    rows = pd.DataFrame(tables.json(TABLE)["rows"])
    leading = rows["leading_order_distance"]
    errors = {f"{law}_error": rows[f"{law}_distance"] / leading for law in LAWS}
    return rows.assign(**errors)


def _look(activation: str, norm: str) -> dict[str, Any]:
    marker, colour = NETWORKS.get((activation, norm), ("D", "grey"))
    return {"marker": marker, "color": style.COLOURS[colour], "linestyle": "none"}


def _draw_predictions(ax: Axes, rows: pd.DataFrame, law: str, limit: float) -> None:
    most = 1.3 * float(rows["memory"].abs().max())
    ax.plot((-most, most), (-most, most), color=style.FAINT, linewidth=0.8)
    for row in rows.to_dict("records"):
        # What is beyond the axes stands at their edge.
        predicted = np.clip(np.nan_to_num(row[f"{law}_memory"], nan=most), -most, most)
        filled = "full" if row[f"{law}_number"] < limit else "none"
        look = _look(row["activation"], row["norm"]) | {"fillstyle": filled}
        ax.plot(row["memory"], predicted, clip_on=False, **look)
    for set_scale in (ax.set_xscale, ax.set_yscale):
        set_scale("symlog", linthresh=SMALLEST, linscale=0.5)
    ticks = [t for t in (-0.1, -0.01, -0.001, 0, 0.001, 0.01, 0.1) if abs(t) < most]
    labels = [f"{t:g}".replace("-", "−") for t in ticks]
    for axis in (ax.xaxis, ax.yaxis):
        style.fixed_ticks(axis, ticks, labels)
    ax.set(xlim=(-most, most), ylim=(-most, most), title=flows.SHORT[law])
    ax.set(xlabel="memory's change of log₁₀ norm", ylabel="predicted")
    ax.tick_params(axis="x", rotation=35)


def _draw_errors(ax: Axes, rows: pd.DataFrame) -> None:
    for law in LAWS:
        look = {"color": flows.LINES[law]["color"], "marker": flows.MARKERS[law]}
        ax.plot(rows["r"], rows[f"{law}_error"], linestyle="none", label=flows.SHORT[law], **look)
    ax.set(xscale="log", yscale="log", xlabel=STEP, ylabel="distance / leading order's")
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom / 500, 100 * top)
    for place, names in _known(rows).items():
        ax.axvline(place, color=style.FAINT, linewidth=0.8, linestyle=":")
        size = 0.85 * style.measures().text
        ax.text(place, 60 * top, names.replace(" and ", "\n"), ha="right", va="top", fontsize=size)
    ax.axhline(1, color=style.FAINT, linewidth=0.8)
    ax.legend(loc="lower right")
    ax.set_title("error of each law")


def _known(rows: pd.DataFrame) -> dict[float, str]:
    """Return the number in a step at the settings that people know, and what they are called."""
    found: dict[float, list[str]] = {}
    for grid, name in KNOWN.items():
        places = rows.loc[rows["grid"] == grid, "r"]
        if len(places):
            found.setdefault(float(places.max()), []).append(name)
    return {place: " and ".join(names) for place, names in found.items()}


def caption(tables: Tables) -> str:
    """Say what is compared, and where each law holds."""
    rows, settings = _rows(tables), tables.json(TABLE)["settings"]
    counts = "; ".join(
        f"the {FLOW_NAMES[law]} {_within(rows, law, settings['within'][law])}" for law in LAWS
    )
    known = "; ".join(
        f"{names} {place:.2g} in a step, {place * rows.loc[rows['r'] == place, 'age'].max():.2g} "
        "over the memory"
        for place, names in _known(rows).items()
    )
    return (
        f"{len(rows)} settings of {rows['model'].iloc[0]}: {settings['steps']} steps of an "
        "optimizer and of its flows from the same weights. Memory's change of the norm is the "
        "optimizer's log₁₀ norm less the leading-order flow's; on the line it is predicted, and "
        "what lies beyond the axes stands at their edge. Full marks: within a law's reach, where "
        f"the {NUMBER} (for the moment flow, {STEP}) is less than a given share of it. Of those "
        f"settings, distance from the optimizer over the leading-order flow's: {counts}. The "
        f"settings marked: {known}."
    )


def _within(rows: pd.DataFrame, law: str, limit: float) -> str:
    """Say how many settings are within a law's reach, and the law's error there."""
    inside = rows.loc[rows[f"{law}_number"] < limit, f"{law}_error"]
    if not len(inside):
        return f"none below {limit:g}"
    return (
        f"{len(inside)} below {limit:g}, median {inside.median():.2g}, at most {inside.max():.2g}"
    )


def alt(tables: Tables) -> str:
    """Say in words what the panels show."""
    rows = _rows(tables)
    ranks = rows.corr("spearman", numeric_only=True)["r"]
    said = ", ".join(f"{FLOW_NAMES[law]} {ranks[f'{law}_error']:.2f}" for law in LAWS)
    return (
        f"Predicted against measured change of the log-norm in {len(rows)} settings, a panel for "
        "each law, with the line on which they are equal; last, the laws' distances from the "
        f"optimizer over the change of the gradient in a step. Rank correlation of the two: {said}."
    )


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings behind the figure."""
    rows = _rows(tables)
    names = ("dataset", "model", "rule", "h", "epsilon", "beta1", "beta2", "seed")
    return {name: ", ".join(map(str, sorted(rows[name].unique()))) for name in names}
