"""What the predicted memory term causes: memory's effect on the norm, put in and taken away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from adambias.analysis.claims.networks import by_memory, shares_of_effect
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
    effects = _effects(tables)
    grids = list(dict.fromkeys(effects["grid"]))
    figure, axes = style.panels(len(grids), aspect=1.1 if not style.is_narrow() else 0.8)
    for ax, grid in zip(axes, grids, strict=True):
        _draw_grid(ax, effects[effects["grid"] == grid])
    axes[0].set_ylabel("effect with the term")
    handles = [
        Line2D([], [], linestyle="none", label=name, **look) for name, look in KINDS.values()
    ]
    columns = 2 if style.is_narrow() else 4
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _effects(tables: Tables) -> pd.DataFrame:
    """Return each kind's change of the log10 norm against the training without memory."""
    rows = pd.DataFrame(tables.json(TABLE)["rows"])
    table = by_memory(rows)
    effects = table.sub(table["forgotten"], axis=0).reset_index()
    # In the order of the settings, which the pivot has lost.
    order = {grid: place for place, grid in enumerate(tables.json(TABLE)["settings"]["grids"])}
    return effects.sort_values("grid", key=lambda grids: grids.map(order), kind="stable")


def _draw_grid(ax: Axes, effects: pd.DataFrame) -> None:
    most = 1.15 * effects[["optimizer", *KINDS]].abs().to_numpy().max()
    widest = 1.15 * effects["optimizer"].abs().to_numpy().max()
    ax.plot((-widest, widest), (-widest, widest), color=style.FAINT, linewidth=0.8)
    ax.axhline(0, color=style.FAINT, linewidth=0.8)
    for kind, (_, look) in KINDS.items():
        ax.plot(effects["optimizer"], effects[kind], linestyle="none", **look)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    first = effects.iloc[0]
    network = words.network(first["activation"], first["norm"])
    ax.set(xlim=(-widest, widest), ylim=(-most, most), xlabel="memory's effect on log₁₀ norm")
    ax.set_title(f"{first['grid']}: {network}\nh {first['h']:g}, ε {first['epsilon']:g}")


def caption(tables: Tables) -> str:
    """Say what is compared, and what share of the effect the first-order term takes and brings."""
    effects, settings = _effects(tables), tables.json(TABLE)["settings"]
    rows = pd.DataFrame(tables.json(TABLE)["rows"])

    def share(grid: str, memory: str) -> str:
        return f"{shares_of_effect(rows, grid, memory).mean():.0%}".replace("-", "−")

    shares = "; ".join(
        f"{grid}: {share(grid, 'cancelled_first_order')} taken away, "
        f"{share(grid, 'law_first_order')} brought"
        for grid in effects["grid"].unique()
    )
    return (
        "Memory's effect is the log₁₀ norm with the optimizer's memory less that without any, over "
        f"the last {settings['late_fraction']:.0%} of {settings['steps']} steps; each point is a "
        f"seed and a pair of decays, {effects['seed'].nunique()} seeds. Full: the same with only "
        "what a law predicts for memory; on the line it brings the whole effect. Open: the "
        "optimizer's steps less what the law predicts; at zero it takes the whole effect away. "
        f"With the first-order term, the mean over seeds: {shares}."
    )


def alt(tables: Tables) -> str:
    """Say in words what the panels show."""
    effects = _effects(tables)
    said = "; ".join(
        f"{grid}: effects from {of['optimizer'].min():.2g} to {of['optimizer'].max():.2g}, without "
        f"the term from {of['cancelled_first_order'].min():.2g} to "
        f"{of['cancelled_first_order'].max():.2g}"
        for grid, of in effects.groupby("grid", sort=False)
    )
    return f"Effect with a law's term over memory's effect, powers of ten. {said}."


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings behind the figure."""
    effects = _effects(tables)
    names = ("activation", "norm", "h", "epsilon", "beta1", "beta2", "seed")
    return {name: ", ".join(map(str, sorted(effects[name].unique()))) for name in names}
