"""Norm and accuracy against the step size at equal time, on both sides of beta1 = beta2."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from adambias.config.claims import PAPER_RULE, claims_of
from adambias.figures import effect, style
from adambias.figures.tables import Tables

TITLE = "Norm and accuracy against the step size"
CLAIMS = claims_of("h")
"""One for each side of beta1 = beta2."""
FAMILIES = (("blue", "green", "grey"), ("vermillion", "orange", "pink"))


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
        style.fixed_ticks(ax.xaxis, values, [f"{value:g}" for value in values])
        ax.set_xlabel("step size h, at equal time n·h")
        effect.say_if_one(ax, means, "h")
    if "excess" in shown:
        effect.draw_floor(axes[0], points)
    effect.legend(figure, axes[0], means, _beside_claim(tables, points))
    return figure


def _beside_claim(tables: Tables, points: pd.DataFrame) -> dict[str, str]:
    """Return what the theory and this scale say to the norm, by the label of a series of Adam."""
    adam = points[points["rule"] == PAPER_RULE]
    return {
        effect.symbols(series): effect.beside_claim(tables, key)
        for key, claim in CLAIMS.items()
        for series in claim.select(adam)["series"].unique()
    }


def _colours(points: pd.DataFrame) -> dict[str, style.Colour]:
    """Give blue and green to the series of the first claim, red and orange to the others."""
    colours: dict[str, style.Colour] = {}
    for claim, family in zip(CLAIMS.values(), FAMILIES, strict=True):
        names = sorted(claim.select(points)["series"].unique())
        colours |= {name: style.COLOURS[family[i % len(family)]] for i, name in enumerate(names)}
    return colours


def caption(tables: Tables) -> str:
    """Say what is shown, what the theory says, and what was left out."""
    points, means = effect.load(tables, "h", "h")
    verdicts = effect.listed(effect.verdicts(tables, "h"))
    return (
        "Highest perturbed one-norm and best test accuracy against h, every training run to the "
        f"same time n·h; {effect.describe(tables, 'h')}. By equation 2.5 a larger h lowers the "
        "norm where β₁ ≥ β₂ (blue) and raises it where β₁ < β₂ (red), as long as the trajectory "
        f"stays near the flow. Norm, {verdicts}. Thin: single seeds, {effect.count_seeds(means)}; "
        f"thick: their mean with its {effect.interval(means)} t interval, cut at the frame. "
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
