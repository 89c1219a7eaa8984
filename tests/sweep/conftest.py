"""Sweeps in a small project folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from once import made_once
from processes import make_project, sweep_of, tables
from sweep_project import _alone, project  # noqa: F401

import adambias as ab


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Return a folder with prepared digits."""
    ab.load_dataset("digits", train_size=40, test_size=30, root=tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the tables of the grid ``beta2`` after a sweep that nothing disturbed."""
    folder = made_once(tmp_path_factory, "undisturbed", _sweep)
    return {path.name: path.read_bytes() for path in (folder / "found").iterdir()}


def _sweep(folder: Path) -> None:
    make_project(folder)
    run = sweep_of(folder, "beta2", "--executor", "inline")
    assert run.end() == 0, run.said()
    (folder / "found").mkdir()
    for name, content in tables(folder, "beta2").items():
        (folder / "found" / name).write_bytes(content)
