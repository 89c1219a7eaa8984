from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from adambias import telemetry

telemetry.opt_out()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    """An MLflow database with its tables, made once and copied."""
    from adambias.tracking.client import make_sqlite

    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    make_sqlite(file)
    return file


@pytest.fixture
def project(tmp_path, monkeypatch, empty_database) -> Path:
    """A project's folder to work in, with an empty MLflow database."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_ARTIFACTS_DESTINATION", "ADAMBIAS_STORE"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "project"
    root.mkdir()
    shutil.copy(empty_database, root / "mlflow.db")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def uri(project) -> str:
    return f"sqlite:///{project}/mlflow.db"
