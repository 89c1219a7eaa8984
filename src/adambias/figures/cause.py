"""What the predicted memory term causes: memory's effect on the norm, put in and taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from adambias.figures import style, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from adambias.figures.tables import Tables

TITLE = "What the memory term causes"
TABLE = "cause.json"
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "law_first_order": ("put in, first order", {"color": style.COLOURS["blue"], "marker": "s"}),
    "law_resummed": ("put in, resummed", {"color": style.COLOURS["green"], "marker": "^"}),
    "cancelled_first_order": (
        "taken away, first order",
        {"color": style.COLOURS["blue"], "marker": "s", "fillstyle": "none"},
    ),
    "cancelled_resummed": (
        "taken away, resummed",
        {"color": style.COLOURS["green"], "marker": "^", "fillstyle": "none"},
    ),
}
"""Trainings with the term, by their memory: what they are called, and their look."""


def draw(tables: Tables) -> Figure:
    """Draw what is left of the effect, and what is brought, over the effect, a panel per grid."""
    rows = _rows(tables)
    grids = list(rows["grid"].unique())
    figure, axes = style.panels(len(grids), aspect=1.1 if not style.is_narrow() else 0.8)
    for ax, grid in zip(axes, grids, strict=True):
        _draw_grid(ax, rows[rows["grid"] == grid])
    axes[0].set_ylabel("effect with the term")
    handles = [
        Line2D([], [], linestyle="none", label=name, **look) for name, look in KINDS.values()
    ]
    columns = 2 if style.is_narrow() else 4
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _rows(tables: Tables) -> pd.DataFrame:
    """Return the trainings with a law's term, put in or taken away."""
    rows = pd.DataFrame(tables.json(TABLE)["rows"])
    return rows[rows["memory"].isin(KINDS)].astype({"effect": float, "memory_effect": float})


def _draw_grid(ax: Axes, rows: pd.DataFrame) -> None:
    widest = 1.15 * rows["memory_effect"].abs().max()
    most = max(1.15 * rows["effect"].abs().max(), widest)
    ax.plot((-widest, widest), (-widest, widest), color=style.FAINT, linewidth=0.8)
    ax.axhline(0, color=style.FAINT, linewidth=0.8)
    for kind, (_, look) in KINDS.items():
        of = rows[rows["memory"] == kind]
        ax.plot(of["memory_effect"], of["effect"], linestyle="none", **look)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    first = rows.iloc[0]
    network = words.network(first["activation"], first["norm"])
    ax.set(xlim=(-widest, widest), ylim=(-most, most), xlabel="memory's effect on log₁₀ norm")
    ax.set_title(f"{first['grid']}: {network}\nh {first['h']:g}, ε {first['epsilon']:g}")


def caption(tables: Tables) -> str:
    """Say what is compared, and what share of the effect the first-order term takes and brings."""
    rows, settings = _rows(tables), tables.json(TABLE)["settings"]
    claims = {claim["key"]: claim for claim in tables.json("claims.json")}
    shares = "; ".join(
        f"{grid}: {_percent(claim['value'])} taken away, "
        f"{_percent(claim['readings']['restored_first_order']['value'])} brought"
        for grid in rows["grid"].unique()
        if (claim := claims.get(f"cause_{grid}"))
    )
    return (
        "Memory's effect is the log₁₀ norm with the optimizer's memory less that without any, over "
        f"the last {settings['late_fraction']:.0%} of {settings['steps']} steps; each point is a "
        f"seed and a pair of decays, {rows['seed'].nunique()} seeds. Full: the same with only "
        "what a law predicts for memory; on the line it brings the whole effect. Open: the "
        "optimizer's steps less what the law predicts; at zero it takes the whole effect away. "
        f"With the first-order term, the mean over seeds: {shares or 'not judged'}."
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}".replace("-", "−")


def alt(tables: Tables) -> str:
    """Say in words what the panels show."""
    rows = _rows(tables)
    cancelled = rows[rows["memory"] == "cancelled_first_order"]
    said = "; ".join(
        f"{grid}: effects from {of['memory_effect'].min():.2g} to {of['memory_effect'].max():.2g}, "
        f"without the term from {of['effect'].min():.2g} to {of['effect'].max():.2g}"
        for grid, of in cancelled.groupby("grid", sort=False)
    )
    return f"Effect with a law's term over memory's effect, powers of ten. {said}."


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings behind the figure."""
    rows = _rows(tables)
    names = ("activation", "norm", "h", "epsilon", "beta1", "beta2", "seed")
    return {name: ", ".join(map(str, sorted(rows[name].unique()))) for name in names}
