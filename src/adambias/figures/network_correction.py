"""Where the law predicts what memory does to a network's steps: networks, h, epsilon, beta2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.patches import Rectangle

from adambias.figures import style, words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from adambias.figures.tables import Tables

TITLE = "The memory correction on a network"
TABLE = "network_correction.parquet"
AGREES = 0.9
"""Cosine from which the caption counts the direction as predicted."""


def draw(tables: Tables) -> Figure:
    """Draw a map over h and epsilon for each network and beta2."""
    cells = _cells(tables.frame(TABLE))
    networks, decays = cells["network"].unique(), sorted(cells["beta2"].unique())
    places = [(beta2, network) for beta2 in decays for network in networks]
    aspect = 0.55 if style.is_narrow() else 0.95
    figure, axes = style.panels(len(places), columns=len(networks), aspect=aspect)
    for ax, (beta2, network) in zip(axes, places, strict=True):
        _draw_map(ax, cells[(cells["network"] == network) & (cells["beta2"] == beta2)])
        ax.set_title(f"{network}\nβ₂ = {beta2:g}")
    return figure


def _cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return the medians over seeds and epochs, by network in words, beta2, epsilon and h."""
    networks = list(map(words.network, table["activation"], table["norm"]))
    groups = table.assign(network=networks).groupby(
        ["network", "beta2", "epsilon", "h"], sort=False, as_index=False
    )
    return groups[["cosine", "length_ratio"]].median()


def _draw_map(ax: Axes, cells: pd.DataFrame) -> None:
    """Colour each cell by its cosine; write the cosine and the ratio of lengths into it."""
    steps, epsilons = (sorted(cells[name].unique()) for name in ("h", "epsilon"))
    colours = mpl.colormaps["RdBu"]
    for cell in cells.to_dict("records"):
        x, y = steps.index(cell["h"]), epsilons.index(cell["epsilon"])
        cosine, ratio = cell["cosine"], cell["length_ratio"]
        colour = colours((cosine + 1) / 2)
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor="white"))
        length = f"{ratio:.2f}" if ratio < 9.95 else f"{ratio:.0f}"
        ink, size = "white" if abs(cosine) > 0.6 else style.INK, 0.85 * style.measures().text
        ax.text(
            x, y, f"{cosine:.2f}\n×{length}", ha="center", va="center", color=ink, fontsize=size
        )
    ax.set(xlim=(-0.5, len(steps) - 0.5), ylim=(-0.5, len(epsilons) - 0.5))
    ax.set_xticks(range(len(steps)), [_short(h) for h in steps])
    ax.set_yticks(range(len(epsilons)), [_short(epsilon) for epsilon in epsilons])
    ax.set(xlabel="h", ylabel="ε")
    ax.grid(False)


def _short(value: float) -> str:
    return np.format_float_scientific(value, trim="-", exp_digits=1)


def _shares(cells: pd.DataFrame) -> str:
    """Say for each network in how many cells the direction is predicted."""
    return "; ".join(
        f"{network} {(group['cosine'] >= AGREES).sum()} of {len(group)}"
        for network, group in cells.groupby("network", sort=False)
    )


def caption(tables: Tables) -> str:
    """Say what is compared, over what, and where the law's direction is the optimizer's."""
    table = tables.frame(TABLE)
    cells = _cells(table)
    best = cells.sort_values("cosine").to_dict("records")[-1]
    epochs = ", ".join(map(str, sorted(table["epoch"].unique())))
    return (
        "The memory correction that the law predicts, h² Σ λ ∂Φ[φ′(g)·(∇²E f₀)], against the one "
        "the optimizer made, its step less the step that forgets the past. Colour and upper "
        "number: their cosine; lower number: the predicted length over the actual one. Medians "
        f"over epochs {epochs} and {_seeds(table)}, {table['model'].iloc[0]}, "
        f"β₁ = {table['beta1'].iloc[0]:g}. Best: cosine {best['cosine']:.4f}, lengths that agree "
        f"to {abs(best['length_ratio'] - 1):.1%} ({best['network']}, "
        f"β₂ = {best['beta2']:g}, ε = {_short(best['epsilon'])}, h = {_short(best['h'])}). "
        f"Cosine at least {AGREES:g}: {_shares(cells)}."
    )


def _seeds(table: pd.DataFrame) -> str:
    count = table["seed"].nunique()
    return f"{count} seed{'s' * (count > 1)}"


def alt(tables: Tables) -> str:
    """Say in words what the maps show."""
    ranges = [
        f"{network}: cosines from {group['cosine'].min():.2f} to {group['cosine'].max():.2f}"
        for network, group in _cells(tables.frame(TABLE)).groupby("network", sort=False)
    ]
    return f"Maps over step size and epsilon, one per network and beta 2. {'; '.join(ranges)}."


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings behind the figure."""
    table = tables.frame(TABLE)
    names = ("model", "precision", "rule", "beta1", "beta2", "epsilon", "h", "seed", "epoch")
    return {name: ", ".join(f"{v}" for v in sorted(table[name].unique())) for name in names}
