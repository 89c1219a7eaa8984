"""The series that ``dvc plots`` draws, as CSV files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from adambias.analysis import curves as curve_tables
from adambias.analysis.claims.trainings import (
    PAPER_RULE,
    oscillating,
    with_series,
)
from adambias.analysis.series import effect_table, step_size_table
from adambias.config import Analyse
from adambias.core.files import write_text


def write_plots(
    trials: pd.DataFrame, thinned: pd.DataFrame, folder: Path, settings: Analyse
) -> None:
    """Write the series that ``dvc plots`` shows and compares between experiments.

    ``norm_beta2.csv`` and ``norm_beta1.csv`` hold means against the decay, ``norm_h.csv`` against
    the step size for each pair of decays, ``hills_beta2.csv`` and ``hills_beta1.csv`` the
    log-norm against the epoch. ``curve`` names the line that a row belongs to.
    """
    level = settings.interval.level
    for axis in ("beta2", "beta1"):
        _, means = effect_table(trials, axis, axis, level)
        _write_csv(means, folder / f"norm_{axis}.csv")
        points = with_series(oscillating(trials, f"hills_{axis}"), axis)
        chosen = thinned[thinned["grid"] == f"hills_{axis}"]
        hills = curve_tables.mean_curves(chosen, points, axis, level)
        _write_csv(hills, folder / f"hills_{axis}.csv", axis)
    _, means = step_size_table(trials, level)
    _write_csv(means, folder / "norm_h.csv")


def _write_csv(table: pd.DataFrame, path: Path, axis: str | None = None) -> None:
    """Write a table whose column ``curve`` names the line that a row belongs to."""
    values = [f"{axis} {value:g}" for value in table[axis]] if axis else [""] * len(table)
    names = zip(values, table["series"], strict=True)
    named = table.assign(curve=[_curve(value, series) for value, series in names])
    write_text(named.to_csv(index=False, float_format="%.8g"), path)


def _curve(value: str, series: str) -> str:
    """Name a line, the same whether or not other rules are beside the paper's."""
    words = [value, *series.split(", ")]
    return ", ".join(word for word in words if word not in ("", f"rule {PAPER_RULE}")) or PAPER_RULE
