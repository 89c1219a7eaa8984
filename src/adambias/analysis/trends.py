"""Trends over seeds: paired slopes, their intervals, and the rule for a verdict.

Trials of one seed share their initial weights, so a trend is measured within each seed and the
seeds are the independent observations. Each seed s gives one number b_s, such as the slope of the
norm against log10 1/(1 − β₂); noise between trials of one seed shows in the spread of the b_s. The
interval for their mean is Student's t with n − 1 degrees of freedom.

A share of the seeds has the exact interval of Clopper and Pearson, and the exact binomial test
against one half, which is the sign test. Several claims tested at once are corrected by Holm's
procedure: with the level 95 %, at most one family in twenty without any effect gets a verdict.

References
----------
.. [1] C. J. Clopper, E. S. Pearson. The use of confidence or fiducial limits illustrated in the
   case of the binomial. Biometrika 26, 1934.
.. [2] S. Holm. A simple sequentially rejective multiple test procedure. Scandinavian Journal of
   Statistics 6, 1979.
.. [3] B. L. Welch. The generalization of "Student's" problem when several different population
   variances are involved. Biometrika 34, 1947.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from adambias.config import Verdict
from adambias.core.decays import log_distance

if TYPE_CHECKING:
    from pandas.core.groupby import SeriesGroupBy

VerdictWord = Literal["agrees", "disagrees", "inconclusive", "not testable"]
VERDICTS: tuple[VerdictWord, ...] = ("agrees", "disagrees", "inconclusive", "not testable")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds, or a share of them, with its interval.

    Parameters
    ----------
    value, low, high : float
        NaN where there is nothing to estimate from; the bounds of a mean are NaN with one seed.
    n : int
        Number of seeds.
    null : float
        What it would be without an effect: 0, or one half for a share.
    p : float
        Chance of an estimate at least as far from ``null`` without an effect; NaN where there is
        no interval.
    used : int
        Number of trials behind them.
    seeds : tuple of int
        Which seeds, where known.
    rank_correlation : float
        Mean over seeds of Spearman's rank correlation, where the estimate is of a trend.
    """

    value: float
    low: float
    high: float
    n: int
    null: float = 0.0
    p: float = math.nan
    used: int = 0
    seeds: tuple[int, ...] = ()
    rank_correlation: float = math.nan


def mean_over_seeds(values: ArrayLike, level: float, *, variance: float = 0.0) -> Estimate:
    """Return the mean of one number per seed with Student's t interval.

    Parameters
    ----------
    values : array or Series by seed, shape (seeds,)
        Numbers that are not finite are left out.
    level : float
        Coverage.
    variance : float
        Variance of a further error that all seeds share, so that it does not average out. The
        interval is then Welch's, with Satterthwaite's degrees of freedom.
    """
    sample = np.asarray(values, dtype=float)
    finite = np.isfinite(sample)
    seeds = tuple(map(int, values.index[finite])) if isinstance(values, pd.Series) else ()
    sample = sample[finite]
    mean = float(sample.mean()) if sample.size else math.nan
    found = Estimate(value=mean, low=math.nan, high=math.nan, n=sample.size, seeds=seeds)
    if sample.size < 2:
        return found
    low, high = student(sample, level, variance)
    total, freedom = _error(sample, variance)
    p = 2 * stats.t.sf(abs(mean) / total, freedom) if total else float(mean == 0)
    return dataclasses.replace(found, low=float(low), high=float(high), p=float(p))


def student(
    sample: NDArray[np.float64], level: float, variance: float = 0.0
) -> NDArray[np.float64]:
    """Return the bounds of the t interval for the mean; NaN with one observation."""
    if sample.size < 2:
        return np.full(2, np.nan)
    total, freedom = _error(sample, variance)
    half = stats.t.ppf((1 + level) / 2, freedom) * total
    return sample.mean() + np.array([-half, half])


def _error(sample: NDArray[np.float64], variance: float) -> tuple[float, float]:
    """Return the standard error of the mean and its degrees of freedom."""
    of_seeds, freedom = float(stats.sem(sample)) ** 2, sample.size - 1
    total = of_seeds + variance
    return math.sqrt(total), freedom * (total / of_seeds) ** 2 if of_seeds else math.inf


def share_of_seeds(holds: pd.Series, level: float) -> Estimate:
    """Return the share of the seeds of which something is true, with its exact interval.

    Parameters
    ----------
    holds : Series of bool, by seed
        Of which seeds it is true.
    level : float
        Coverage of the interval of Clopper and Pearson.
    """
    n, seeds = len(holds), tuple(map(int, holds.index))
    if not n:
        return Estimate(value=math.nan, low=math.nan, high=math.nan, n=0, null=0.5)
    test = stats.binomtest(int(holds.sum()), n, 0.5)
    low, high = test.proportion_ci(level, method="exact")
    value, p = float(holds.mean()), float(test.pvalue)
    return Estimate(value=value, low=low, high=high, n=n, null=0.5, p=p, seeds=seeds)


