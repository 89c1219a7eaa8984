"""Figures read tables and nothing else, and the stages say which."""

from __future__ import annotations

from imports import PACKAGE, ROOT, STAGES, closure

from adambias.config.figures import ANALYSED, FIGURES


def names(entries):
    flat = (next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries)
    return {name.removeprefix("results/") for name in flat if name.startswith("results/")}


def test_no_figure_imports_the_analysis():
    for path in (PACKAGE / "figures").glob("*.py"):
        assert not {f for f in closure(path) if "/analysis/" in f}, path.name


def test_the_stage_analyse_declares_every_table_that_it_writes():
    stage = STAGES["analyse"]
    assert names([*stage["outs"], *stage["metrics"]]) == {*ANALYSED, "plots"}


def test_the_stage_figures_depends_on_every_table_that_a_figure_needs():
    needed = {table for figure in FIGURES.values() for table in figure.tables}
    assert needed <= names(STAGES["figures"]["deps"])


def test_tables_in_dvcs_cache_are_ignored_by_git():
    ignored = (ROOT / "results" / ".gitignore").read_text().split()
    cached = {out for out in names(STAGES["analyse"]["outs"]) if out.endswith(".parquet")}
    assert {f"/{name}" for name in cached} <= set(ignored)
