"""Statistics of the edge of stability, and of what the hill of the norm is made of."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
from scipy import stats

from adambias.analysis.claims.claim import Reading
from adambias.analysis.claims.findings import Findings
from adambias.analysis.claims.trainings import change_of, over_seeds, too_many
from adambias.analysis.curves import log_positive
from adambias.analysis.edge import crossing, settled
from adambias.analysis.progress import at_levels, levels
from adambias.analysis.trends import Estimate, VerdictWord, decide_within, mean_over_seeds
from adambias.config import ClaimSpec, Verdict

SETTLED = (0.9, 1.1)
"""Medians of the edge between which it is said to stay at 1."""
AT_ONCE = (-10.0, 10.0)
"""Epochs from the crossing to the onset between which the one is said to be at the other."""
Bounds = tuple[float, float]


def rules_settle(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read whether every setting of ``stability.json`` that the claim is about keeps the edge at 1.

    The number is the mean over settings; its bounds are the lowest and the highest of any
    setting's interval over seeds.
    """
    rows = pd.DataFrame((findings.stability or {}).get("rows", []))
    by_setting: list[Estimate] = []
    rows = claim.select(rows) if len(rows) else rows
    if len(rows):
        pairs = zip(rows["epoch"], rows["edge"], strict=True)
        rows = rows.assign(settled=[settled(epochs, edge) for epochs, edge in pairs])
        settings = rows.groupby(["rule", "h", "beta1", "beta2"])
        level = findings.settings.level
        by_setting = [mean_over_seeds(of.set_index("seed")["settled"], level) for _, of in settings]
    found = Estimate(
        value=float(np.mean([each.value for each in by_setting])) if by_setting else math.nan,
        low=min((each.low for each in by_setting), default=math.nan),
        high=max((each.high for each in by_setting), default=math.nan),
        n=min((each.n for each in by_setting), default=0),
        used=len(rows),
    )
    verdict, reason = _rules(by_setting, len(rows), findings.settings.verdict)
    if findings.stability and not by_setting:
        reason = f"stability.json has no training with {claim.where}"
    return Reading(
        estimate=found,
        statistic=claim.about.measures,
        interval=f"widest {findings.settings.level:.0%} of Student's t over seeds, of any setting",
        claimed="1",
        found="no data" if math.isnan(found.value) else f"{found.value:.2f}",
        detail=f"{len(by_setting)} settings" if by_setting else "",
        verdict=verdict,
        reason=reason,
    )


def _rules(settings: list[Estimate], rows: int, rule: Verdict) -> tuple[VerdictWord, str]:
    if not settings:
        return "inconclusive", "stability.json is missing"
    lacking = rows - sum(each.n for each in settings)
    if lacking > rule.missing_share * rows:
        return "not testable", f"{lacking} of {rows} trainings never come to the threshold"
    return decide_within(settings, SETTLED, rule)


