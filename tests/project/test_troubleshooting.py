"""Every symptom of docs/troubleshooting.md is a line that a program really prints."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
SCRIPTS = ("Makefile", "benchmarks/gpu.sh", "cluster/slurm.sh")
SHORTEST = 16
"""Letters of a message, without what varies, from which it is told from others."""
VARIES = "…"


def symptoms() -> list[str]:
    """Return the lines in the first column of the page's tables."""
    rows = re.findall(r"^\| `([^`]+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [row.strip() for row in rows]


@cache
def messages() -> list[str]:
    """Return the texts of the program, with a mark for what varies."""
    found: list[str] = []
    for folder in ("src", "pipeline"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            found += texts(ast.parse(path.read_text(encoding="utf-8")))
    found += [(ROOT / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return found


def texts(tree: ast.AST) -> Iterator[str]:
    """Yield every text constant and every f-string of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"%\(?\w*\)?[sdgf]", VARIES, node.value)
        elif isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else VARIES
                for part in node.values
            )


def parts(line: str) -> list[str]:
    """Return what stays of a line on the page, where something varies in between."""
    return [part for part in (piece.strip(" :'()") for piece in line.split(VARIES)) if part]


@pytest.mark.parametrize("line", symptoms())
def test_a_symptom_is_a_line_that_is_printed(line: str) -> None:
    fixed = parts(line)
    assert sum(map(len, fixed)) >= SHORTEST, "too little of it to be found by"
    # A line may be put together from two texts, as a key's error is: its longest part tells.
    longest = max(fixed, key=len)
    assert any(longest in text for text in messages()), f"nothing prints {longest!r}"


def test_the_page_has_cause_and_mend_for_each() -> None:
    rows = [
        row.strip("| \n").split(" | ")
        for row in PAGE.read_text(encoding="utf-8").splitlines()
        if row.startswith("| `")
    ]
    assert len(rows) == len(set(symptoms())) >= 15
    assert all(len(row) == 3 and all(row) for row in rows)


def test_what_no_program_prints_is_seen() -> None:
    assert not any("the moon is in the wrong quarter" in text for text in messages())
