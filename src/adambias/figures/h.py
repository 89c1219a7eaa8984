"""Norm and accuracy against the step size at equal time, on both sides of beta1 = beta2."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from adambias.analysis.claims.trainings import PAPER_RULE, step_size_sides
from adambias.figures import effect, style
from adambias.figures.registry import Tables

TITLE = "Norm and accuracy against the step size"


def draw(tables: Tables) -> Figure:
    """Draw a panel for the norm, its excess where the floor dominates, and the accuracy."""
    points, means = effect.load(tables, "h", "h")
    shown = effect.quantities(points, tables.settings.floor_share)
    colours = _colours(points)
    figure, axes = style.panels(len(shown), aspect=0.95 if len(shown) > 2 else 0.72)
    values = sorted(points["h"].unique())
    for ax, quantity in zip(axes, shown, strict=True):
        effect.draw_quantity(ax, points, means, "h", quantity, colours)
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(FixedLocator(values))
        ax.xaxis.set_major_formatter(FixedFormatter([f"{value:g}" for value in values]))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel("step size h, at equal time n·h")
        effect.say_if_one(ax, means, "h")
    if "excess" in shown:
        effect.draw_floor(axes[0], points)
    effect.legend(figure, axes[0], means, _beside_claim(tables, points))
    return figure


CLAIMS = {"beta1 ≥ beta2": "h_penalised", "beta1 < beta2": "h_hindered"}


def _beside_claim(tables: Tables, points: pd.DataFrame) -> dict[str, str]:
    """Return what the theory and this scale say to the norm, by the label of a series of Adam."""
    sides = step_size_sides(points[points["rule"] == PAPER_RULE])
    sides = sides.drop_duplicates("series")
    return {
        effect.symbols(series): effect.beside_claim(tables, CLAIMS[side])
        for series, side in zip(sides["series"], sides["side"], strict=True)
    }


def _colours(points: pd.DataFrame) -> dict[str, style.Colour]:
    """Give blue and green to series with beta1 ≥ beta2, red and orange to the others."""
    sides = step_size_sides(points)
    families = {
        "beta1 ≥ beta2": ("blue", "green", "grey"),
        "beta1 < beta2": ("vermillion", "orange", "pink"),
    }
    colours: dict[str, style.Colour] = {}
    for side, family in families.items():
        names = sorted(sides.loc[sides["side"] == side, "series"].unique())
        colours |= {name: style.COLOURS[family[i % len(family)]] for i, name in enumerate(names)}
    return colours


def caption(tables: Tables) -> str:
    """Say what is shown, what the theory says, and what was left out."""
    points, means = effect.load(tables, "h", "h")
    verdicts = "; ".join(
        f"{side.replace('beta1', 'β₁').replace('beta2', 'β₂')}, {effect.beside_claim(tables, key)}"
        for side, key in CLAIMS.items()
    )
    return (
        "Highest perturbed one-norm and best test accuracy against h, every training run to the "
        f"same time n·h; {effect.describe(tables, 'h')}. By equation 2.5 a larger h lowers the "
        "norm where β₁ ≥ β₂ (blue) and raises it where β₁ < β₂ (red), as long as the trajectory "
        f"stays near the flow. Norm, {verdicts}. Thin: single seeds, {effect.count_seeds(means)}; "
        "thick: their mean with its 95 % t interval, cut at the frame. "
        f"Oscillation regime only, {effect.left_out(tables, 'h')}. {effect.peaks(points)}"
    )


def alt(tables: Tables) -> str:
    """Say in words how the means run."""
    _, means = effect.load(tables, "h", "h")
    runs = []
    for series, mean in means.groupby("series", sort=False):
        first, last = mean.iloc[0], mean.iloc[-1]
        runs.append(
            f"with {series}, from h {first['h']:g} to {last['h']:g} the mean "
            f"highest norm goes from {first['norm']:.4g} to {last['norm']:.4g}"
        )
    return f"Line plots against the step size: {'; '.join(runs)}."


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings behind the figure."""
    return effect.setting(tables, "h", ("h",))
