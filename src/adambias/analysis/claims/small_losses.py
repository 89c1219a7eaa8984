"""Statistics of small models: the orders of the laws, Table 1, the fans of figures 2 and 3.

Nothing is sampled here, so nothing has a confidence interval: the range is that of the cases
computed. An order agrees if every case does, and disagrees if the median case is off.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adambias.analysis.claims.claim import Reading
from adambias.analysis.claims.findings import Findings
from adambias.analysis.trends import Estimate, VerdictWord, rank_correlation
from adambias.config import ClaimSpec

_RANGE = "range of the cases computed"
_THEOREM_RULES = ("adam", "adam_outside", "rmsprop")
"""Labels of the rules that theorem 3.1 is about; AdamW decays its weights, which it leaves out."""
_ORDERS = {"leading_order": 1.0, "modified": 2.0, "resummed": 2.0, "moment": 2.0}
"""Order of convergence that the theory says of each flow."""


def order(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read a flow's orders at fixed decays, over the losses and the theorem's rules."""
    return _read_orders(findings, claim, "orders")


def growing_order(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read a flow's orders while memory grows to a fixed time, over the losses."""
    return _read_orders(findings, claim, "growing_memory")


def _read_orders(findings: Findings, claim: ClaimSpec, entry: str) -> Reading:
    """Read a flow's orders; the laws bound the error, so more than 2 is as good."""
    known = (findings.bilinear or {}).get(entry, [])
    orders = pd.DataFrame(known, columns=["rule", *_ORDERS])
    of_paper = orders[orders["rule"].isin(_THEOREM_RULES)]
    found, expected = of_paper[claim.of].dropna().to_numpy(dtype=float), _ORDERS[claim.of]
    off = np.maximum(expected - found, 0) if expected == 2 else np.abs(found - expected)
    verdict, reason = _all_or_median(off, claim.least(findings.settings.verdict))
    return Reading(
        estimate=_median(found, found.size),
        statistic=claim.about.measures,
        interval=_RANGE,
        of="cases",
        claimed=f"order {expected:g}",
        found=f"order {np.median(found):.2f}" if found.size else "no data",
        verdict=verdict,
        reason=reason,
    )


def _median(found: NDArray[np.float64], n: int) -> Estimate:
    """Return the median of the cases computed, with their range."""
    if not found.size:
        return Estimate(value=math.nan, low=math.nan, high=math.nan, n=n)
    low, high = float(found.min()), float(found.max())
    return Estimate(value=float(np.median(found)), low=low, high=high, n=n)


def _all_or_median(off: NDArray[np.float64], tolerance: float) -> tuple[VerdictWord, str]:
    if off.size == 0:
        return "inconclusive", "bilinear.json is missing or empty"
    if (off <= tolerance).all():
        return "agrees", f"every case within {tolerance:g}"
    if np.median(off) > tolerance:
        return "disagrees", f"the median case is off by more than {tolerance:g}"
    return "inconclusive", f"{int((off > tolerance).sum())} of {off.size} cases off"


def penalised(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read off cells of Table 1 which norm it is whose gradient the bias is parallel to."""
    cells = pd.DataFrame(findings.table1 or [])
    expected = claim.of if claim.side > 0 else f"-{claim.of}"
    seen: list[str] = []
    cosines = np.array([])
    if len(cells):
        cells = claim.select(cells)
        cosines = np.array([candidates[claim.of]["cosine"] for candidates in cells["candidates"]])
        seen = list(cells["penalised"])
    verdict, reason = _count(seen.count(expected), len(cells))
    return Reading(
        estimate=_median(cosines, len(cells)),
        statistic=claim.about.measures.format(of=_in_words(claim.of)),
        interval=_RANGE,
        of="pairs of decays",
        claimed=_in_words(expected),
        found=" and ".join(map(_in_words, sorted(set(seen)))) or "no data",
        verdict=verdict,
        reason=reason,
    )


def _in_words(norm: str) -> str:
    """Return ``minus the one-norm`` for ``-one_norm``."""
    words = norm.removeprefix("-").replace("_norm", "-norm").replace("_", " ")
    return f"minus the {words}" if norm.startswith("-") else words


def _count(matches: int, cells: int) -> tuple[VerdictWord, str]:
    if cells == 0:
        return "inconclusive", "table1.json is missing or has no such cell"
    if matches == cells:
        return "agrees", "in every cell computed"
    return ("disagrees", "in no cell") if matches == 0 else ("inconclusive", "in some cells")


def fan(findings: Findings, claim: ClaimSpec) -> Reading:
    """Read how the norm around the minimum where Adam arrives changes along a fan."""
    panel, axis = _panel(findings, claim), claim.axis
    known = panel.dropna(subset=[axis, "norm_factor"]) if panel is not None else pd.DataFrame()
    rank = rank_correlation(known[axis], known["norm_factor"]) if len(known) > 2 else math.nan
    least = claim.least(findings.settings.verdict)
    verdict, reason = _by_rank(rank, claim.side, least)
    none = math.nan
    return Reading(
        estimate=Estimate(value=rank, low=none, high=none, n=len(known), rank_correlation=rank),
        statistic=claim.about.measures,
        interval="none, nothing is sampled",
        of="trajectories",
        claimed=claim.direction(claim.side),
        found=claim.direction(rank),
        verdict=verdict,
        reason=reason,
    )


def _panel(findings: Findings, claim: ClaimSpec) -> pd.DataFrame | None:
    """Return the panel along which the claim's axis alone varies, and of which ``where`` holds."""
    arrivals = pd.DataFrame((findings.bilinear or {}).get("arrivals", []))
    found = None
    for _, panel in arrivals.groupby("panel", sort=False) if len(arrivals) else ():
        varied = [name for name in ("beta1", "beta2", "h") if panel[name].nunique() > 1]
        if varied == [claim.axis] and len(claim.select(panel)) == len(panel):
            found = panel
    return found


def _by_rank(rank: float, side: int, least: float) -> tuple[VerdictWord, str]:
    if not math.isfinite(rank):
        return "inconclusive", "fewer than three trajectories"
    if abs(rank) < least:
        return "inconclusive", f"rank correlation smaller than {least:g}"
    if np.sign(rank) == side:
        return "agrees", f"rank correlation of at least {least:g} on the claimed side"
    return "disagrees", f"rank correlation of at least {least:g} on the other side"
