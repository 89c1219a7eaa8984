"""Figure 4: norms and test accuracy against beta2."""

from __future__ import annotations

from matplotlib.figure import Figure

from adambias.figures import decay, words
from adambias.figures.tables import Tables

TITLE = "Norm and accuracy against beta2"


def draw(tables: Tables) -> Figure:
    """Draw the figure."""
    return decay.draw(tables, "beta2")


def caption(tables: Tables) -> str:
    """Return the caption."""
    return decay.caption(tables, "beta2")


def alt(tables: Tables) -> str:
    """Return the picture in words."""
    return decay.alt(tables, "beta2")


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings behind the figure."""
    return words.setting(tables, "beta2", ("beta2",))
