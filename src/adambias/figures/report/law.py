"""What the report says first: how far the laws reach, from their verdicts alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from adambias.figures.report.rows import Row, estimate

FIGURE = "reach"
"""The figure that stands beside it."""
_LAWS = {
    "reach_first_order": "the first-order law",
    "reach_resummed": "the law with resummed memory",
    "reach_moment": "the moment flow",
}
_PLACES = {
    "cause_inside": "well within its reach",
    "cause_edge": "at the edge of it",
    "cause_outside": "on the network of the sweeps, at their h and ε",
}


def sentences(claims: Sequence[Row]) -> Iterator[str]:
    """Yield sentences on the reach of the laws and on cause; none without their results."""
    rows = {claim["key"]: claim for claim in claims if claim["n"]}
    laws = [f"{name} {_verdict(rows[key])}" for key, name in _LAWS.items() if key in rows]
    if laws:
        yield (
            "The paper's penalty and its sign, equation 2.5, are the first-order law for large n. "
            "Of what memory does to a network's norm within a few steps, where the gradient "
            f"changes little over the time that a law looks back, {'; '.join(laws)} (slope of "
            "predicted on measured)."
        )
    places = [f"{_verdict(rows[key])} {name}" for key, name in _PLACES.items() if key in rows]
    if places:
        yield (
            "Taken out of an optimizer's steps, the first-order law's term takes this share of "
            f"memory's effect along: {'; '.join(places)}."
        )
    if rows.get("cause_outside", {}).get("verdict") == "disagrees":
        yield (
            "So what β₁ and β₂ do to the norm in the sweeps is not to be put down to equation 2.5, "
            "whichever way it goes."
        )


def _verdict(claim: Row) -> str:
    return f"{estimate(claim)} ({claim['verdict']})"
