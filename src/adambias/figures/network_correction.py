"""How well the law predicts what memory does to a network, from smooth and small to practical."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adambias.figures import Tables, style

TITLE = "The memory correction on a network"
TABLE = "network_correction.parquet"


def draw(tables: Tables) -> Figure:
    """Draw cosine and ratio of lengths at each stop of the way."""
    table = tables.frame(TABLE)
    figure, (cosine, length) = style.panels(2, aspect=1.0)
    _draw_way(cosine, table, "cosine", "blue")
    cosine.set_ylim(-1.05, 1.05)
    cosine.set_title("direction: cosine")
    _draw_way(length, table, "length_ratio", "vermillion")
    length.set_yscale("log")
    length.set_title("length: predicted over actual")
    return figure


def _draw_way(ax: Axes, table: pd.DataFrame, column: str, colour: str) -> None:
    """Draw a point per seed and epoch, their median as a line, and the law's value of one."""
    median = table.groupby("stop")[column].median()
    words = table.drop_duplicates("stop").set_index("stop")["change"].loc[median.index]
    ax.axhline(1.0, color=style.FAINT, linewidth=0.8, linestyle="--")
    ax.plot(table["stop"], table[column], "o", color=style.COLOURS[colour], alpha=0.35)
    ax.plot(median.index, median, color=style.COLOURS[colour])
    ax.set_xticks(list(median.index), [_readable(change) for change in words], rotation=60)
    for label in ax.get_xticklabels():
        label.set_horizontalalignment("right")
        label.set_rotation_mode("anchor")


def _readable(change: str) -> str:
    names = {"beta1": "β₁", "beta2": "β₂", "epsilon": "ε"}
    name, _, value = change.partition(" = ")
    return f"{names.get(name, name)} = {value}" if value else change


def _start(table: pd.DataFrame) -> str:
    first = table.iloc[0]
    return (
        f"{first['activation']}, norm {first['norm']}, {first['precision']}, "
        f"β₁ = {first['beta1']:g}, β₂ = {first['beta2']:g}, ε = {first['epsilon']:g}, "
        f"h = {first['h']:g}"
    )


def caption(tables: Tables) -> str:
    """Say what is compared, where the way starts, and what is seen at its ends."""
    table = tables.frame(TABLE)
    medians = table.groupby("stop")[["cosine", "length_ratio"]].median()
    first, last = medians.iloc[0], medians.iloc[-1]
    return (
        "The memory correction that the law predicts, h² Σ λ ∂Φ[φ′(g)·(∇²E f₀)], against the one "
        "the optimizer made: its step less the step that forgets the past. Each stop changes one "
        f"setting and keeps the changes before it; the way starts at {_start(table)}. "
        f"There the cosine is {first['cosine']:.3f} and the lengths agree to "
        f"{abs(first['length_ratio'] - 1):.1%}; at the end the cosine is {last['cosine']:.2f} and "
        f"the prediction is {last['length_ratio']:.2g} times as long as what happens. "
        f"Points: epochs {', '.join(map(str, sorted(table['epoch'].unique())))} of "
        f"{table['seed'].nunique()} seed{'s' * (table['seed'].nunique() > 1)}; line: their median."
    )


def alt(tables: Tables) -> str:
    """Say in words how cosine and length run along the way."""
    table = tables.frame(TABLE)
    medians = table.groupby("stop")[["change", "cosine", "length_ratio"]].agg(
        {"change": "first", "cosine": "median", "length_ratio": "median"}
    )
    stops = [
        f"{_readable(change)}: cosine {cosine:.2f}, length ratio {ratio:.2g}"
        for change, cosine, ratio in medians.to_numpy()
    ]
    return f"Two line plots along the way. {'; '.join(stops)}."


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings behind the figure."""
    table = tables.frame(TABLE)
    changes = table.drop_duplicates("stop")["change"].iloc[1:]
    return {"start": _start(table), "changes": "; ".join(changes)}
