"""The error atlas: how well both flows follow Adam over beta1 and beta2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LogNorm, TwoSlopeNorm

from adambias.core.decays import log_distance
from adambias.figures import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from adambias.figures.tables import Tables

TITLE = "Error atlas of the flows over beta1 and beta2"
TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)


def draw(tables: Tables) -> Figure:
    """Draw the errors of both flows and the decades that the modified flow gains."""
    table = tables.frame("atlas.parquet")
    figure, axes = style.panels(3, aspect=1.12)
    errors = table[["leading_error", "modified_error"]].to_numpy()
    low, high = np.nanquantile(errors[np.isfinite(errors)], [0.01, 1.0])
    norm = LogNorm(low, high)
    mesh = _mesh(axes[0], table, table["leading_error"], "leading-order flow", norm=norm)
    _mesh(axes[1], table, table["modified_error"], "modified flow", norm=norm)
    figure.colorbar(
        mesh,
        ax=axes[:2],
        label="largest distance from Adam",
        location="bottom",
        extend="min",
        aspect=42,
    )
    gain = np.log10(table["ratio"])
    span = float(np.nanquantile(np.abs(gain[np.isfinite(gain)]), 0.995))
    look = {"norm": TwoSlopeNorm(0.0, -span, span), "cmap": "RdBu_r"}
    mesh = _mesh(axes[2], table, gain, "modified / leading order", **look)
    label = "log₁₀ of the ratio"
    figure.colorbar(mesh, ax=axes[2], label=label, location="bottom", extend="both")
    return figure


def _mesh(ax: Axes, table: pd.DataFrame, values: pd.Series, title: str, **look: Any) -> Any:
    """Draw one map, on axes equally spaced in log(1 - beta)."""
    grid = table.assign(value=values).pivot(index="beta2", columns="beta1", values="value")
    beta1_axis, beta2_axis = grid.columns.to_numpy(), grid.index.to_numpy()
    beta1, beta2 = log_distance(beta1_axis), log_distance(beta2_axis)
    mesh = ax.pcolormesh(
        beta1, beta2, np.ma.masked_invalid(grid.to_numpy()), rasterized=True, **look
    )
    ax.plot(beta1, beta1, color=style.INK, linewidth=0.8, linestyle=":")
    shown = [tick for tick in TICKS if tick <= float(beta1_axis.max()) + 1e-9]
    positions = log_distance(shown)
    labels = [f"{tick:g}" for tick in shown]
    ax.set_xticks(positions, labels, rotation=60)
    ax.set_yticks(positions, labels)
    ax.set(
        title=title,
        xlabel=style.SYMBOLS["beta1"],
        ylabel=style.SYMBOLS["beta2"],
        facecolor="#999999",
    )
    ax.grid(False)
    return mesh


def caption(tables: Tables) -> str:
    """Say where the modified flow is better."""
    table = tables.frame("atlas.parquet")
    ratio = table["ratio"][np.isfinite(table["ratio"])]
    better = (ratio < 1).mean()
    atlas = tables.json("bilinear.json")["settings"]["atlas"]
    return (
        f"Largest distance of both flows from Adam over a path of length {atlas['horizon']:g} on "
        f"the bilinear model at h = {atlas['h']:g}, ε = {atlas['epsilon']:g}, and their ratio. The "
        f"modified flow is the closer one on {better:.0%} of the map, by a factor of "
        f"{1 / ratio.median():.0f} in the median. Dotted: β₁ = β₂. Along it the correction nearly "
        "vanishes, as ε is small there, equation (2.4), and both flows are equally good; the dark "
        "valleys are where an error changes sign."
    )


ALT = (
    "Three heat maps over beta1 and beta2: the error of the leading-order flow, of the modified "
    "flow, and their ratio. Errors grow as either decay nears one; the ratio is below one almost "
    "everywhere."
)


def settings(tables: Tables) -> dict[str, str]:
    """Return the grid and the run's settings."""
    atlas = tables.json("bilinear.json")["settings"]["atlas"]
    return {key: f"{value:g}" for key, value in atlas.items()}
