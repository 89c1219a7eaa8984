"""What the report begins with: findings in sentences, made from verdicts and numbers alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adambias.figures.report.rows import Row, estimate, number

OWN_GRIDS = "own_grids"
"""The figure of grids that no other figure is for."""
STEADY = 0.9
"""Rank correlation with an axis up to which a change is not called steady."""
Rows = Mapping[str, Row]
"""Claims with a number, by their keys."""

_NORMS = {
    "fig5_norm": "β₁",
    "fig4_norm": "β₂",
    "h_penalised": "h where β₁ ≥ β₂",
    "h_hindered": "h where β₁ < β₂",
}
_ACCURACIES = {"fig5_accuracy": "β₁", "fig4_accuracy": "β₂"}
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


@dataclass(frozen=True, kw_only=True)
class Finding:
    """An answer of the evidence, and the figure that shows it.

    Parameters
    ----------
    question : str
        What it answers, a heading.
    sentences : tuple of str
        The answer; none if there is no evidence on it.
    figure : str
        Name of the figure; empty if none shows it.
    """

    question: str
    sentences: tuple[str, ...]
    figure: str = ""


def findings(claims: Sequence[Row], figures: Sequence[Mapping[str, Any]] = ()) -> list[Finding]:
    """Return what the claims' verdicts say, the most telling first.

    Parameters
    ----------
    claims : sequence of Row
        Of ``claims.json``.
    figures : sequence of mapping
        Of ``figures.json``: what grids of one's own show is told by their figure's ``alt``.

    Returns
    -------
    list of Finding
        Those that there is evidence on: of one's own claims, of what is seen in trainings, of how
        much of it is the path's, of its cause, and of how far the laws reach.
    """
    rows = {claim["key"]: claim for claim in claims if claim["n"]}
    found = [
        ("What do grids of one's own show?", _of_own_grids(figures), OWN_GRIDS),
        ("What do the claims of this scale say?", _own(rows), ""),
        ("Does the norm of the gradient go as the paper says?", _seen(rows), "fig5"),
        ("Is it the path that the optimizer takes?", _of_the_path(rows), "hill"),
        ("Is the paper's penalty the cause?", _cause(rows), "cause"),
        ("How far do the laws reach?", _reach(rows), "reach"),
    ]
    every = (
        Finding(question=question, sentences=tuple(sentences), figure=figure)
        for question, sentences, figure in found
    )
    return [finding for finding in every if finding.sentences]


def _of_own_grids(figures: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for figure in figures:
        if figure["name"] == OWN_GRIDS:
            yield figure["alt"]


def _own(rows: Rows) -> Iterator[str]:
    for claim in rows.values():
        if claim["family"] == "own":
            yield f"{claim['sentence'].rstrip('.')}: {_told(claim)}."


def _seen(rows: Rows) -> Iterator[str]:
    norm = "the norm of the gradient at the same training loss, in powers of ten across the grid,"
    yield from _ways(norm, _pick(rows, _NORMS))
    yield from _ways("the test accuracy", _pick(rows, _ACCURACIES))


def _pick(rows: Rows, names: Mapping[str, str]) -> list[tuple[str, Row]]:
    return [(name, rows[key]) for key, name in names.items() if key in rows]


def _ways(subject: str, claims: Sequence[tuple[str, Row]]) -> Iterator[str]:
    """Yield which way something goes along each axis, what is open, and what cannot be told."""
    said = {"agrees": "as the paper says", "disagrees": "against the paper"}
    decided = [
        f"{claim['found']} with {axis}, {said[claim['verdict']]} ({_short(claim)}{_bent(claim)})"
        for axis, claim in claims
        if claim["verdict"] in said
    ]
    if decided:
        yield f"{subject[0].upper()}{subject[1:]} {_listed(decided)}."
    for verdict, words in {"inconclusive": "unresolved", "not testable": "not testable"}.items():
        rest = [f"{axis} ({_short(c)})" for axis, c in claims if c["verdict"] == verdict]
        if rest:
            does = "does" if len(rest) == 1 else "do"
            thing = "to it" if decided else f"to {subject}"
            yield f"What {_listed(rest)} {does} {thing} is {words}."


def _bent(claim: Row) -> str:
    """Give the rank correlation with the axis, within seeds, where a change is not steady."""
    rank = claim["rank_correlation"]
    steady = rank is None or abs(rank) > STEADY
    return "" if steady else f"; mean rank correlation within seeds {number(rank, 2)}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _of_the_path(rows: Rows) -> Iterator[str]:
    left = [
        f"{_short(smooth)} of {_short(rows[key])} with {axis}"
        for key, axis in (("fig5_norm", "β₁"), ("fig4_norm", "β₂"))
        if key in rows
        for smooth in (rows[key]["readings"].get("smooth"),)
        if smooth and smooth["value"] is not None
    ]
    if left:
        yield (
            "At the mean of the last 16 iterates, where an oscillation across the valley averages "
            f"out, this is left of the changes: {_listed(left)}."
        )
    if "hill_oscillation" in rows:
        yield (
            "Of the norm on its hill, the share that is oscillation about a smooth path is "
            f"{_told(rows['hill_oscillation'])}."
        )


def _cause(rows: Rows) -> Iterator[str]:
    places = [f"{estimate(claim)} {name}" for name, claim in _pick(rows, _PLACES)]
    if places:
        yield (
            "Taken out of an optimizer's steps, the first-order law's term takes this share of "
            f"memory's effect on a network's norm along: {'; '.join(places)}."
        )
    if rows.get("cause_outside", {}).get("verdict") == "disagrees":
        yield (
            "So what β₁ and β₂ do to the norm in the sweeps is not to be put down to equation 2.5, "
            "whichever way it goes."
        )


def _reach(rows: Rows) -> Iterator[str]:
    laws = [f"{_told(claim, why=False)} by {name}" for name, claim in _pick(rows, _LAWS)]
    if laws:
        yield (
            "The paper's penalty and its sign, equation 2.5, are the first-order law for large n. "
            "What memory does to a network's norm within a few steps, where the gradient changes "
            "little over the time that a law looks back, is predicted with this slope, 1 if all of "
            f"it: {'; '.join(laws)}."
        )


def of_the_edge(claims: Iterable[Row]) -> Iterator[str]:
    """Yield sentences on the edge of stability; none without its results."""
    rows = {claim["key"]: claim for claim in claims if claim["n"]}
    if "edge_rules" in rows:
        yield (
            "Full-batch training is known to raise the curvature that an optimizer sees to its "
            "threshold of stability and to keep it there. On a small smooth network, curvature "
            f"over threshold is then {_told(rows['edge_rules'])}, a median over time."
        )
    if "edge_sweeps" in rows:
        yield f"On the networks of the sweeps it is {_told(rows['edge_sweeps'])}."
    if "beta1_before_edge" in rows:
        claim = rows["beta1_before_edge"]
        after = claim["readings"]["after_edge"]
        yield (
            "At equal progress β₁ changes the norm, in powers of ten, by "
            f"{_told(claim)} before any training comes to the threshold, where the edge cannot "
            f"act, and by {_told(after)} afterwards."
        )


def _short(claim: Row) -> str:
    """Return an estimate short enough to be read in a sentence."""
    return estimate(claim, digits=2)


def _told(claim: Row, *, why: bool = True) -> str:
    """Return a number with its verdict, and the reason where there is none to be had."""
    reason = f": {claim['reason']}" if why and claim["verdict"] == "not testable" else ""
    return f"{estimate(claim)} ({claim['verdict']}{reason})"
