"""The series that ``dvc plots`` draws, as CSV files with eight digits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from adambias.config.claims import PAPER_RULE
from adambias.core.files import write_text

_NOT_PLOTTED = ("hill", "within")


def write_plots(drawn: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Write the series that ``dvc plots`` shows and compares between experiments.

    ``norm_beta2.csv`` and ``norm_beta1.csv`` hold means against the decay, ``norm_h.csv`` against
    the step size for each pair of decays, ``hills_beta2.csv`` and ``hills_beta1.csv`` the
    log-norm against the epoch. ``curve`` names the line that a row belongs to.

    Parameters
    ----------
    drawn : mapping of DataFrame
        The tables of :mod:`adambias.analysis.drawn`.
    folder : Path
        Where the files go.
    """
    for axis in ("beta2", "beta1", "h"):
        means = _of(drawn["means.parquet"], axis, axis)
        left_out = [name for name in map(str, means) if any(w in name for w in _NOT_PLOTTED)]
        _write_csv(means.drop(columns=left_out), folder / f"norm_{axis}.csv")
    for axis in ("beta2", "beta1"):
        means = _of(drawn["hill_means.parquet"], f"hills_{axis}", axis)
        _write_csv(means, folder / f"hills_{axis}.csv", axis)


def _of(means: pd.DataFrame, grid: str, axis: str) -> pd.DataFrame:
    chosen = means[(means["grid"] == grid) & (means["axis"] == axis)]
    return chosen.drop(columns=["grid", "axis", "level"]).rename(columns={"value": axis})


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
