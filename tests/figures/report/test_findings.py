"""What the report's sentences say, and that they say no more than the verdicts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from adambias.figures.report import rows
from adambias.figures.report.findings import findings

ROOT = Path(__file__).parents[3]
KEPT = ("results/claims.json", *(f"results/{s}/tables/claims.json" for s in ("cifar10",)))


def claims(path: str = KEPT[0]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((ROOT / path).read_text(encoding="utf-8"))
    return found


def said(changed: dict[str, dict[str, Any]]) -> str:
    """Return all sentences on the kept claims of which some are changed."""
    every = [claim | changed.get(claim["key"], {}) for claim in claims()]
    return " ".join(sentence for each in findings(every) for sentence in each.sentences)


@pytest.mark.parametrize("path", KEPT)
def test_every_number_is_one_of_the_claims(path: str) -> None:
    numbers = {
        rows.number(row[name], digits)
        for claim in claims(path)
        for row in (claim, *claim["readings"].values())
        for name in ("value", "low", "high")
        for digits in (2, 3)
    }
    for finding in findings(claims(path)):
        for sentence in finding.sentences:
            for low, high in re.findall(r"\[([−\d.e]+), ([−\d.e]+)\]", sentence):
                assert {low, high} <= numbers


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("agrees", "falls with β₁, as the paper says (−0.29 [−0.38, −0.2])"),
        ("disagrees", "falls with β₁, against the paper (−0.29 [−0.38, −0.2])"),
        ("inconclusive", "What β₁ (−0.29 [−0.38, −0.2]) does to it is unresolved."),
        ("not testable", "What β₁ (−0.29 [−0.38, −0.2]) does to it is not testable."),
    ],
)
def test_a_verdict_is_what_the_sentence_says(verdict: str, words: str) -> None:
    others = {key: {"verdict": "agrees"} for key in ("fig4_norm", "h_penalised", "h_hindered")}
    number = {"value": -0.29, "low": -0.38, "high": -0.2, "found": "falls", "verdict": verdict}
    assert words in said(others | {"fig5_norm": number})


def test_the_penalty_is_not_cleared_of_being_the_cause_where_the_share_is_open() -> None:
    sentence = "is not to be put down to equation 2.5"
    assert sentence in said({"cause_outside": {"verdict": "disagrees"}})
    for verdict in ("agrees", "inconclusive", "not testable"):
        assert sentence not in said({"cause_outside": {"verdict": verdict}})


def test_a_claim_of_ones_own_is_a_finding() -> None:
    own = claims()[0] | {"key": "mine", "family": "own", "sentence": "Width helps.", "n": 3}
    first, *_ = findings([own])
    assert first.sentences == (f"Width helps: {rows.estimate(own)} ({own['verdict']}).",)


def test_without_numbers_nothing_is_found() -> None:
    assert findings([claim | {"n": 0} for claim in claims()]) == []
