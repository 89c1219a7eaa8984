"""Databases that this project did not make, of other versions, or damaged: nothing is touched."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from made_ledgers import (
    assert_faithful,
    free_port,
    grid_of,
    jobs_of,
    made_ledger,
    tracker_of,
    ui_command,
)
from once import made_once
from processes import SECONDS

from adambias.cli.doctor import CHECKS
from adambias.core.errors import TrackingError

OLD = "867495a8f9d4"
"""The schema of MLflow 2.13: it lacks tables that today's has."""
EXPERIMENT = "adambias/laptop/beta2"


@pytest.fixture(scope="session")
def old_database(tmp_path_factory) -> Path:
    """What MLflow 2.13 would leave, made by MLflow's own migrations up to there."""
    return made_once(tmp_path_factory, "old_database", _make_old) / "mlflow.db"


def _make_old(folder: Path) -> None:
    from mlflow.store.db.utils import InitialBase, _get_alembic_config

    engine = sqlalchemy.create_engine(f"sqlite:///{folder}/mlflow.db")
    InitialBase.metadata.create_all(engine)
    with engine.begin() as connection:
        config = _get_alembic_config(str(engine.url))
        config.attributes["connection"] = connection
        command.upgrade(config, OLD)
    engine.dispose()


def fill(file: Path, experiment: str) -> bytes:
    """Let a database hold an experiment with a run, and return its bytes."""
    with sqlite3.connect(file) as connection:
        for number, name in enumerate(("Default", experiment)):
            connection.execute(
                "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage)"
                " VALUES (?, ?, '', 'active')",
                (number, name),
            )
        connection.execute(
            "INSERT INTO runs (run_uuid, name, experiment_id, status, lifecycle_stage, "
            "source_type) VALUES ('0123', 'finished', 1, 'FINISHED', 'active', 'LOCAL')"
        )
    return file.read_bytes()


@pytest.fixture
def old(project, old_database) -> Path:
    shutil.copy(old_database, project / "mlflow.db")
    return project / "mlflow.db"


@pytest.fixture
def refused(project):
    """The line with which doctor and sync refuse the database, and make ui too."""
    grid = grid_of()
    jobs = jobs_of(grid)
    ledger = made_ledger(project / "runs", jobs)
    tracker = tracker_of(project, beta2=grid)

    def line() -> str:
        before = (project / "mlflow.db").read_bytes()
        with pytest.raises(TrackingError) as doctors:
            list(CHECKS["tracking"](tracker.params))
        with pytest.raises(TrackingError) as syncs:
            tracker.sync(ledger, {"beta2": jobs})
        assert (project / "mlflow.db").read_bytes() == before, "it was changed"
        assert not list(project.glob("mlflow.db.*"))
        assert str(doctors.value) == str(syncs.value)
        assert "\n" not in str(syncs.value)
        return str(syncs.value)

    line.sync = lambda: tracker.sync(ledger, {"beta2": jobs})
    line.is_faithful = lambda uri: assert_faithful(uri, EXPERIMENT, ledger, jobs)
    return line


