"""Every claim with what was measured and a verdict, by the records of the claims.

A statistic is a function ``(findings, claim) -> Reading``, found by the name that
:data:`adambias.config.claims.STATISTICS` or the claim itself gives it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from adambias.analysis.claims.claim import Claim, Reading
from adambias.analysis.claims.findings import Findings
from adambias.analysis.trends import corrected
from adambias.config import ClaimSpec
from adambias.config.claims import FAMILIES, family
from adambias.core.errors import ConfigError
from adambias.core.registry import Registry

_FUNCTIONS = Registry("statistic", "a Reading", {})
"""By their places alone, which :data:`adambias.config.claims.STATISTICS` or the claim gives."""


def judge(
    findings: Findings, claims: Mapping[str, ClaimSpec] | None = None, *, law: bool = True
) -> list[Claim]:
    """Return every claim judged, in the order of their records.

    The paper's claims about trainings are one family, this project's another, those of one's own a
    third: the verdict of each is kept as it is alone, and stands only if it does after Holm's
    procedure over its family. Claims without a trial, as of a grid that a scale does not have,
    are no part of it.

    Parameters
    ----------
    findings : Findings
        What they are judged on.
    claims : mapping of ClaimSpec, optional
        The claims by their keys; by default the paper's and those of the settings.
    law : bool
        Judge the claims about the laws too, not those about trainings alone.
    """
    claims = findings.settings.all_claims if claims is None else claims
    judged = {key: spec for key, spec in claims.items() if law or spec.grids}
    readings = {key: _read(key, spec, findings) for key, spec in judged.items()}
    # This project's own are nothing to a scale without trainings for them.
    judged = {k: s for k, s in judged.items() if family(k) != "project" or readings[k].planned != 0}
    trained = [key for key, spec in judged.items() if spec.grids and readings[key].planned]
    after: dict[str, float] = {}
    for members in ([k for k in trained if family(k) == each] for each in FAMILIES):
        p_values = corrected([_p_value(readings[key]) for key in members])
        after |= dict(zip(members, p_values, strict=True))
    return [
        _decided(key, spec, findings, readings[key], after.get(key, math.nan))
        for key, spec in judged.items()
    ]


def _p_value(reading: Reading) -> float:
    """Return a reading's p-value; 1 where the claim cannot be decided whatever it is."""
    undecidable = reading.verdict == "not testable" or not math.isfinite(reading.estimate.p)
    return 1.0 if undecidable else reading.estimate.p


def _decided(
    key: str, spec: ClaimSpec, findings: Findings, reading: Reading, after: float
) -> Claim:
    """Return the claim with its other readings, and the verdict that stands after correction."""
    verdict, reason = reading.verdict, reading.reason
    if verdict in ("agrees", "disagrees") and after > 1 - findings.settings.level:
        reason = f"{verdict} alone, but not among all claims (Holm's p = {after:.2g})"
        verdict = "inconclusive"
    if len(devices := findings.devices(spec)) > 1:
        # Another device rounds otherwise, as another processor does: it is said, not hidden.
        reason = f"{reason}; trained on {' and '.join(devices)}"
    return Claim(
        key=key,
        spec=spec,
        reading=reading,
        beside={name: _read(key, spec.reading(name), findings) for name in spec.readings},
        p_corrected=after,
        verdict=verdict,
        reason=reason,
    )


def _read(key: str, spec: ClaimSpec, findings: Findings) -> Reading:
    try:
        return _FUNCTIONS.factory(spec.about.function)(findings, spec)
    except ConfigError as error:
        raise error.within(f"analyse.claims.{key}.") from None
