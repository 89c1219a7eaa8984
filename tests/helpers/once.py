"""What several processes of a test run share, made by the first that needs it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return the folder ``name`` that ``make`` has filled once in this run; only read it."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, complete = root / name / "made", root / name / "complete"
    with FileLock(root / f"{name}.lock"):
        if not complete.exists():
            folder.mkdir(parents=True)
            make(folder)
            complete.touch()
    return folder
