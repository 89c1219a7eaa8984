"""What the report says of this project's own claims, from their verdicts alone."""

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


def of_the_edge(claims: Sequence[Row]) -> Iterator[str]:
    """Yield sentences on the edge of stability and the hill; none without their results."""
    rows = {claim["key"]: claim for claim in claims if claim["n"]}
    if "edge_rules" in rows:
        yield (
            "Full-batch training is known to raise the curvature that an optimizer sees to its "
            "threshold of stability and to keep it there. On a small smooth network, curvature "
            f"over threshold is then {_verdict(rows['edge_rules'])}, a median over time."
        )
    if "edge_sweeps" in rows:
        yield f"On the networks of the sweeps it is {_told(rows['edge_sweeps'])}."
    if "hill_oscillation" in rows:
        yield (
            "Of the norm on its hill, the share that is oscillation about a smooth path is "
            f"{_told(rows['hill_oscillation'])}."
        )
    if "beta1_before_edge" in rows:
        claim = rows["beta1_before_edge"]
        after = claim["readings"]["after_edge"]
        yield (
            "At equal progress beta1 changes the norm, in powers of ten, by "
            f"{_told(claim)} before any training comes to the threshold, where the edge cannot "
            f"act, and by {_told(after)} afterwards."
        )


def _told(claim: Row) -> str:
    """Return a number with its verdict, and the reason where there is none to be had."""
    reason = f": {claim['reason']}" if claim["verdict"] == "not testable" else ""
    return f"{estimate(claim)} ({claim['verdict']}{reason})"


def _verdict(claim: Row) -> str:
    return f"{estimate(claim)} ({claim['verdict']})"
