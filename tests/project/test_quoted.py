"""Every number and verdict that README and docs quote of the claims is that of ``metrics.json``.

A quotation stands between marks that say what it is of:

``<!--laptop fig5_norm-->−0.31 [−0.35, −0.27]<!---->``
    the estimate and interval of a claim; ``fig5_norm.peak`` is a reading beside it.
``<!--laptop fig5_norm verdict-->agrees<!---->``
    its verdict; any other field of ``metrics.json`` in place of it.
``<!--laptop trained agrees-->3<!---->``
    how many claims on trainings have a verdict.
``<!-- readings laptop -->`` … ``<!-- end -->``
    the table of all claims on trainings with their readings.

After new results: ``python tests/project/test_quoted.py`` writes them.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from adambias.analysis.trends import VERDICTS, spans
from adambias.config.claims import CLAIMS
from adambias.core.files import markdown_table

ROOT = Path(__file__).parents[2]
NAMES = ("figures", "cifar10", "theory", "index", "findings", "beyond")
PAGES = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in NAMES)]
METRICS = {
    "laptop": ROOT / "results" / "metrics.json",
    "cifar10": ROOT / "results" / "cifar10" / "tables" / "metrics.json",
    "cifar10_range": ROOT / "results" / "cifar10_range" / "tables" / "metrics.json",
}
QUOTE = re.compile(r"(<!--(\w+) ([\w.]+)(?: (\w[\w ]*))?-->)(.*?)(<!---->)", re.DOTALL)
TABLE = re.compile(r"(<!-- readings (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
INTERVAL = re.compile(r"\[[−-]?\d*\.\d+, [−-]?\d*\.\d+\]")


@cache
def metrics(scale: str) -> dict[str, Any]:
    return json.loads(METRICS[scale].read_text(encoding="utf-8"))


def number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def estimate(claim: dict[str, Any]) -> str:
    digits = 3 if abs(claim.get("value") or 1.0) < 0.1 else 2
    bounds = [number(claim.get(name), digits) for name in ("low", "high")]
    return f"{number(claim.get('value'), digits)} [{', '.join(bounds)}]"


def quoted(scale: str, key: str, field: str) -> str:
    """Return what a quotation must say."""
    if key in ("trained", "project", "computed"):
        return str(metrics(scale)["verdicts"][key][field])
    claim, _, reading = key.partition(".")
    found = metrics(scale)["claims"][claim]
    found = found["readings"][reading] if reading else found
    if field == "seeds":
        return spans(found["seeds"])
    return str(found[field]) if field else estimate(found)


def readings(scale: str) -> str:
    """Return the table of the claims on trainings."""
    rows = []
    for key, spec in CLAIMS.items():
        claim = metrics(scale)["claims"].get(key)
        if not spec.grids or claim is None:  # this project's own are of some scales alone
            continue
        used = f"{claim['n']} ({spans(claim['seeds'])})" if claim.get("seeds") else "0"
        rows.append(
            [
                *(f"`{key}`", f"{spec.about.name or spec.statistic} (decides)", claim["claimed"]),
                *(estimate(claim), used, claim["raw_verdict"], f"**{claim['verdict']}**"),
            ]
        )
        for name, reading in claim.get("readings", {}).items():
            words = spec.reading(name)
            used = f"{reading['n']} ({spans(reading['seeds'])})" if reading.get("seeds") else "0"
            verdict = reading["verdict"]
            rows.append(
                ["", words.about.name, reading["claimed"], estimate(reading), used, verdict, ""]
            )
    heads = ["claim", "reading", "claimed", "estimate", "seeds", "alone", "verdict"]
    return markdown_table(heads, rows)


def written(text: str) -> str:
    """Return a page with every quotation as it must be."""
    text = QUOTE.sub(lambda m: f"{m[1]}{quoted(m[2], m[3], m[4] or '')}{m[6]}", text)
    return TABLE.sub(lambda m: f"{m[1]}{readings(m[2])}{m[4]}", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_says_what_was_measured(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert written(text) == text


def unmarked(page: Path) -> str:
    """Return what a page says itself: without quotations and blocks of code."""
    text = TABLE.sub("", QUOTE.sub("", page.read_text(encoding="utf-8")))
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_interval_is_quoted_without_its_mark(page: Path) -> None:
    assert INTERVAL.findall(unmarked(page)) == []


@pytest.mark.parametrize("page", [PAGES[0], PAGES[2], *PAGES[4:]], ids=lambda page: page.name)
def test_no_verdict_is_quoted_without_its_mark(page: Path) -> None:
    """In italics a page explains the words; anywhere else they are about a claim."""
    words = "|".join(VERDICTS)

    assert re.findall(rf"(?<![*\w])(?:{words})(?![*\w])", unmarked(page)) == []


@pytest.mark.parametrize("scale", METRICS)
def test_a_page_has_the_table_of_the_scale(scale: str) -> None:
    assert any(f"<!-- readings {scale} -->" in page.read_text("utf-8") for page in PAGES)


def test_a_wrong_number_or_verdict_would_be_seen() -> None:
    right = "<!--laptop fig5_norm-->?<!----> <!--laptop trained agrees-->?<!---->"
    right = written(right + " <!--laptop fig5_norm verdict-->?<!---->")

    assert "?" not in right
    assert written(right.replace("[", "[9")) == right
    assert any(word in right for word in VERDICTS)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")
