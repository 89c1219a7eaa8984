"""What the figures draw, as tables: points, means over seeds, and curves with their bands.

A figure reads numbers and draws them; which trials belong to a series, their means and bounds are
computed here, once, and can be read by anyone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from adambias.analysis.curves import log_curves, mean_curves
from adambias.analysis.hills import tops_the_hill
from adambias.analysis.series import effect_table, oscillating, with_series
from adambias.analysis.trends import rank_correlation
from adambias.config import ClaimSpec

Pair = tuple[str, str]
"""A grid, and the hyperparameter along the axis."""
_FEWEST = 3
"""Trials from which a rank correlation is given."""


def tables(
    trials: pd.DataFrame, curves: pd.DataFrame, claims: Mapping[str, ClaimSpec], level: float
) -> dict[str, pd.DataFrame]:
    """Return the tables for figures by the name of their file.

    They are about every grid and axis that a claim is about.

    Parameters
    ----------
    trials : DataFrame
        The table of trials with regimes and summaries.
    curves : DataFrame
        Thinned histories, see :mod:`adambias.analysis.curves`.
    claims : mapping of ClaimSpec
        The claims that are judged.
    level : float
        Coverage of the bands.

    Returns
    -------
    dict of DataFrame
        ``points.parquet`` has a row for each oscillation trial of a grid: its ``series``, and
        whether its highest norm is the top of its hill (``peak_is_top``).
        ``means.parquet`` has n and the mean of the norm, excess, accuracy and hill over the seeds
        of each ``series`` at each ``value`` of the axis, with ``<name>_low`` and ``<name>_high``.
        ``hill_curves.parquet`` has each trial's ``log10_norm`` and ``log10_excess`` by epoch, and
        the share of p√ε in the norm; ``hill_means.parquet`` their means and bounds.
        ``correlations.parquet`` has the rank correlation of excess and accuracy for each network,
        dataset and rule.
    """
    pairs = list(dict.fromkeys(_pairs(claims.values())))
    hills = list(dict.fromkeys(_pairs(c for c in claims.values() if c.about.over_epochs)))
    effects = {pair: effect_table(trials, *pair, level) for pair in pairs}
    logs = {pair: _logs(trials, curves, *pair) for pair in hills}
    return {
        "points.parquet": _stack(
            [_points(points, axis) for (_, axis), (points, _) in effects.items()], _POINTS
        ),
        "means.parquet": _stack(
            [_placed(means, *pair, level) for pair, (_, means) in effects.items()], _MEANS
        ),
        "hill_curves.parquet": _stack([_curves(logs[pair], *pair) for pair in hills], _CURVES),
        "hill_means.parquet": _stack(
            [_placed(mean_curves(logs[g, a], a, level), g, a, level) for g, a in hills],
            _MEAN_CURVES,
        ),
        "correlations.parquet": _correlations(trials),
    }


def _bounded(*names: str) -> list[str]:
    return [name + end for name in names for end in ("", "_low", "_high")]


_POINTS = ["grid", "axis", "trial", "series", "peak_is_top"]
_PLACE = ["grid", "axis", "series", "value"]
_MEANS = [*_PLACE, "n", *_bounded("norm", "excess", "accuracy", "hill"), "level"]
_CURVES = [*_PLACE, "trial", "seed", "epoch", "log10_norm", "log10_excess", "floor_share"]
_MEAN_CURVES = [*_PLACE, "epoch", "n", *_bounded("log10_norm", "log10_excess"), "level"]
_CORRELATIONS = ["model", "dataset", "rule", "n", "rank_correlation"]


def _pairs(claims: Iterable[ClaimSpec]) -> Iterable[Pair]:
    return ((grid, claim.axis) for claim in claims if claim.axis for grid in claim.grids)


def _stack(pieces: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    filled = [piece[columns] for piece in pieces if len(piece)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=columns)


def _points(points: pd.DataFrame, axis: str) -> pd.DataFrame:
    return points.assign(axis=axis, peak_is_top=tops_the_hill(points))


def _placed(table: pd.DataFrame, grid: str, axis: str, level: float) -> pd.DataFrame:
    return table.rename(columns={axis: "value"}).assign(grid=grid, axis=axis, level=level)


def _logs(trials: pd.DataFrame, curves: pd.DataFrame, grid: str, axis: str) -> pd.DataFrame:
    points = with_series(oscillating(trials, grid), axis)
    return log_curves(curves[curves["grid"] == grid], points, axis)


def _curves(logs: pd.DataFrame, grid: str, axis: str) -> pd.DataFrame:
    share = logs["norm_floor"] / logs["perturbed_one_norm"]
    placed = logs.rename(columns={axis: "value"})
    return placed.assign(floor_share=share, grid=grid, axis=axis)


def _correlations(trials: pd.DataFrame) -> pd.DataFrame:
    """Correlate ranks over the oscillation trials of all grids that have both numbers."""
    once = trials.drop_duplicates("trial")
    calm = once[
        (once["regime"] == "oscillation")
        & (once["excess"] > 0)
        & np.isfinite(once["excess"])
        & np.isfinite(once["best_test_accuracy"])
    ]
    rows = [
        (*kind, len(group), rank_correlation(group["excess"], group["best_test_accuracy"]))
        for kind, group in calm.groupby(["model", "dataset", "rule"], sort=True)
        if len(group) >= _FEWEST
    ]
    return pd.DataFrame(rows, columns=_CORRELATIONS)
