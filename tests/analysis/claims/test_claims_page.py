"""The tables of claims and statistics in docs/figures.md are those of the records.

After a change of the records: ``python tests/analysis/claims/test_claims_page.py`` writes them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adambias.config import Verdict
from adambias.config.claims import CLAIMS, STATISTICS
from adambias.core.files import markdown_table

PAGE = Path(__file__).parents[3] / "docs" / "figures.md"


def claims_table() -> str:
    rows = [
        [
            *(f"`{key}`", claim.sentence, ", ".join(claim.grids) or "–"),
            *(claim.statistic, ", ".join(claim.readings) or "–", claim.figure),
        ]
        for key, claim in CLAIMS.items()
    ]
    return markdown_table(["key", "claim", "grids", "decides", "beside it", "figure"], rows)


def statistics_table() -> str:
    rows = []
    for name, statistic in STATISTICS.items():
        words = statistic.measures.replace("{hill_decades:g}", "`hill_decades`")
        words = words.replace("{of}", "`of`")
        words = words.replace("{top:g} and {bottom:g} of its start", "the bounds of `loss_window`")
        effect = statistic.effect
        least = f"{getattr(Verdict(), effect):g} (`{effect}`)" if effect else "–"
        rows.append([name, words, "the claim's" if "effect" in statistic.needs else least])
    return markdown_table(["statistic", "the number", "threshold"], rows)


TABLES = {"claims": claims_table, "statistics": statistics_table}


def marked(name: str) -> re.Pattern[str]:
    """Return what finds a table between its marks."""
    return re.compile(rf"(<!-- {name} -->\n)(.*?)(<!-- end -->)", re.DOTALL)


@pytest.mark.parametrize("name", TABLES)
def test_the_page_has_the_tables_of_the_records(name):
    match = marked(name).search(PAGE.read_text(encoding="utf-8"))

    assert match is not None
    assert match[2] == TABLES[name]()


def write() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        text = marked(name).sub(rf"\g<1>{table()}\g<3>", text)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
