"""Statistics of trainings: each takes one number per seed from the grids that a claim is about.

A seed is one observation; a verdict needs the interval over seeds to exclude the null value. Where
the number cannot be what the claim is about, the claim is not testable: a norm that only falls has
its highest value at the edge of the period looked at, and says how fast the training went.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
from scipy import stats

from adambias.analysis.claims.claim import Reading
from adambias.analysis.claims.findings import Findings
from adambias.analysis.curves import log_curves
from adambias.analysis.progress import level_table
from adambias.analysis.trends import (
    Estimate,
    decide,
    position,
    share_of_seeds,
    trend,
)
from adambias.config import ClaimSpec
from adambias.core.errors import ConfigError

_LEVELS_OF_A_TRAINING = 20
"""Losses of equal ratio at which a whole training is looked at."""


def progress(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the change of the norm along the axis while the loss goes through the window."""
    return _at_progress(findings, claim, "progress_log10_excess")


def relative(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the same of the norm times the weights' norm.

    Weights in front of a normalisation can be scaled without changing the loss, and their gradient
    scales the other way; the product does not. It is the gradient for a relative change.
    """
    return _measured(findings, claim, "progress_log10_relative", "weight_norm")


def smooth(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the same of the smooth path, the mean of the last iterates, at its own loss."""
    return _measured(findings, claim, "progress_log10_smooth", "smooth_norm")


def oscillation(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the change of what the oscillation about the smooth path adds to the log of the norm."""
    return _measured(findings, claim, "progress_log10_oscillation", "smooth_norm")


def _measured(findings: Findings, claim: ClaimSpec, column: str, measure: str) -> Reading:
    """Read a number at equal progress that a trial has only if it measured more than most."""
    usable = findings.usable(claim)
    if len(usable) and usable[column].isna().all():
        none = Estimate(value=math.nan, low=math.nan, high=math.nan, n=0)
        reason = f"was not measured (measures: [{measure}])"
        return over_seeds(findings, claim, none, untestable=reason)
    return _at_progress(findings, claim, column)


def _at_progress(findings: Findings, claim: ClaimSpec, column: str) -> Reading:
    usable = findings.usable(claim)
    lacking = usable[column].isna()
    reason = too_many(findings, usable, lacking, "do not go through the losses compared")
    return over_seeds(
        findings, claim, change_of(findings, claim, usable, column), untestable=reason
    )


def peak(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the change of the log of the highest norm's excess, after the initial period."""
    usable = findings.usable(claim)
    at_edge = usable["peak_at_edge"].astype(bool)
    words = "have their highest norm where the initial period ends: it was falling there"
    return over_seeds(
        findings,
        claim,
        change_of(findings, claim, usable, "peak_log10_excess"),
        untestable=too_many(findings, usable, at_edge, words),
    )


def hill(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the change of the log of the excess at the hill's top, where there is one."""
    usable = findings.usable(claim)
    return over_seeds(
        findings,
        claim,
        change_of(findings, claim, usable, "hill_log10_excess"),
        untestable=too_many(findings, usable, ~usable["has_hill"].astype(bool), "have no hill"),
    )


def too_many(findings: Findings, usable: pd.DataFrame, bad: pd.Series, words: str) -> str:
    """Say so if more trials than may be lack what the claim is about."""
    most = findings.settings.verdict.missing_share
    once = bad.groupby(usable["trial"]).first()
    if not len(once) or once.mean() <= most:
        return ""
    return f"{int(once.sum())} of {len(once)} trials {words}"


def accuracy(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the change of the late test accuracy, with the sampling error of the test set.

    All trials share the test images, so that their error does not average out over seeds. It is
    taken as if the images that two trainings get right were independent, which is more than it is:
    trainings that err on the same images differ by less.
    """
    usable = findings.usable(claim)
    units = findings.settings.test_units
    unknown = sorted(set(usable["dataset"]) - set(units))
    reason = ""
    if unknown:
        reason = f"analyse.test_units lacks {', '.join(unknown)}: its number of independent images"
    share = usable["late_test_accuracy"]
    of_dataset = usable["dataset"].map(units).astype(float)
    points = usable.assign(variance=(share * (1 - share) / of_dataset).fillna(0.0))
    found = change_of(findings, claim, points, "late_test_accuracy")
    return over_seeds(findings, claim, found, untestable=reason)


def change(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the change of any column of ``trials.parquet`` along the axis, in its own unit."""
    points = findings.usable(claim)
    numbers = points.select_dtypes(["number", "bool"]).columns
    if claim.of not in numbers:
        raise ConfigError("of", claim.of, f"must be a column of numbers: {', '.join(numbers)}")
    return over_seeds(findings, claim, change_of(findings, claim, points, claim.of))


def share_of_epochs(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read of how many seeds the norms are in the claimed order at most epochs."""
    usable = findings.usable(claim)
    return _ordered_at_most(findings, claim, usable, _curves(findings, claim, usable), "epoch")


def share_of_progress(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read of how many seeds they are at most losses, from the start to the lowest in common."""
    usable = findings.usable(claim)
    curves = _curves(findings, claim, usable)
    pieces = [
        level_table(piece, usable, claim.axis, _LEVELS_OF_A_TRAINING)
        for _, piece in curves.groupby(["seed", "series"])
    ]
    filled = [piece for piece in pieces if len(piece)]
    table = pd.concat(filled) if filled else curves.assign(level=math.nan)
    return _ordered_at_most(findings, claim, usable, table, "level")


def _curves(findings: Findings, claim: ClaimSpec, usable: pd.DataFrame) -> pd.DataFrame:
    """Return the curves of the usable trials, those of several grids once each."""
    curves = findings.curves[findings.curves["grid"].isin(claim.grids)]
    return log_curves(curves, usable.drop_duplicates("trial"), claim.axis)


def _ordered_at_most(
    findings: Findings, claim: ClaimSpec, usable: pd.DataFrame, curves: pd.DataFrame, along: str
) -> Reading:
    """Read of how many seeds the norms are in the claimed order at most places of a course."""
    settings = findings.settings
    floor = usable["norm_floor"].mean()
    least = math.log10(max(settings.floor_fraction * floor, 1e-300)) if len(usable) else 0.0
    sign = 1 if claim.of == "rises" else -1
    rows = [
        (seed, _share_ordered(part, claim.axis, along, sign, least))
        for (seed, _), part in curves.groupby(["seed", "series"])
    ]
    table = pd.DataFrame(rows, columns=["seed", "share"]).dropna()
    shares = table.groupby("seed")["share"].mean()
    found = share_of_seeds(shares > 0.5, settings.level)
    found = dataclasses.replace(found, used=usable["trial"].nunique() if len(shares) else 0)
    of = "epochs" if along == "epoch" else "losses"
    detail = f"on average at {shares.mean():.0%} of the {of}" if len(shares) else ""
    return over_seeds(findings, claim, found, detail=detail)


def _share_ordered(curves: pd.DataFrame, axis: str, along: str, sign: int, least: float) -> float:
    """Return at which share of the places where there is an excess the norms are in order."""
    wide = curves.pivot_table(index=along, columns=axis, values="log10_excess").dropna()
    wide = wide[wide.mean(axis=1) > least]
    if wide.shape[1] < 2 or wide.empty:
        return math.nan
    # The sign of Spearman's rank correlation, at all places at once.
    along_axis = stats.rankdata(wide.columns)
    covariances = stats.rankdata(wide.to_numpy(), axis=1) @ (along_axis - along_axis.mean())
    return float(np.mean(sign * covariances > 0))


def share_with_hill(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read of how many seeds most trainings' norms fall, rise to a hill, and fall again."""
    points = findings.usable(claim)
    points = points.drop_duplicates("trial").dropna(subset=["hill_rise", "hill_fall"])
    shares = points.groupby("seed")["has_hill"].mean()
    found = share_of_seeds(shares > 0.5, findings.settings.level)
    detail = f"{int(points['has_hill'].sum())} of {len(points)} trials have a hill"
    found = dataclasses.replace(found, used=len(points))
    return over_seeds(findings, claim, found, detail=detail if len(points) else "")


def change_of(findings: Findings, claim: ClaimSpec, points: pd.DataFrame, column: str) -> Estimate:
    """Return the change of a column along the claim's axis, within seeds."""
    placed = points.assign(x=position(claim.axis, points[claim.axis]))
    return trend(placed, "x", column, findings.settings.level)


def over_seeds(
    findings: Findings,
    claim: ClaimSpec,
    found: Estimate,
    *,
    statistic: str = "",
    detail: str = "",
    untestable: str = "",
) -> Reading:
    """Put an estimate over seeds into words, with the verdict of the rule.

    Parameters
    ----------
    findings : Findings
        Where it was found.
    claim : ClaimSpec
        The claim that it decides.
    found : Estimate
        The number, above its null value for the first of the claim's ``directions``.
    statistic : str
        What the number is; by default the words of the claim's statistic.
    detail : str
        What else there is to say of it.
    untestable : str
        Why the number cannot be what the claim is about, if so.
    """
    settings = findings.settings
    rule = settings.verdict
    verdict, reason = decide(
        found, rule, side=claim.side, least=claim.least(rule), untestable=untestable
    )
    bottom, top = settings.loss_window
    measures = (statistic or claim.about.measures).format(
        of=claim.of, hill_decades=settings.hill_decades, top=top, bottom=bottom
    )
    kind = "exact (Clopper and Pearson)" if found.null else "Student's t"
    return Reading(
        estimate=found,
        statistic=measures,
        interval=f"{settings.level:.0%}, {kind}, over seeds",
        planned=findings.planned(claim),
        claimed=claim.direction(found.null + claim.side, found.null),
        found=claim.direction(found.value, found.null),
        detail=detail,
        verdict=verdict,
        reason=reason,
    )
