"""Norm and accuracy against the step size at equal time, on both sides of beta1 = beta2."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from adambias.analysis import average
from adambias.claims import step_size_sides
from adambias.figures import Tables, effect, style

TITLE = "Norm and accuracy against the step size"


def draw(tables: Tables) -> Figure:
    """Draw a panel for the norm, its excess where the floor dominates, and the accuracy."""
    points, means = _load(tables)
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
    handles, labels = axes[0].get_legend_handles_labels()
    columns = 1 if style.is_narrow() else min(len(labels), 3)
    figure.legend(handles, labels, loc="outside upper center", ncols=columns)
    style.note(axes[-1], effect.count_seeds(points), at=(0.02, 0.03))
    return figure


def _load(tables: Tables) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return points and means, with both decays in every series' label."""
    points, _ = effect.load(tables, "h", "h")
    others = points["series"].str.replace(r"(, )?beta[12] [^,]+", "", regex=True).str.lstrip(", ")
    decays = zip(points["beta1"], points["beta2"], others, strict=True)
    labels = [f"beta1 {beta1:g}, beta2 {beta2:g}, {other}" for beta1, beta2, other in decays]
    points = points.assign(series=[label.removesuffix(", ") for label in labels])
    return points, average(points, "h")


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
    points, _ = _load(tables)
    claims = tables.json("metrics.json")["claims"]
    verdicts = "; ".join(
        f"{words}: {claims[key]['verdict']}"
        for words, key in (("β₁ ≥ β₂, falling", "h_penalised"), ("β₁ < β₂, rising", "h_hindered"))
        if key in claims
    )
    return (
        "Highest perturbed one-norm and best test accuracy against h, every training run to the "
        f"same time n·h; {effect.describe(tables, 'h')}. By equation 2.5 a larger h lowers the "
        "norm where β₁ ≥ β₂ (blue) and raises it where β₁ < β₂ (red), as long as the trajectory "
        f"stays near the flow. {verdicts}. Thin: single seeds, {effect.count_seeds(points)}; "
        "thick: their mean with its 95 % t interval, cut at the frame. "
        f"Oscillation regime only, {effect.left_out(tables, 'h')}. {effect.falling(points)}"
    )


def alt(tables: Tables) -> str:
    """Say in words how the means run."""
    _, means = _load(tables)
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
