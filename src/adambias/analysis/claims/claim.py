"""What a claim of the paper is, and what was found about it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from adambias.analysis.trends import Estimate, VerdictWord
from adambias.config import ClaimSpec


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a statistic reads off the findings about a claim.

    Parameters
    ----------
    estimate : Estimate
        The number with its interval; ``n`` counts what ``of`` says.
    statistic : str
        What the number is, and its unit.
    interval : str
        What the interval is.
    of : str
        Independent observations: ``seeds``, or what else was counted.
    planned : int or None
        Trials that the grids have for it; None where there are none.
    claimed, found : str
        The direction that is claimed and the one found, in a word or two.
    verdict : {"agrees", "disagrees", "inconclusive"}
    reason : str
        Which part of the rule gave the verdict.
    """

    estimate: Estimate
    statistic: str
    interval: str
    of: str = "seeds"
    planned: int | None = None
    claimed: str
    found: str
    verdict: VerdictWord
    reason: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of the paper, and what this scale says to it.

    Parameters
    ----------
    key : str
        Short name, the key in ``metrics.json``.
    source : str
        Where the paper says it.
    sentence : str
        What it says.
    claimed : str
        The direction that the source claims, in a word or two.
    statistic : str
        What ``value`` is, and its unit.
    value, low, high : float
        The estimate and its interval; NaN where there is none.
    interval : str
        What the interval is.
    n : int
        Number of independent observations, which are ``of``.
    of : str
        ``seeds``, or what else was counted.
    used, planned : int or None
        Trials behind the estimate, and trials that the grid has for it; None where there are none.
    rank_correlation : float
        Mean rank correlation within seeds, where the claim is of a trend.
    found : str
        The direction found, in a word or two.
    verdict : {"agrees", "disagrees", "inconclusive"}
    reason : str
        Which part of the rule gave the verdict.
    """

    key: str
    source: str
    sentence: str
    claimed: str
    statistic: str
    value: float
    low: float
    high: float
    interval: str
    n: int
    of: str = "seeds"
    used: int | None = None
    planned: int | None = None
    rank_correlation: float = math.nan
    found: str
    verdict: VerdictWord
    reason: str

    @classmethod
    def of_reading(cls, key: str, spec: ClaimSpec, reading: Reading) -> Claim:
        """Put a claim's record and what was read about it together."""
        words = {name: value for name, value in vars(reading).items() if name != "estimate"}
        numbers = vars(reading.estimate)
        if reading.planned is None:
            numbers = numbers | {"used": None}
        return cls(key=key, source=spec.source, sentence=spec.sentence, **words, **numbers)

    def as_row(self) -> dict[str, Any]:
        """Return the claim as plain values, None for a number that is absent.

        Numbers are rounded to eight digits, which read and compare better.
        """
        return {name: _plain(value) for name, value in dataclasses.asdict(self).items()}


def _plain(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.8g}") if math.isfinite(value) else None