def corrected(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected by Holm's procedure, one that is NaN counting as 1."""
    from statsmodels.stats.multitest import multipletests

    known = np.nan_to_num(np.asarray(p_values, dtype=float), nan=1.0)
    return [float(p) for p in multipletests(known, method="holm")[1]] if known.size else []


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


def trend(points: pd.DataFrame, x: str, y: str, level: float) -> Estimate:
    """Return the change of ``y`` as ``x`` goes from its lowest to its highest value.

    Within each seed (and series, if there is a column ``series``) the change is the least-squares
    slope times the range of ``x``; a seed's series are averaged. All seeds of a series are compared
    at the values of ``x`` that each of them has: where the slope changes along ``x``, a seed that
    lacks one end would pass off the slope at the other end for that of the whole range.

    Parameters
    ----------
    points : DataFrame
        One row per trial with ``seed``, ``x`` and ``y``; rows with a missing number are left out.
        A column ``variance`` holds the variance of a sampling error of ``y`` that the trials of
        different seeds share, as that of a test set.
    x, y : str
        Columns.
    level : float
        Coverage of the interval.

    Returns
    -------
    Estimate
        In the units of ``y``. Seeds with fewer than two values of ``x`` are left out.
    """
    whole = points[np.isfinite(points[x]) & np.isfinite(points[y])]
    if "series" not in whole:
        whole = whole.assign(series="")
    if "variance" not in whole:
        whole = whole.assign(variance=0.0)
    rows = [
        (seed, *_change_within(group, x, y), len(group))
        for _, of_series in whole.groupby("series")
        for seed, group in _at_common_values(of_series, x).groupby("seed", sort=True)
    ]
    table = pd.DataFrame(rows, columns=["seed", "change", "variance", "rank", "used"])
    per_seed = table.groupby("seed")[["change", "variance", "rank"]].mean()
    shared = float(per_seed["variance"].mean()) if len(per_seed) else 0.0
    found = mean_over_seeds(per_seed["change"], level, variance=shared)
    rank = float(per_seed["rank"].mean()) if len(per_seed) else np.nan
    return dataclasses.replace(found, used=int(table["used"].sum()), rank_correlation=rank)


def _change_within(group: pd.DataFrame, x: str, y: str) -> tuple[float, float, float]:
    """Return a seed's change of ``y`` along ``x``, its variance, and the rank correlation."""
    places, values = (group[name].to_numpy(dtype=float) for name in (x, y))
    off = places - places.mean()
    # The change is a weighted sum of the values, and so its sampling error one of theirs.
    weights = off / (off**2).sum() * np.ptp(places)
    variance = float((weights**2 * group["variance"].to_numpy(dtype=float)).sum())
    return float(weights @ values), variance, rank_correlation(places, values)


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


def decide(
    estimate: Estimate, rule: Verdict, *, side: int, least: float, untestable: str = ""
) -> tuple[VerdictWord, str]:
    """Return the verdict on a claim that a number is above (+1) or below (−1) its null value.

    Parameters
    ----------
    estimate : Estimate
        What was measured.
    rule : Verdict
        How many seeds are needed, and which may decide.
    side : {1, -1}
        The side of the null value that the claim names.
    least : float
        Smallest distance from the null value that counts.
    untestable : str
        Why the number cannot be what the claim is about, if so.

    Returns
    -------
    verdict, reason : str
    """
    if untestable:
        return "not testable", untestable
    if estimate.n < rule.seeds:
        return "inconclusive", f"{estimate.n} usable of at least {rule.seeds} seeds"
    looked_at = [seed for seed in estimate.seeds if seed < rule.first_seed]
    if looked_at:
        return (
            "inconclusive",
            f"seeds below {rule.first_seed} are for exploring: {spans(looked_at)}",
        )
    null = "one half" if estimate.null else "zero"
    if not np.isfinite([estimate.low, estimate.high]).all():
        return "inconclusive", "there is no interval"
    if estimate.low <= estimate.null <= estimate.high:
        return "inconclusive", f"the interval includes {null}"
    if abs(estimate.value - estimate.null) < least:
        return "inconclusive", f"smaller than {least:g}, the least effect that counts"
    if np.sign(estimate.value - estimate.null) == side:
        return "agrees", f"the interval excludes {null} on the claimed side"
    return "disagrees", f"the interval excludes {null} on the other side"


def decide_within(
    estimates: Sequence[Estimate], bounds: tuple[float, float], rule: Verdict
) -> tuple[VerdictWord, str]:
    """Return the verdict on a claim that a number is within bounds, at each of some settings.

    Parameters
    ----------
    estimates : sequence of Estimate
        What was measured, one for each setting.
    bounds : (float, float)
        Between which every interval must lie to agree; one that lies outside disagrees.
    rule : Verdict
        How many seeds are needed.

    Returns
    -------
    verdict, reason : str
    """
    low, high = bounds
    every, one = ("every setting's", "a setting's") if len(estimates) > 1 else ("the", "the")
    fewest = min(each.n for each in estimates)
    if fewest < rule.seeds:
        return "inconclusive", f"{fewest} usable of at least {rule.seeds} seeds"
    if all(low < each.low and each.high < high for each in estimates):
        return "agrees", f"{every} interval is within {low:g} and {high:g}"
    if any(each.high < low or each.low > high for each in estimates):
        return "disagrees", f"{one} interval is outside {low:g} to {high:g}"
    return "inconclusive", f"{one} interval reaches over {low:g} or {high:g}"


def spans(seeds: Sequence[int]) -> str:
    """Write seeds as ranges: ``0 to 2, 7``."""
    ordered = sorted(set(seeds))
    firsts = [s for s in ordered if s - 1 not in ordered]
    lasts = [s for s in ordered if s + 1 not in ordered]
    pairs = zip(firsts, lasts, strict=True)
    return ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in pairs)
