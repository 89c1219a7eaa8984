"""Claims on small models: the theorem's order, Table 1, and figures 2 and 3.

Nothing is sampled here, so nothing has a confidence interval: the range is that of the cases
computed. An order agrees if every case does, and disagrees if the median case is off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from adambias.analysis.claims.claim import Claim
from adambias.analysis.trends import VerdictWord, rank_correlation
from adambias.config import Verdict

_RANGE = "range of the cases computed"
_THEOREM_RULES = ("adam", "adam_outside", "rmsprop")
"""Labels of the rules that theorem 3.1 is about; AdamW decays its weights, which it leaves out."""


def bilinear_claims(
    bilinear: Mapping[str, Any] | None, table1: Sequence[Mapping[str, Any]] | None, rule: Verdict
) -> list[Claim]:
    """Return the claims on small models, inconclusive where a table is absent.

    Parameters
    ----------
    bilinear : mapping or None
        Content of ``bilinear.json``: ``orders`` and ``arrivals`` are used.
    table1 : list of mapping or None
        Content of ``table1.json``, one entry per cell.
    rule : Verdict
        Tolerances.
    """
    known = bilinear or {}
    orders = pd.DataFrame(known.get("orders", []), columns=["rule", "leading_order", "modified"])
    of_paper = orders[orders["rule"].isin(_THEOREM_RULES)]
    return [
        _order_claim(of_paper["modified"], 2.0, rule),
        _order_claim(of_paper["leading_order"], 1.0, rule),
        *_table1_claims(pd.DataFrame(table1 or [])),
        *_fan_claims(pd.DataFrame(known.get("arrivals", [])), rule),
    ]


def _order_claim(orders: pd.Series, expected: float, rule: Verdict) -> Claim:
    """Judge an order of convergence; the theorem bounds the error, so more than 2 is as good."""
    found = orders.dropna().to_numpy(dtype=float)
    off = np.maximum(expected - found, 0) if expected == 2 else np.abs(found - expected)
    verdict, reason = _all_or_median(off, rule.order_tolerance)
    modified = expected == 2
    return Claim(
        key="theorem_modified" if modified else "theorem_leading",
        source="theorem 3.1, equation 2.2" if modified else "section 1, Ma et al. (2022)",
        sentence=(
            "Adam stays within O(h²) of its modified flow."
            if modified
            else "Adam stays within O(h) of the leading-order flow, and no closer."
        ),
        claimed=f"order {expected:g}",
        statistic="slope of log error against log h, median over rules and losses",
        value=float(np.median(found)) if found.size else math.nan,
        low=float(found.min()) if found.size else math.nan,
        high=float(found.max()) if found.size else math.nan,
        interval=_RANGE,
        n=found.size,
        of="cases",
        found=f"order {np.median(found):.2f}" if found.size else "no data",
        verdict=verdict,
        reason=reason,
    )


def _all_or_median(off: np.ndarray, tolerance: float) -> tuple[VerdictWord, str]:
    if off.size == 0:
        return "inconclusive", "bilinear.json is missing or empty"
    if (off <= tolerance).all():
        return "agrees", f"every case within {tolerance:g}"
    if np.median(off) > tolerance:
        return "disagrees", f"the median case is off by more than {tolerance:g}"
    return "inconclusive", f"{int((off > tolerance).sum())} of {off.size} cases off"


_TABLE1 = (
    ("table1_small_above", "small", True, "one_norm", "Where ε is small and β ≥ ρ, the one-norm"),
    (
        "table1_small_below",
        "small",
        False,
        "-one_norm",
        "Where ε is small and ρ > β, minus the norm",
    ),
    ("table1_large", "large", None, "squared_two_norm", "Where ε is large, the squared two-norm"),
)


def _table1_claims(cells: pd.DataFrame) -> list[Claim]:
    return [_table1_claim(cells, *row) for row in _TABLE1]


def _table1_claim(
    cells: pd.DataFrame, key: str, size: str, above: bool | None, expected: str, words: str
) -> Claim:
    """Judge cells of Table 1 by the norm whose gradient the bias is parallel to."""
    if len(cells):
        cells = cells[cells["epsilon"] == size]
        if above is not None:
            cells = cells[(cells["beta1"] >= cells["beta2"]) == above]
    norm = expected.removeprefix("-")
    cosines = np.array([c[norm]["cosine"] for c in cells["candidates"]] if len(cells) else [])
    matches = (cells["penalised"] == expected).sum() if len(cells) else 0
    verdict, reason = _count(int(matches), len(cells))
    seen = sorted(set(cells["penalised"])) if len(cells) else []
    return Claim(
        key=key,
        source="Table 1, equations 2.5 and 2.7",
        sentence=f"{words} of the gradient is penalised.",
        claimed=_in_words(expected),
        statistic=f"cosine of the bias and the gradient of the {_in_words(norm)}, median",
        value=float(np.median(cosines)) if cosines.size else math.nan,
        low=float(cosines.min()) if cosines.size else math.nan,
        high=float(cosines.max()) if cosines.size else math.nan,
        interval=_RANGE,
        n=len(cells),
        of="pairs of decays",
        found=" and ".join(map(_in_words, seen)) or "no data",
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


_FANS = (
    ("fig2_beta1", "figure 2, section 5", "beta1", None, -1, "Raising beta1 leads to"),
    ("fig2_beta2", "figure 2, section 5", "beta2", None, 1, "Raising beta2 leads away from"),
    ("fig3_above", "figure 3, section 5", "h", True, -1, "With beta1 > beta2, raising h leads to"),
    (
        *("fig3_below", "figure 3, section 5", "h", False, 1),
        "With beta2 > beta1, raising h leads away from",
    ),
)


def _fan_claims(arrivals: pd.DataFrame, rule: Verdict) -> list[Claim]:
    varied = {}
    for _, panel in arrivals.groupby("panel", sort=False) if len(arrivals) else ():
        axes = [name for name in ("beta1", "beta2", "h") if panel[name].nunique() > 1]
        above = bool((panel["beta1"] > panel["beta2"]).all()) if axes == ["h"] else None
        varied[(axes[0] if len(axes) == 1 else "", above)] = panel
    return [
        _fan_claim(varied.get((axis, above)), key, source, axis, side, words, rule)
        for key, source, axis, above, side, words in _FANS
    ]


def _fan_claim(
    panel: pd.DataFrame | None,
    key: str,
    source: str,
    axis: str,
    side: int,
    words: str,
    rule: Verdict,
) -> Claim:
    """Judge how the norm around the minimum where Adam arrives changes along a fan."""
    known = panel.dropna(subset=[axis, "norm_factor"]) if panel is not None else pd.DataFrame()
    rank = rank_correlation(known[axis], known["norm_factor"]) if len(known) > 2 else math.nan
    verdict, reason = _by_rank(rank, side, rule.rank_correlation)
    directions = {1: "rises", -1: "falls", 0: "level"}
    return Claim(
        key=key,
        source=source,
        sentence=f"{words} the region with a smaller norm (bilinear model).",
        claimed=directions[side],
        statistic="rank correlation of the norm per unit of distance where Adam arrives",
        value=rank,
        low=math.nan,
        high=math.nan,
        interval="none, nothing is sampled",
        n=len(known),
        of="trajectories",
        rank_correlation=rank,
        found=directions[int(np.sign(rank))] if math.isfinite(rank) else "no data",
        verdict=verdict,
        reason=reason,
    )


def _by_rank(rank: float, side: int, least: float) -> tuple[VerdictWord, str]:
    if not math.isfinite(rank):
        return "inconclusive", "fewer than three trajectories"
    if abs(rank) < least:
        return "inconclusive", f"rank correlation smaller than {least:g}"
    if np.sign(rank) == side:
        return "agrees", f"rank correlation of at least {least:g} on the claimed side"
    return "disagrees", f"rank correlation of at least {least:g} on the other side"
