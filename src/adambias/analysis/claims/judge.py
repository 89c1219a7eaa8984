"""Every claim with what was measured and a verdict, by the records of the claims.

A statistic is a function ``(findings, claim) -> Reading``, found by the name that
:data:`adambias.config.claims.STATISTICS` or the claim itself gives it.
"""

from __future__ import annotations

from collections.abc import Mapping

from adambias.analysis.claims.claim import Claim, Reading
from adambias.analysis.claims.findings import Findings
from adambias.config import ClaimSpec
from adambias.core.errors import ConfigError
from adambias.core.registry import Registry

_FUNCTIONS = Registry("statistic", "a Reading", {})
"""By their places alone, which :data:`adambias.config.claims.STATISTICS` or the claim gives."""


def judge(
    findings: Findings, claims: Mapping[str, ClaimSpec] | None = None, *, law: bool = True
) -> list[Claim]:
    """Return every claim judged, in the order of their records.

    Parameters
    ----------
    findings : Findings
        What they are judged on.
    claims : mapping of ClaimSpec, optional
        The claims by their keys; by default the paper's and those of the settings.
    law : bool
        Judge the claims about the law on small models too, not those about trainings alone.
    """
    claims = findings.settings.all_claims if claims is None else claims
    return [
        Claim.of_reading(key, spec, _read(key, spec, findings))
        for key, spec in claims.items()
        if law or spec.grids
    ]


def _read(key: str, spec: ClaimSpec, findings: Findings) -> Reading:
    try:
        return _FUNCTIONS.factory(spec.about.function)(findings, spec)
    except ConfigError as error:
        raise error.within(f"analyse.claims.{key}.") from None
