"""What the stage ``figures`` goes by: which figures there are, and how they are written.

Only names stand here, so that every package can read which figure a grid is for; the modules are
loaded by :mod:`adambias.figures.registry`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from adambias.core.errors import ABSENT, ConfigError
from adambias.core.validation import NotEmpty, Validated, is_name

QUANTITIES = {
    "progress": "progress_log10_excess",
    "peak": "peak_log10_excess",
    "hill": "hill_log10_excess",
    "accuracy": "late_test_accuracy",
}
"""What ``means.parquet`` has the means of, and the column of ``trials.parquet`` that it is in."""


@dataclass(frozen=True, kw_only=True)
class FigureSpec(Validated):
    """A figure: what draws it, and from what.

    Parameters
    ----------
    module : str
        The module that draws it, see :mod:`adambias.figures.registry`.
    tables : tuple of str
        Files of the results folder that it cannot do without.
    grids : tuple of str
        Grids that it is for; without trials of any of them it is left out.
    always : bool
        Write it even if tables or trials are missing; the picture then says so.
    others : bool
        It is for the grids that no other figure is for; without any it is not tried.
    """

    module: str
    tables: tuple[str, ...] = ()
    grids: tuple[str, ...] = ()
    always: bool = False
    others: bool = False


ANALYSED = (
    *("histories.parquet", "trials.parquet", "curves.parquet", "metrics.json", "claims.json"),
    *("points.parquet", "means.parquet", "hill_curves.parquet", "hill_means.parquet"),
    *("level_means.parquet", "correlations.parquet"),
)
"""Tables of the stage ``analyse``; ``docs/figures.md`` says what is in each."""
_LAW = ("bilinear.json", "bilinear.parquet")
_MEANS = ("trials.parquet", "claims.json", "points.parquet", "means.parquet")
_CURVES = ("trials.parquet", "curves.parquet", "claims.json")
_HILLS = (*_MEANS, "hill_curves.parquet", "hill_means.parquet", "level_means.parquet")


def _built_in(
    name: str, *tables: str, grids: tuple[str, ...] = (), always: bool = False
) -> FigureSpec:
    return FigureSpec(module=f"adambias.figures.{name}", tables=tables, grids=grids, always=always)


FIGURES: dict[str, FigureSpec] = {
    "fig1": _built_in("fig1", *_LAW, always=True),
    "fig2": _built_in("fig2", *_LAW, always=True),
    "fig3": _built_in("fig3", *_LAW, always=True),
    "fig4": _built_in("fig4", *_MEANS, grids=("beta2",), always=True),
    "fig5": _built_in("fig5", *_MEANS, grids=("beta1",), always=True),
    "fig6": _built_in("fig6", *_HILLS, grids=("hills_beta2", "hills_beta1"), always=True),
    "h": _built_in("h", *_MEANS, grids=("h",)),
    "regime_map": _built_in("regime_map", "trials.parquet", grids=("regimes",)),
    "loss_curves": _built_in("loss_curves", "trials.parquet", "curves.parquet"),
    "norm_accuracy": _built_in("norm_accuracy", *_MEANS, "correlations.parquet"),
    "network_correction": _built_in("network_correction", "network_correction.parquet"),
    "order": _built_in("order", *_LAW),
    "atlas": _built_in("atlas", *_LAW),
    "paths": _built_in("paths", *_LAW),
    "netflow": _built_in("netflow", "netflow.json"),
    "reach": _built_in("reach", "reach.json"),
    "cause": _built_in("cause", "cause.json", "claims.json"),
    "hill": _built_in("hill", *_CURVES, grids=("edge",)),
    "edge": _built_in("edge", *_CURVES, grids=("edge",)),
    "own_grids": FigureSpec(
        module="adambias.figures.own_grids", tables=("trials.parquet",), others=True
    ),
}
"""Every built-in figure by its name, in the order of the report."""

FIGURE_OF_GRID = {grid: name for name, figure in FIGURES.items() for grid in figure.grids}
"""The figure that each grid is for."""


@dataclass(frozen=True, kw_only=True)
class Figures(Validated):
    """Settings of the stage ``figures``.

    Parameters
    ----------
    formats : tuple of {"png", "svg", "pdf"}
        Files of each figure; PDF is sized for a two-column paper, the others for a screen.
    narrow : bool
        Also draw each figure for a telephone, with its panels below each other.
    own : dict of FigureSpec
        Figures of one's own by their names, drawn after the built-in ones.
    """

    formats: Annotated[tuple[Literal["png", "svg", "pdf"], ...], NotEmpty] = ("png", "svg", "pdf")
    narrow: bool = True
    own: dict[str, FigureSpec] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.own:
            if name in FIGURES:
                allowed = "is a built-in figure, give yours a name of its own"
                raise ConfigError(f"own.{name}", ABSENT, allowed)
            if not is_name(name):
                raise ConfigError(f"own.{name}", ABSENT, "the name must be letters, digits and _")

    @property
    def all_figures(self) -> dict[str, FigureSpec]:
        """The built-in figures, then one's own."""
        return FIGURES | self.own

    @property
    def of_trainings(self) -> dict[str, FigureSpec]:
        """The figures that are drawn from tables of trainings alone."""
        return {
            name: spec for name, spec in self.all_figures.items() if set(spec.tables) <= {*ANALYSED}
        }
