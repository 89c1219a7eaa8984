"""Statistics of the laws on networks: how far they reach, and what their memory term causes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from adambias.analysis.claims.claim import Reading
from adambias.analysis.claims.findings import Findings
from adambias.analysis.trends import Estimate, VerdictWord, decide_within, mean_over_seeds
from adambias.config import ClaimSpec

_FEWEST = 5
"""Settings within a law's reach that its claim needs."""
_EXPLAINED = (0.5, 1.5)
"""Shares of an effect between which a term is said to be its cause."""


def reach(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read how well a law predicts what memory does to the norm, over the settings in its reach.

    The number is the slope of predicted on measured through the origin, by least squares; its range
    is that of predicted over measured, where the effect is one that counts. A prediction that is
    not finite has no sign and makes the slope infinite.
    """
    law, rule = claim.of, findings.settings.verdict
    rows = within(findings.reach or {}, law).dropna(subset="memory")
    measured = rows["memory"].to_numpy(dtype=float)
    predicted = rows[f"{law}_memory"].fillna(math.inf).to_numpy(dtype=float)
    counted = np.abs(measured) >= rule.norm_effect
    slope = float(predicted @ measured / (measured @ measured)) if measured.any() else math.nan
    ratios = predicted[counted] / measured[counted]
    low, high = (ratios.min(), ratios.max()) if ratios.size else (math.nan, math.nan)
    wrong = int((~(np.isfinite(ratios) & (ratios > 0))).sum())
    verdict, reason = _by_slope(slope, wrong, ratios.size, claim.least(rule))
    if not findings.reach:
        verdict, reason = "inconclusive", "reach.json is missing"
    return Reading(
        estimate=Estimate(value=slope, low=float(low), high=float(high), n=len(rows)),
        statistic=claim.about.measures,
        interval=f"range of predicted over measured where that is at least {rule.norm_effect:g}",
        of="settings",
        claimed="slope 1",
        found="no data" if math.isnan(slope) else f"slope {slope:.2f}",
        verdict=verdict,
        reason=reason,
    )


def within(content: Mapping[str, Any], law: str) -> pd.DataFrame:
    """Return the rows of ``reach.json`` that lie within a law's reach."""
    columns = [f"{law}_number", "memory", f"{law}_memory"]
    rows = pd.DataFrame(content.get("rows", []), columns=columns)
    least = content["settings"]["within"][law] if len(rows) else 0.0
    return rows[rows[f"{law}_number"].fillna(math.inf) < least]


def _by_slope(slope: float, wrong: int, counted: int, tolerance: float) -> tuple[VerdictWord, str]:
    if counted < _FEWEST:
        return "not testable", f"{counted} settings within reach with an effect that counts"
    if not abs(slope - 1) <= tolerance:
        return "disagrees", f"the slope is off by more than {tolerance:g}"
    if wrong:
        return "inconclusive", f"{wrong} of {counted} signs are wrong"
    return "agrees", f"the slope within {tolerance:g}, every sign right"


def removed_first_order(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the share of memory's effect that goes with the first-order law's term."""
    return _share(findings, claim, "cancelled_first_order")


def restored_first_order(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the share of memory's effect that comes with the first-order law's term."""
    return _share(findings, claim, "law_first_order")


def removed_resummed(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the share of memory's effect that goes with the resummed law's term."""
    return _share(findings, claim, "cancelled_resummed")


def restored_resummed(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read the share of memory's effect that comes with the resummed law's term."""
    return _share(findings, claim, "law_resummed")


def _share(findings: Findings, claim: ClaimSpec, memory: str) -> Reading:
    """Read a share over seeds; one near 1 says that the term is what memory does."""
    rows = pd.DataFrame((findings.cause or {}).get("rows", []))
    shares = shares_of_effect(rows, claim.of, memory) if len(rows) else pd.Series(dtype=float)
    estimate = mean_over_seeds(shares, findings.settings.level)
    verdict, reason = decide_within([estimate], _EXPLAINED, findings.settings.verdict)
    return Reading(
        estimate=estimate,
        statistic=claim.about.measures,
        interval=f"{findings.settings.level:.0%} of Student's t over seeds",
        claimed="all of it",
        found=f"{estimate.value:.0%} of it" if estimate.n else "no data",
        verdict=verdict,
        reason=reason,
    )


def shares_of_effect(rows: pd.DataFrame, grid: str, memory: str) -> pd.Series:
    """Return by seed which share of memory's effect on the norm a term takes away or brings.

    Over the decays of a seed by least squares through the origin: of what is left of the effect
    without the term, or there with the term alone, on the effect.

    Parameters
    ----------
    rows : DataFrame
        Of ``cause.json``.
    grid : str
        Which trainings.
    memory : str
        ``cancelled_...`` for the share taken away, ``law_...`` for the share brought.
    """
    chosen = rows[(rows["grid"] == grid) & (rows["memory"] == memory)]
    whole, found = chosen["memory_effect"].astype(float), chosen["effect"].astype(float)
    explained = whole - found if memory.startswith("cancelled") else found
    parts = pd.DataFrame({"of": explained * whole, "whole": whole**2, "seed": chosen["seed"]})
    sums = parts.groupby("seed").agg(_sum_of_all)
    shares: pd.Series = sums["of"] / sums["whole"]
    return shares


def _sum_of_all(values: pd.Series) -> float:
    """Sum without skipping a missing number: what diverged is not without an effect."""
    return float(values.sum(skipna=False))
