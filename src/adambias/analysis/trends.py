"""Trends over seeds: paired slopes, their intervals, and the rule for a verdict.

Trials of one seed share their initial weights, so a trend is measured within each seed and the
seeds are the independent observations. Each seed s gives one number b_s, such as the slope of the
norm against log10 1/(1 − β₂); noise between trials of one seed shows in the spread of the b_s.

The interval for the mean of b_s is the wider, at each end, of two: the percentile bootstrap over
seeds, and Student's t. With few seeds the bootstrap alone says too much (three seeds of pure
noise agree in sign one time in four, and then it excludes zero), while t with n − 1 degrees of
freedom charges for it. From about ten seeds on the two hardly differ.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from adambias.config import Interval
from adambias.core.decays import log_distance

if TYPE_CHECKING:
    from pandas.core.groupby import SeriesGroupBy

VerdictWord = Literal["agrees", "disagrees", "inconclusive"]
VERDICTS: tuple[VerdictWord, ...] = ("agrees", "disagrees", "inconclusive")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds with its interval.

    Parameters
    ----------
    value, low, high : float
        NaN where there is nothing to estimate from; the bounds are NaN with one seed.
    n : int
        Number of seeds.
    used : int
        Number of trials behind them.
    rank_correlation : float
        Mean over seeds of Spearman's rank correlation, where the estimate is of a trend.
    """

    value: float
    low: float
    high: float
    n: int
    used: int = 0
    rank_correlation: float = float("nan")

    def scaled(self, factor: float) -> Estimate:
        """Return the estimate in units of ``1 / factor``, a positive number."""
        bounds = (float(v * factor) for v in (self.value, self.low, self.high))
        value, low, high = bounds if factor > 0 else (math.nan, math.nan, math.nan)
        return dataclasses.replace(self, value=value, low=low, high=high)


def mean_over_seeds(values: ArrayLike, settings: Interval) -> Estimate:
    """Return the mean of one number per seed with its interval.

    Parameters
    ----------
    values : array, shape (seeds,)
        Numbers that are not finite are left out.
    settings : Interval
        Level, resamples and the generator's seed.
    """
    sample = np.asarray(values, dtype=float)
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return Estimate(value=np.nan, low=np.nan, high=np.nan, n=0)
    mean = float(sample.mean())
    if sample.size == 1:
        return Estimate(value=mean, low=np.nan, high=np.nan, n=1)
    ends = np.array([_bootstrap(sample, settings), student(sample, settings.level)])
    return Estimate(
        value=mean, low=float(ends[:, 0].min()), high=float(ends[:, 1].max()), n=sample.size
    )


def _bootstrap(sample: NDArray[np.float64], settings: Interval) -> NDArray[np.float64]:
    generator = np.random.default_rng(settings.seed)
    draws = generator.integers(0, sample.size, size=(settings.resamples, sample.size))
    tail = 100 * (1 - settings.level) / 2
    return np.percentile(sample[draws].mean(axis=1), [tail, 100 - tail])


def student(sample: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Return the bounds of Student's t interval for the mean; NaN with one observation."""
    if sample.size < 2:
        return np.full(2, np.nan)
    half = stats.t.ppf((1 + level) / 2, sample.size - 1) * stats.sem(sample)
    return sample.mean() + np.array([-half, half])


def band(groups: SeriesGroupBy[Any, Any], name: str, level: float = 0.95) -> pd.DataFrame:
    """Return each group's mean with the bounds of Student's t interval.

    Parameters
    ----------
    groups : SeriesGroupBy
        One number per seed; missing ones are left out.
    name : str
        What to call it.
    level : float
        Coverage.

    Returns
    -------
    DataFrame
        ``name``, ``<name>_low`` and ``<name>_high`` by group; the bounds are NaN with one number.
    """
    mean = groups.mean()
    half = stats.t.ppf((1 + level) / 2, groups.count() - 1) * groups.sem()
    return pd.DataFrame({name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half})


def position(axis: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return where values of a hyperparameter lie along its axis.

    Decays lie at log10 1/(1 − β), step sizes and ε at their log10, everything else as it is.
    """
    if axis in ("beta1", "beta2"):
        return log_distance(values)
    numbers = np.asarray(values, dtype=float)
    return np.log10(numbers) if axis in ("h", "epsilon") else numbers


def trend(points: pd.DataFrame, x: str, y: str, settings: Interval) -> Estimate:
    """Return the change of ``y`` as ``x`` goes from its lowest to its highest value.

    Within each seed (and series, if there is a column ``series``) the change is the least-squares
    slope times the range of ``x``; a seed's series are averaged. All seeds of a series are compared
    at the values of ``x`` that each of them has: where the slope changes along ``x``, a seed that
    lacks one end would pass off the slope at the other end for that of the whole range.

    Parameters
    ----------
    points : DataFrame
        One row per trial with ``seed``, ``x`` and ``y``; rows with a missing number are left out.
    x, y : str
        Columns.
    settings : Interval
        How the interval is made.

    Returns
    -------
    Estimate
        In the units of ``y``. Seeds with fewer than two values of ``x`` are left out.
    """
    whole = points[np.isfinite(points[x]) & np.isfinite(points[y])]
    if "series" not in whole:
        whole = whole.assign(series="")
    rows = []
    for _, of_series in whole.groupby("series"):
        compared = _at_common_values(of_series, x)
        span = np.ptp(compared[x]) if len(compared) else 0.0
        for seed, group in compared.groupby("seed", sort=True):
            change = np.polyfit(group[x], group[y], 1)[0] * span
            rows.append((seed, change, rank_correlation(group[x], group[y]), len(group)))
    table = pd.DataFrame(rows, columns=["seed", "change", "rank", "used"])
    per_seed = table.groupby("seed")[["change", "rank"]].mean()
    found = mean_over_seeds(per_seed["change"], settings)
    rank = float(per_seed["rank"].mean()) if len(per_seed) else np.nan
    return dataclasses.replace(found, used=int(table["used"].sum()), rank_correlation=rank)


def _at_common_values(points: pd.DataFrame, x: str) -> pd.DataFrame:
    """Keep the seeds with two values of ``x`` or more, at the values that all of them have."""
    values = points.groupby("seed")[x].transform("nunique")
    points = points[values > 1]
    seeds = points.groupby(x)["seed"].transform("nunique")
    common = points[seeds == points["seed"].nunique()]
    return common if common[x].nunique() > 1 else common.iloc[:0]


def rank_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Return Spearman's rank correlation, 0 where ``y`` does not vary."""
    if np.ptp(np.asarray(y, dtype=float)) == 0:
        return 0.0
    return float(np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1])


def decide(estimate: Estimate, *, side: int, least: float, seeds: int) -> tuple[VerdictWord, str]:
    """Return the verdict on a claim that a number is above (+1) or below (−1) zero, and why.

    Parameters
    ----------
    estimate : Estimate
        What was measured.
    side : {1, -1}
        The side of zero that the claim names.
    least : float
        Smallest size of the estimate that counts.
    seeds : int
        Fewest seeds to decide on.
    """
    if estimate.n < seeds or not np.isfinite([estimate.low, estimate.high]).all():
        return "inconclusive", f"{estimate.n} usable of at least {seeds} seeds"
    if estimate.low <= 0 <= estimate.high:
        return "inconclusive", "the interval includes zero"
    if abs(estimate.value) < least:
        return "inconclusive", f"smaller than {least:g}, the least effect that counts"
    if np.sign(estimate.value) == side:
        return "agrees", "the interval excludes zero on the claimed side"
    return "disagrees", "the interval excludes zero on the other side"
