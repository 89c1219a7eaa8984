from __future__ import annotations

import contextlib
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from made_ledgers import free_port, ui_command
from once import made_once
from processes import SECONDS

from adambias.core import no_telemetry as telemetry

telemetry.opt_out()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    """An MLflow database with its tables, made once and copied."""
    return made_once(tmp_path_factory, "database", _make_database) / "mlflow.db"


def _make_database(folder: Path) -> None:
    from adambias.tracking.mlflow.client import make_sqlite

    make_sqlite(folder / "mlflow.db")


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


@pytest.fixture(scope="module")
def browsed(smoke_project, tmp_path_factory) -> SimpleNamespace:
    """The project of the smoke pipeline, moved to another place."""
    root = tmp_path_factory.mktemp("moved") / "a project é"
    shutil.copytree(smoke_project, root)
    return SimpleNamespace(root=root, uri=f"sqlite:///{root}/mlflow.db")


@pytest.fixture(scope="module")
def ui(browsed) -> Iterator[SimpleNamespace]:
    """The running UI: its address and what it printed; Ctrl-C ends it and all it started."""
    port = free_port()
    process = ui_command(browsed.root, port)
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if line.startswith("Group by"):
            break
    yield SimpleNamespace(address=f"http://127.0.0.1:{port}", lines=lines)
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    try:
        rest = process.communicate(timeout=SECONDS)[0]
        assert (process.returncode, rest.strip()) == (0, "the MLflow server is stopped")
        assert started
        assert not psutil.wait_procs(started, timeout=SECONDS)[1]
    finally:
        for left in [process, *started]:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()
