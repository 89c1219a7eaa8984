"""What the figures draw, as tables: points, means over seeds, and curves with their bands.

A figure reads numbers and draws them; which trials belong to a series, their means and bounds are
computed here, once, and can be read by anyone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from adambias.analysis.curves import log_curves, mean_curves
from adambias.analysis.hills import tops_the_hill
from adambias.analysis.progress import level_table
from adambias.analysis.series import effect_table, oscillating, with_series
from adambias.analysis.trends import band, rank_correlation
from adambias.config import ClaimSpec
from adambias.config.figures import QUANTITIES

Pair = tuple[str, str]
"""A grid, and the hyperparameter along the axis."""
_FEWEST = 3
"""Trials of a seed from which a rank correlation is given."""
LEVELS = 25
"""Training losses at which norms are averaged."""


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
        ``points.parquet`` has a row for each oscillation trial of a grid: its ``series``, whether
        its highest norm is the top of its hill (``peak_is_top``), and the quantities of figures
        without what whole seeds differ by (``<name>_within``).
        ``means.parquet`` has n and the means of the quantities over the seeds of each ``series`` at
        each ``value`` of the axis, with ``<name>_low`` and ``<name>_high``.
        ``hill_curves.parquet`` has each trial's training loss, ``log10_norm`` and ``log10_excess``
        by epoch; ``hill_means.parquet`` their means and bounds;
        ``level_means.parquet`` those of ``log10_excess`` at equal training loss: ``loss`` is a
        fraction of the loss at the start.
        ``correlations.parquet`` has, for each grid and rule, the rank correlation of norm and
        accuracy within seeds: its mean over seeds, and the least and the most of a seed.
    """
    pairs = list(dict.fromkeys(_pairs(claims.values())))
    hills = list(dict.fromkeys(_pairs(filter(_over_epochs, claims.values()))))
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
        "level_means.parquet": _stack(
            [_placed(_level_means(logs[g, a], trials, a, level), g, a, level) for g, a in hills],
            _LEVEL_MEANS,
        ),
        "correlations.parquet": _stack(
            [_correlations(points, *pair) for pair, (points, _) in effects.items()],
            _CORRELATIONS,
        ),
    }


def _bounded(*names: str) -> list[str]:
    return [name + end for name in names for end in ("", "_low", "_high")]


_WITHIN = [f"{name}_within" for name in QUANTITIES]
_POINTS = ["grid", "axis", "trial", "series", "peak_is_top", *_WITHIN]
_PLACE = ["grid", "axis", "series", "value"]
_MEANS = [*_PLACE, "n", *_bounded(*QUANTITIES, *_WITHIN), "level"]
_CURVES = [*_PLACE, "trial", "seed", "epoch", "train_loss", "log10_norm", "log10_excess"]
_MEAN_CURVES = [*_PLACE, "epoch", "n", *_bounded("log10_norm", "log10_excess"), "level"]
_LEVEL_MEANS = [*_PLACE, "loss", "n", *_bounded("log10_excess"), "level"]
_CORRELATIONS = ["grid", "axis", "model", "dataset", "rule", "n"]
_CORRELATIONS += _bounded("rank_correlation")


def _pairs(claims: Iterable[ClaimSpec]) -> Iterable[Pair]:
    return ((grid, claim.axis) for claim in claims if claim.axis for grid in claim.grids)


def _over_epochs(claim: ClaimSpec) -> bool:
    """Tell whether a claim is about the norm's course, or a reading of it is of its hill."""
    return claim.about.over_epochs or "hill" in claim.readings


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
    return logs.rename(columns={axis: "value"}).assign(grid=grid, axis=axis)


def _level_means(logs: pd.DataFrame, trials: pd.DataFrame, axis: str, level: float) -> pd.DataFrame:
    """Average the log-norm over seeds at equal training loss, over the range all trials share."""
    table = level_table(logs, trials, axis, LEVELS).rename(columns={"level": "loss"})
    groups = table.groupby(["series", axis, "loss"], sort=True)
    means = band(groups["log10_excess"], "log10_excess", level)
    return pd.concat([groups.size().rename("n"), means], axis=1).reset_index()


def _correlations(points: pd.DataFrame, grid: str, axis: str) -> pd.DataFrame:
    """Correlate the ranks of norm and accuracy within each seed, and average over seeds."""
    rows = []
    for kind, group in points.groupby(["model", "dataset", "rule"], sort=True):
        whole = group.dropna(subset=["progress_log10_excess", "late_test_accuracy"])
        ranks = [
            (seed, rank_correlation(of["progress_log10_excess"], of["late_test_accuracy"]))
            for (seed, _), of in whole.groupby(["seed", "series"])
            if len(of) >= _FEWEST
        ]
        of_seeds = pd.DataFrame(ranks, columns=["seed", "rank"]).groupby("seed")["rank"].mean()
        if len(of_seeds):
            bounds = (of_seeds.mean(), of_seeds.min(), of_seeds.max())
            rows.append((grid, axis, *kind, len(of_seeds), *bounds))
    return pd.DataFrame(rows, columns=_CORRELATIONS)