def settles(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the median of the edge from the crossing on, a mean over each seed's trainings."""
    usable = findings.usable(claim).drop_duplicates("trial")
    return _within(
        *(findings, claim, usable, usable["edge_settled"], SETTLED),
        missing="never come to the threshold",
    )


def onset_after_crossing(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read how many epochs after the crossing the norm begins to rise."""
    usable = findings.usable(claim).drop_duplicates("trial")
    after = usable["onset_epoch"] - usable["crossing_epoch"]
    return _within(
        *(findings, claim, usable, after, AT_ONCE),
        missing="never come to the threshold, or have no rise of the norm",
    )


def onset_rank(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the rank correlation of crossing and onset within seeds, of three trainings or more."""
    usable = findings.usable(claim).drop_duplicates("trial")
    known = usable.dropna(subset=["onset_epoch", "crossing_epoch"])
    several = {seed: of for seed, of in known.groupby("seed") if of["crossing_epoch"].nunique() > 2}
    ranks = pd.Series(
        {s: of["onset_epoch"].corr(of["crossing_epoch"], "spearman") for s, of in several.items()},
        dtype=float,
    )
    found = mean_over_seeds(ranks, findings.settings.level)
    used = sum(map(len, several.values()))
    return over_seeds(findings, claim, dataclasses.replace(found, used=used))


def oscillation_share(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read how much of the norm is oscillation from the onset of its hill on."""
    usable = findings.usable(claim).drop_duplicates("trial")
    missing = usable["oscillation_share"].isna()
    reason = too_many(findings, usable, missing, "have no rise of the norm, or no smooth path")
    shares = usable.groupby("seed")["oscillation_share"].mean()
    off = mean_over_seeds(shares - 0.5, findings.settings.level)
    ends = {name: getattr(off, name) + 0.5 for name in ("value", "low", "high")}
    found = dataclasses.replace(off, **ends, null=0.5, used=int((~missing).sum()))
    read = over_seeds(findings, claim, found, untestable=reason)
    return dataclasses.replace(read, interval=_student(findings))


def before_edge(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the norm's change along the axis before the first of a seed's trainings crosses."""
    return over_seeds(findings, claim, _around_edge(findings, claim, "before"))


def after_edge(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the same from there to the lowest loss that a seed's trainings have in common."""
    return over_seeds(findings, claim, _around_edge(findings, claim, "after"))


def _around_edge(findings: Findings, claim: ClaimSpec, part: str) -> Estimate:
    usable = findings.usable(claim).drop_duplicates("trial")
    pieces = [_seed_around_edge(findings, of, part) for _, of in usable.groupby("seed")]
    norms = pd.concat(pieces) if pieces else pd.Series(dtype=float)
    points = usable.assign(norm=usable["trial"].map(norms).astype(float))
    return change_of(findings, claim, points, "norm")


def _seed_around_edge(findings: Findings, trials: pd.DataFrame, part: str) -> pd.Series:
    """Return a seed's mean log-excess by trial, at equal progress before or after the crossing."""
    curves = {key: _curve(findings, key) for key in trials["trial"]}
    floors = trials.set_index("trial")["norm_floor"]
    lowest = max(curve["fraction"].min() for curve in curves.values())
    crossings = [_loss_at_crossing(curve) for curve in curves.values()]
    first = max([loss for loss in crossings if loss > lowest], default=lowest)
    low, high = (first, 1.0) if part == "before" else (lowest, first)
    if not low < high:
        return pd.Series(math.nan, index=list(curves), dtype=float)
    edges = levels((low, high), findings.settings.loss_levels)
    means = {}
    for key, curve in curves.items():
        excess = log_positive(curve["perturbed_one_norm"] - floors[key])
        means[key] = at_levels(curve["fraction"], excess, edges).mean()
    return pd.Series(means, dtype=float)


def _curve(findings: Findings, key: str) -> pd.DataFrame:
    """Return a trial's curve, with its loss as a fraction of that at the start."""
    curve = findings.curves[findings.curves["trial"] == key]
    curve = curve.drop_duplicates("epoch").sort_values("epoch")
    start = curve["train_loss"].iloc[0] if len(curve) else math.nan
    return curve.assign(fraction=curve["train_loss"] / start)


def _loss_at_crossing(curve: pd.DataFrame) -> float:
    """Return the lowest loss up to the crossing; NaN if the training never crosses."""
    first = crossing(curve["epoch"], curve["edge"]) if "edge" in curve else math.nan
    return float(curve.loc[curve["epoch"] <= first, "fraction"].min())


def _within(
    findings: Findings,
    claim: ClaimSpec,
    usable: pd.DataFrame,
    values: pd.Series,
    bounds: Bounds,
    *,
    missing: str,
) -> Reading:
    """Read a mean over seeds that is claimed to be within bounds."""
    rule, level = findings.settings.verdict, findings.settings.level
    found = mean_over_seeds(values.groupby(usable["seed"]).mean(), level)
    found = dataclasses.replace(
        found, p=_p_value(found, bounds, level), used=int(values.notna().sum())
    )
    reason = too_many(findings, usable, values.isna(), missing)
    verdict: tuple[VerdictWord, str] = ("not testable", reason)
    if not reason:
        verdict = decide_within([found], bounds, rule)
    low, high = bounds
    return Reading(
        estimate=found,
        statistic=claim.about.measures,
        interval=_student(findings),
        planned=findings.planned(claim),
        claimed=f"{low:g} to {high:g}".replace("-", "−"),
        found="no data" if math.isnan(found.value) else f"{found.value:.3g}".replace("-", "−"),
        verdict=verdict[0],
        reason=verdict[1],
    )


def _p_value(found: Estimate, bounds: Bounds, level: float) -> float:
    """Return the chance of an estimate as far from the nearer bound, were the truth on it."""
    nearer = min(bounds, key=lambda bound: abs(found.value - bound))
    half = (found.high - found.low) / 2
    if math.isnan(half):
        return math.nan
    if half == 0:  # all seeds alike
        return float(found.value == nearer)
    error = half / stats.t.ppf((1 + level) / 2, found.n - 1)
    return float(2 * stats.t.sf(abs(found.value - nearer) / error, found.n - 1))


def _student(findings: Findings) -> str:
    return f"{findings.settings.level:.0%}, Student's t, over seeds"
