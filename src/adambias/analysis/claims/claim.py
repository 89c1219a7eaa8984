"""What a claim of the paper is, and what was found about it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adambias.analysis.trends import VERDICTS, Estimate, VerdictWord
from adambias.config import ClaimSpec
from adambias.config.claims import family


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
    detail : str
        What else there is to say of the number.
    verdict : {"agrees", "disagrees", "inconclusive", "not testable"}
        Of this number alone.
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
    detail: str = ""
    verdict: VerdictWord
    reason: str

    def as_row(self) -> dict[str, Any]:
        """Return the reading as plain values, None for a number that is absent."""
        values = vars(self) | vars(self.estimate)
        del values["estimate"]
        if self.planned is None:
            values["used"] = None
        return {name: _plain(value) for name, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of the paper, and what this scale says to it.

    Parameters
    ----------
    key : str
        Short name, the key in ``metrics.json``.
    spec : ClaimSpec
        Its record.
    reading : Reading
        What its statistic says, which decides.
    beside : dict of Reading
        Its other readings, by the names of their statistics.
    p_corrected : float
        The deciding number's p-value after Holm's procedure over all claims about trainings; NaN
        for a claim about the law.
    verdict : {"agrees", "disagrees", "inconclusive", "not testable"}
        That of the deciding reading, after the correction.
    reason : str
        Which part of the rule gave the verdict.
    """

    key: str
    spec: ClaimSpec
    reading: Reading
    beside: dict[str, Reading] = field(default_factory=dict)
    p_corrected: float = math.nan
    verdict: VerdictWord
    reason: str

    def as_row(self) -> dict[str, Any]:
        """Return the claim as plain values, None for a number that is absent.

        The deciding reading's values stand beside the claim's own; its verdict is
        ``raw_verdict``. Numbers are rounded to eight digits, which read and compare better.
        """
        spec, read = self.spec, self.reading.as_row()
        return {
            "key": self.key,
            "source": spec.source,
            "sentence": spec.sentence,
            "trained": bool(spec.grids),
            "family": family(self.key),
            "decided_by": spec.statistic,
            "name": spec.about.name,
            **read,
            "raw_verdict": self.reading.verdict,
            "p_corrected": _plain(self.p_corrected),
            "verdict": self.verdict,
            "reason": self.reason,
            "readings": {
                name: {"name": spec.reading(name).about.name, **reading.as_row()}
                for name, reading in self.beside.items()
            },
        }


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: numbers with eight digits, None for one that is absent."""
    if isinstance(value, tuple):
        return list(value)
    if not isinstance(value, float):
        return value
    return float(f"{value:.8g}") if math.isfinite(value) else None


Row = Mapping[str, Any]
"""A claim of ``claims.json``, or one of its readings."""


def by_kind(claims: Iterable[Row]) -> dict[str, list[Row]]:
    """Return the claims on trainings, the paper's and this project's, and the checks of the laws.

    They are never counted together: a check of a law is no evidence on trainings. One's own claims
    stand beside the paper's.
    """
    kinds: dict[str, list[Row]] = {"trained": [], "project": [], "computed": []}
    for claim in claims:
        on_trainings = "project" if claim["family"] == "project" else "trained"
        kinds[on_trainings if claim["trained"] else "computed"].append(claim)
    return kinds


def count_verdicts(claims: Iterable[Row]) -> dict[str, int]:
    """Return how many claims of one kind got each verdict."""
    verdicts = [claim["verdict"] for claim in claims]
    return {word: verdicts.count(word) for word in VERDICTS}
