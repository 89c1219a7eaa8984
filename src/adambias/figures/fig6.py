"""Figure 6: the log of the norm against the epoch, over beta2 (left) and beta1 (right)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adambias.claims import oscillating, with_series
from adambias.figures import Missing, Tables, effect, style

TITLE = "Figure 6: hills of the norm over training"
GRIDS = {"hills_beta2": "beta2", "hills_beta1": "beta1"}
LABELS = {
    "norm": "log₁₀ of the perturbed one-norm",
    "excess": "log₁₀ of its excess over p√ε",
}
LINES = ("-", "--", ":", "-.")


def draw(tables: Tables) -> Figure:
    """Draw one panel for each grid; a grid without data says so in its panel."""
    loaded = {grid: _load(tables, grid) for grid in GRIDS}
    if all(curves.empty for curves in loaded.values()):
        raise Missing("no oscillation trials of the grids hills_beta2 and hills_beta1")
    quantities = _quantities(loaded, tables.settings.floor_share)
    places = [(quantity, grid) for quantity in quantities for grid in GRIDS]
    figure, axes = style.panels(len(places), columns=2, aspect=0.78)
    for ax, (quantity, grid) in zip(axes, places, strict=True):
        if loaded[grid].empty:
            style.say(ax, f"No oscillation trials\nof the grid {grid}")
            continue
        _draw_panel(ax, loaded[grid], GRIDS[grid], quantity)
        ax.set_title(effect.describe(tables, grid).split(",")[0])
    return figure


def _quantities(loaded: Mapping[str, pd.DataFrame], floor_share: float) -> tuple[str, ...]:
    """Add the excess over p√ε where that floor dominates the norm for most of the training."""
    shown = [each for each in loaded.values() if not each.empty]
    if not shown:
        return ("norm",)
    curves = pd.concat(shown)
    share = (curves["norm_floor"] / curves["perturbed_one_norm"]).median()
    return ("norm", "excess") if share >= floor_share else ("norm",)


def _load(tables: Tables, grid: str) -> pd.DataFrame:
    axis = GRIDS[grid]
    trials = tables.frame("trials.parquet")
    points = with_series(oscillating(trials, grid), axis)
    curves = tables.frame("curves.parquet", ["trial", "grid", "epoch", "perturbed_one_norm"])
    joined = curves[curves["grid"] == grid].merge(
        points[["trial", "seed", "series", "norm_floor", axis]], on="trial"
    )
    norm = joined["perturbed_one_norm"].where(joined["perturbed_one_norm"] > 0)
    excess = (norm - joined["norm_floor"]).where(norm > joined["norm_floor"])
    return joined.assign(norm=np.log10(norm), excess=np.log10(excess))


def _draw_panel(ax: Axes, curves: pd.DataFrame, axis: str, quantity: str) -> None:
    values = sorted(curves[axis].unique())
    colours = dict(zip(values, style.sequence(len(values)), strict=True))
    for number, (_, of_series) in enumerate(curves.groupby("series", sort=True)):
        for value, group in of_series.groupby(axis, sort=True):
            for _, seed in group.groupby("seed"):
                if group["seed"].nunique() > 1:
                    ax.plot(
                        seed["epoch"],
                        seed[quantity],
                        color=colours[value],
                        alpha=0.25,
                        linewidth=0.6,
                        gid="seed",
                    )
            mean = group.groupby("epoch")[quantity].mean()
            ax.plot(
                mean.index,
                mean,
                color=colours[value],
                linestyle=LINES[number % len(LINES)],
                label=f"{value:g}" if number == 0 else None,
                gid="mean",
            )
    _focus(ax, curves, quantity)
    ax.set(xlabel="epoch", ylabel=LABELS[quantity])
    ax.legend(title=effect.SYMBOLS[axis], loc="best")
    style.note(ax, effect.count_seeds(curves), at=(0.02, 0.03))


def _focus(ax: Axes, curves: pd.DataFrame, quantity: str) -> None:
    """Fit the y axis to what follows the steep start, so that the hills can be seen."""
    after = curves[curves["epoch"] >= 0.05 * curves["epoch"].max()][quantity].dropna()
    if after.empty:
        return
    spread = float(after.max() - after.min()) or 0.1
    ax.set_ylim(after.min() - 0.08 * spread, after.max() + 0.15 * spread)


def caption(tables: Tables) -> str:
    """Say what is shown and what was left out."""
    out = "; ".join(
        f"over {effect.SYMBOLS[axis]}, {effect.left_out(tables, grid)}"
        for grid, axis in GRIDS.items()
        if not _load(tables, grid).empty
    )
    claims = tables.json("metrics.json")["claims"]
    words = {
        "hills higher with larger β₂": "fig6_hills_beta2",
        "higher with smaller β₁": "fig6_hills_beta1",
        "a smaller norm with larger β₁ for most of the training": "fig6_most_of_training",
    }
    verdicts = "; ".join(
        f"{word}: {claims[key]['verdict']}" for word, key in words.items() if key in claims
    )
    loaded = {grid: _load(tables, grid) for grid in GRIDS}
    below = ""
    if "excess" in _quantities(loaded, tables.settings.floor_share):
        below = "; below, of its excess over the floor p√ε, which dominates it"
    return (
        f"Log of the perturbed one-norm against the epoch, over β₂ (left) and β₁ (right){below}. "
        "In the paper it falls, rises to a hill, and falls until it flattens; here "
        f"{_count_hills(tables)}. Thick: mean over seeds; thin: single seeds. The steep start is "
        f"cut off. Oscillation regime only: {out}. The paper's claims: {verdicts}."
    )


def _count_hills(tables: Tables) -> str:
    trials = tables.frame("trials.parquet")
    shown = pd.concat([oscillating(trials, grid) for grid in GRIDS]).drop_duplicates("trial")
    edge = int(shown["peak_at_edge"].sum())
    return f"{len(shown) - edge} of {len(shown)} trials have a hill after the initial part"


def alt(tables: Tables) -> str:
    """Say in words where the hills are highest."""
    words = []
    for grid, axis in GRIDS.items():
        trials = with_series(oscillating(tables.frame("trials.parquet"), grid), axis)
        if trials.empty:
            words.append(f"The panel over {axis} is empty")
            continue
        means = trials.groupby(axis)["peak_perturbed_one_norm"].mean()
        tops = ", ".join(f"{top:.4g} at {axis} {value:g}" for value, top in means.items())
        words.append(f"Mean tops of the hills over {axis}: {tops}")
    return f"Curves of the norm against the epoch. {'. '.join(words)}."


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings behind both panels."""
    merged: dict[str, str] = {}
    for grid, axis in GRIDS.items():
        for name, value in effect.setting(tables, grid, (axis,)).items():
            both = merged.get(name, value)
            merged[name] = value if both == value else f"{both} | {value}"
    return merged
