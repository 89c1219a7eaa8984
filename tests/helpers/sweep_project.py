"""A small project folder, in which sweeps run for real: fixtures for the conftests that want it."""

from __future__ import annotations

from pathlib import Path

import pytest
from processes import make_project


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the settings of whoever runs the tests out of them; MLflow is away."""
    for name in ("ADAMBIAS_STORE", "ADAMBIAS_DATA", "ADAMBIAS_YES", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with parameters and prepared digits; the working directory is there."""
    make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path
