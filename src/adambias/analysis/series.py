"""Means over seeds along a hyperparameter: the tables behind figures 4, 5 and h."""

from __future__ import annotations

import pandas as pd

from adambias.analysis.claims.trainings import (
    oscillating,
    with_series,
)
from adambias.analysis.trends import band


def effect_table(
    trials: pd.DataFrame, grid: str, axis: str, level: float = 0.95
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what figures 4 and 5 show: a grid's trials, and their means over seeds.

    Parameters
    ----------
    trials : DataFrame
        The table of trials with regimes and summaries.
    grid, axis : str
        The grid, and the hyperparameter along the axis.
    level : float
        Coverage of the bands.

    Returns
    -------
    points : DataFrame
        Oscillation trials with their ``series``.
    means : DataFrame
        By ``series`` and ``axis``: n, and the mean of the norm, excess and accuracy with the
        bounds of Student's t interval, ``<name>_low`` and ``<name>_high``; NaN with one seed.
    """
    points = with_series(oscillating(trials, grid), axis)
    return points, average(points, axis, level)


def step_size_table(trials: pd.DataFrame, level: float = 0.95) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the same for the grid ``h``, with both decays in the name of every series."""
    points = with_series(oscillating(trials, "h"), "h")
    others = points["series"].str.replace(r"(, )?beta[12] [^,]+", "", regex=True).str.lstrip(", ")
    decays = zip(points["beta1"], points["beta2"], others, strict=True)
    labels = [f"beta1 {beta1:g}, beta2 {beta2:g}, {other}" for beta1, beta2, other in decays]
    points = points.assign(series=[label.removesuffix(", ") for label in labels])
    return points, average(points, "h", level)


QUANTITIES = {
    "norm": "peak_perturbed_one_norm",
    "excess": "excess",
    "accuracy": "best_test_accuracy",
}


def average(points: pd.DataFrame, axis: str, level: float = 0.95) -> pd.DataFrame:
    """Average the quantities of figures 4 and 5 over seeds; see :func:`effect_table`."""
    groups = points.groupby(["series", axis], sort=True)
    means = [band(groups[column], name, level) for name, column in QUANTITIES.items()]
    return pd.concat([groups.size().rename("n"), *means], axis=1).reset_index()
