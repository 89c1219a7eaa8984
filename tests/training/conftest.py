"""Trainings in the tests run in one thread."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from one_thread import _one_thread  # noqa: F401


@pytest.fixture
def importable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], str]]:
    """Give ``importable(name, text)``, which makes a module for one test and returns its name."""
    made = []

    def make(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        made.append(name)
        return name

    monkeypatch.syspath_prepend(str(tmp_path))
    yield make
    for name in made:
        sys.modules.pop(name, None)
