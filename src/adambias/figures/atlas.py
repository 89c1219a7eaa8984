"""The error atlas: how well the flows follow Adam over beta1 and beta2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from numpy.typing import NDArray

from adambias.core.decays import log_distance
from adambias.core.flows import FLOW_NAMES, LAWS
from adambias.figures import flows, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from adambias.figures.tables import Tables

TITLE = "Error atlas of the flows over beta1 and beta2"
TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)


def draw(tables: Tables) -> Figure:
    """Draw the error of the leading-order flow, and the decades that each law gains on it."""
    table = tables.frame("atlas.parquet")
    figure, axes = style.panels(1 + len(LAWS), columns=2, aspect=0.82)
    errors = table["leading_order_error"][np.isfinite(table["leading_order_error"])]
    look = {"norm": LogNorm(errors.quantile(0.01), errors.max())}
    mesh = _mesh(axes[0], table, table["leading_order_error"], "leading-order flow", **look)
    label = "largest distance from Adam"
    figure.colorbar(mesh, ax=axes[0], label=label, extend="min")
    gains = {law: np.log10(table[f"{law}_ratio"]) for law in LAWS}
    shared = _shared(np.concatenate(list(gains.values())))
    for ax, (law, gain) in zip(axes[1:], gains.items(), strict=True):
        mesh = _mesh(ax, table, gain, f"{flows.SHORT[law]} / leading order", **shared)
        figure.colorbar(mesh, ax=ax, label="log₁₀ of the ratio", extend="min")
    return figure


def _shared(gains: NDArray[np.float64]) -> dict[str, Any]:
    """Return the colours of all ratios: blue below zero and red above, as strong as it is far."""
    known = gains[np.isfinite(gains)]
    low, high = float(np.quantile(known, 0.005)), max(float(known.max()), 0.1)
    most = max(-low, high)
    shades = mpl.colormaps["RdBu_r"](0.5 + 0.5 * np.linspace(-most, high, 256) / most)
    return {"norm": Normalize(-most, high), "cmap": ListedColormap(shades)}


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
    """Say where each law is closer to Adam than the leading-order flow."""
    table = tables.frame("atlas.parquet")
    atlas = tables.json("bilinear.json")["settings"]["atlas"]
    said = ", ".join(f"the {FLOW_NAMES[law]} {_gain(table[f'{law}_ratio'])}" for law in LAWS)
    return (
        f"Largest distance of the leading-order flow from Adam over a path of length "
        f"{atlas['horizon']:g} on the bilinear model at h = {atlas['h']:g}, "
        f"ε = {atlas['epsilon']:g}, and those of the laws over it, on one scale. Closer than the "
        f"leading-order flow, by a factor in the median: {said}. Dotted: β₁ = β₂. Along it the "
        "first-order correction nearly vanishes, as ε is small there, equation (2.4), and "
        "modified and leading-order flow are equally good. Thin lines are where an error changes "
        "sign."
    )


def _gain(ratios: pd.Series) -> str:
    """Say on how much of the map a law is closer, and by which factor in the median."""
    known = ratios[np.isfinite(ratios)]
    return f"on {(known < 1).mean():.0%} of the map, by {float(f'{1 / known.median():.2g}'):,g}"


def alt(tables: Tables) -> str:
    """Describe the maps."""
    table = tables.frame("atlas.parquet")
    shares = ", ".join(
        f"{(table[f'{law}_ratio'] < 1).mean():.0%} for the {FLOW_NAMES[law]}" for law in LAWS
    )
    return (
        "Four heat maps over beta1 and beta2: the error of the leading-order flow, which grows as "
        "either decay nears one, and the ratios of the errors of three laws to it. The share of "
        f"the map where the ratio is below one: {shares}."
    )


def settings(tables: Tables) -> dict[str, str]:
    """Return the grid and the run's settings."""
    atlas = tables.json("bilinear.json")["settings"]["atlas"]
    return {key: f"{value:g}" for key, value in atlas.items()}
