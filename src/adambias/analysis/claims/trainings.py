"""Statistics of trainings: each takes one number per seed from the grids that a claim is about.

A seed is one observation; a verdict needs the interval over seeds to exclude zero.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd

from adambias.analysis.claims.claim import Reading
from adambias.analysis.claims.findings import Findings
from adambias.analysis.trends import (
    Estimate,
    decide,
    mean_over_seeds,
    position,
    rank_correlation,
    trend,
)
from adambias.config import ClaimSpec
from adambias.core.errors import ConfigError


def peak(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the change of the highest norm along the axis, over its mean excess."""
    points = findings.usable(claim)
    return over_seeds(findings, claim, _relative_change(findings, claim, points, _PEAK))


_PEAK, _HILL = "peak_perturbed_one_norm", "hill_norm"


def accuracy(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the change of the best test accuracy along the axis."""
    points = findings.usable(claim)
    return over_seeds(findings, claim, _change(findings, claim, points, "best_test_accuracy"))


def change(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the change of any column of ``trials.parquet`` along the axis, in its own unit."""
    points = findings.usable(claim)
    numbers = points.select_dtypes(["number", "bool"]).columns
    if claim.of not in numbers:
        raise ConfigError("of", claim.of, f"must be a column of numbers: {', '.join(numbers)}")
    return over_seeds(findings, claim, _change(findings, claim, points, claim.of))


def hill(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the change of the norm at the hill's top, over its mean excess, where there is one."""
    usable = findings.usable(claim)
    points = usable[usable["has_hill"]]
    reading = over_seeds(findings, claim, _relative_change(findings, claim, points, _HILL))
    if points.empty and len(usable):
        reason = f"none of {len(usable)} trials has a hill"
        return dataclasses.replace(reading, found="no hill", reason=reason)
    return reading


def share_of_epochs(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read at which share of the epochs the norm falls along the axis, seed by seed."""
    points = findings.usable(claim)
    columns = ["trial", "grid", "seed", "series", claim.axis]
    curves = findings.curves.merge(points[columns], on=["trial", "grid"])
    groups = curves.groupby(["seed", "series"])
    rows = [(seed, _share_falling(group, claim.axis)) for (seed, _), group in groups]
    shares = pd.DataFrame(rows, columns=["seed", "share"]).groupby("seed")["share"].mean()
    found = _share_over_half(findings, shares)
    return over_seeds(findings, claim, dataclasses.replace(found, used=curves["trial"].nunique()))


def _share_falling(curves: pd.DataFrame, axis: str) -> float:
    wide = curves.pivot_table(index="epoch", columns=axis, values="perturbed_one_norm")
    wide = wide.dropna()
    if wide.shape[1] < 2 or wide.empty:
        return math.nan
    values = wide.columns.to_numpy(dtype=float)
    return float(np.mean([rank_correlation(values, row) < 0 for row in wide.to_numpy()]))


def share_with_hill(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read in which share of the trials the norm falls, rises to a hill, and falls again."""
    points = findings.usable(claim)
    points = points.drop_duplicates("trial").dropna(subset=["hill_rise", "hill_fall"])
    found = _share_over_half(findings, points.groupby("seed")["has_hill"].mean())
    return over_seeds(findings, claim, dataclasses.replace(found, used=len(points)))


def _share_over_half(findings: Findings, shares: pd.Series) -> Estimate:
    """Average a share over seeds, less one half; t knows no bounds of a share, so cut it there."""
    found = mean_over_seeds(shares - 0.5, findings.settings.interval)
    low, high = np.clip([found.low, found.high], -0.5, 0.5)
    return dataclasses.replace(found, low=float(low), high=float(high))


def _change(findings: Findings, claim: ClaimSpec, points: pd.DataFrame, column: str) -> Estimate:
    placed = points.assign(x=position(claim.axis, points[claim.axis]))
    return trend(placed, "x", column, findings.settings.interval)


def _relative_change(
    findings: Findings, claim: ClaimSpec, points: pd.DataFrame, column: str
) -> Estimate:
    """Return the change of a norm in units of its mean excess over p√ε."""
    excess = (points[column] - points["norm_floor"]).mean() if len(points) else math.nan
    return _change(findings, claim, points, column).scaled(1 / excess)


def over_seeds(
    findings: Findings, claim: ClaimSpec, found: Estimate, *, statistic: str = ""
) -> Reading:
    """Put an estimate over seeds into words, with the verdict of the rule.

    Parameters
    ----------
    findings : Findings
        Where it was found.
    claim : ClaimSpec
        The claim that it decides.
    found : Estimate
        The number, above zero for the first of the claim's ``directions``.
    statistic : str
        What the number is; by default the words of the claim's statistic.
    """
    settings = findings.settings
    verdict, reason = decide(
        found,
        side=claim.side,
        least=claim.least(settings.verdict),
        seeds=settings.verdict.seeds,
    )
    measures = statistic or claim.about.measures
    return Reading(
        estimate=found,
        statistic=measures.format(of=claim.of, hill_decades=settings.hill_decades),
        interval=f"{settings.interval.level:.0%}, bootstrap over seeds and t, the wider",
        planned=findings.planned(claim),
        claimed=claim.direction(claim.side),
        found=claim.direction(found.value),
        verdict=verdict,
        reason=reason,
    )
