"""Norms and accuracy against the step size, on both sides of beta1 = beta2."""

from __future__ import annotations

from matplotlib.figure import Figure

from adambias.config.claims import claims_of
from adambias.figures import effect, style, verdicts, words
from adambias.figures.tables import Tables

TITLE = "Norms and accuracy against the step size"
CLAIMS = claims_of("h")
"""One for each side of beta1 = beta2."""


def draw(tables: Tables) -> Figure:
    """Draw the norm at equal progress, which decides, the highest norm, and the accuracy."""
    points, means = effect.load(tables, "h", "h")
    values = sorted(points["h"].unique())
    figure, axes = style.panels(len(effect.LABELS), aspect=effect.aspect())
    for ax, quantity in zip(axes, effect.LABELS, strict=True):
        effect.draw_quantity(ax, points, means, "h", quantity)
        ax.set(xscale="log", xlim=(values[0] / 1.1, values[-1] * 1.1))
        style.fixed_ticks(ax.xaxis, values, [f"{value:g}" for value in values])
        style.slant_crowded(ax)
        ax.set_xlabel("step size h")
        effect.say_if_one(ax, means, "h")
        effect.title(ax, _beside_claims(tables, quantity), size=0.77)
    effect.legend(figure, axes, points, means, verdicts.whose(tables, ["h"]))
    return figure


def _beside_claims(tables: Tables, quantity: str) -> str:
    """Return what the theory and this scale say to a quantity, a line for each side."""
    said = {claim.label: verdicts.readings(tables, key) for key, claim in CLAIMS.items()}
    return "\n".join(f"{side} {of[quantity]}" for side, of in said.items() if quantity in of)


def caption(tables: Tables) -> str:
    """Say what is shown, what the theory says, and what was left out."""
    points, means = effect.load(tables, "h", "h")
    return (
        "Norms and accuracy against the step size h, every training run to the same time n·h; "
        f"{words.describe(tables, 'h')}. {words.panels(tables, 'h')} "
        "By equation 2.5 a larger h lowers the norm where β₁ ≥ β₂ (blue, circles) and "
        "raises it where β₁ < β₂ (red, squares), as long as the trajectory stays near the flow. "
        f"{words.within_seeds(points, means, 'h')} "
        f"Oscillation regime only, {words.left_out(tables, 'h')}. {words.peaks(points)} "
        f"Verdicts: {verdicts.of_figure(tables, 'h')}."
    )


def alt(tables: Tables) -> str:
    """Say in words how the means run."""
    _, means = effect.load(tables, "h", "h")
    return f"Line plots against the step size h. {words.runs(means, 'h')}."


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings behind the figure."""
    return words.setting(tables, "h", ("h",))