def in_a_shell(commands: str, **variables: str) -> None:
    """Run commands as a person does who copies them from a line."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **variables}
    subprocess.run(commands, shell=True, check=True, env=environment, timeout=SECONDS)


def test_anothers_older_database_is_left_alone_until_its_owner_upgrades_it(
    project, uri, old, refused
):
    before = fill(old, "their finetuning")
    said = refused()
    assert said.startswith(
        f"MLFLOW_TRACKING_URI = {uri}: was made by an older MLflow (its schema is {OLD}, that of "
        "the installed "
    )
    commands = f"cp {project}/mlflow.db {project}/mlflow.db.old && mlflow db upgrade {uri}"
    assert said.endswith(f": {commands}")
    process = ui_command(project, free_port())
    assert process.communicate(timeout=SECONDS)[0].splitlines()[-1] == said
    assert (process.returncode, old.read_bytes()) == (1, before)

    in_a_shell(commands)
    assert (project / "mlflow.db.old").read_bytes() == before
    refused.sync()
    refused.is_faithful(uri)
    with sqlite3.connect(old) as connection:
        assert connection.execute("SELECT name FROM runs WHERE run_uuid = '0123'").fetchone()


def test_our_older_database_is_put_aside_and_made_anew(project, uri, old, refused):
    before = fill(old, EXPERIMENT)
    said = refused()
    moved = f"mv {project}/mlflow.db {project}/mlflow.db.old"
    assert said.endswith(f"all of it is in the ledger: {moved} && adambias sync")

    in_a_shell(moved)
    refused.sync()
    refused.is_faithful(uri)
    assert (project / "mlflow.db.old").read_bytes() == before


def test_a_newer_database_is_none_of_ours_to_change(project, refused):
    fill_newest(project / "mlflow.db", "their finetuning")
    with sqlite3.connect(project / "mlflow.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'fedcba987654'")
    said = refused()
    assert "was made by a newer MLflow (its schema is fedcba987654, that of the inst" in said
    assert said.endswith("set MLFLOW_TRACKING_URI to another store, and run adambias sync")


def fill_newest(file: Path, experiment: str) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("INSERT INTO experiments (name) VALUES (?)", (experiment,))


def test_a_database_of_another_program_gets_no_tables_of_mlflows(project, refused):
    (project / "mlflow.db").unlink()
    with sqlite3.connect(project / "mlflow.db") as connection:
        connection.execute("CREATE TABLE moz_places (url TEXT)")
    assert ": is a database of another program's (tables moz_places, …): set MLFLOW" in refused()


@pytest.mark.parametrize("damage", ["rubbish", "pages"])
def test_a_damaged_database_is_named_with_its_mend(project, uri, refused, damage):
    file = project / "mlflow.db"
    content = bytearray(file.read_bytes())
    if damage == "rubbish":
        content[:] = b"no database at all, but a text of some length" * 30
    else:  # all but the first, which says where the tables begin
        content[4096:] = bytes(len(content) - 4096)
    file.write_bytes(content)
    said = refused()
    begin = re.escape(f"MLFLOW_TRACKING_URI = {uri}: is damaged or no database (")
    mend = re.escape(f"mv {file} {file}.old && adambias sync")
    assert re.fullmatch(f"{begin}.*\\): {mend}", said)


def test_damage_that_only_doctor_looks_for_is_found(project, uri, refused):
    refused.sync()
    file = project / "mlflow.db"
    content = bytearray(file.read_bytes())
    with sqlite3.connect(file) as connection:
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'index_metrics_run_uuid'"
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    content[(page - 1) * size : page * size] = bytes(size)
    file.write_bytes(content)
    with pytest.raises(TrackingError, match="is damaged or no database"):
        list(CHECKS["tracking"](tracker_of(project).params))


def test_doctor_opens_a_database_and_makes_none(project, uri):
    params = tracker_of(project).params
    assert list(CHECKS["tracking"](params)) == [f"{uri}: opens"]
    (project / "mlflow.db").unlink()
    assert list(CHECKS["tracking"](params)) == [f"{uri}: nothing is recorded yet"]
    assert not (project / "mlflow.db").exists()


@pytest.mark.parametrize("kind", ["mysql", "postgresql"])
def test_a_server_without_a_driver_or_that_is_no_database_is_one_line(project, monkeypatch, kind):
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_hang_up, args=(server,), daemon=True).start()
        uri = f"{kind}://me:secret@127.0.0.1:{server.getsockname()[1]}/runs"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(TrackingError) as refused:
            list(CHECKS["tracking"](tracker_of(project).params))
    line = str(refused.value)
    assert line.startswith(f"MLFLOW_TRACKING_URI = {kind}")
    assert len(line.splitlines()) == 1
    assert "secret" not in line


def _hang_up(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            server.accept()[0].close()


def test_a_database_whose_making_was_cut_short_is_made_whole(project, uri, refused):
    from mlflow.store.db.utils import InitialBase

    (project / "mlflow.db").unlink()
    engine = sqlalchemy.create_engine(uri)
    InitialBase.metadata.create_all(engine)
    engine.dispose()
    refused.sync()
    refused.is_faithful(uri)
