"""Sweeps in a small project folder."""

from __future__ import annotations

import pytest
from processes import make_project, sweep_of, tables
from sweep_project import _alone, project  # noqa: F401


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the tables of the grid ``beta2`` after a sweep that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    make_project(folder)
    run = sweep_of(folder, "beta2", "--executor", "inline")
    assert run.end() == 0, run.said()
    return tables(folder, "beta2")
