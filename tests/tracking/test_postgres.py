"""A real PostgreSQL server, and two sweeps that write to it at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_ledgers import (
    assert_faithful,
    free_port,
    grid_of,
    jobs_of,
    made_ledger,
    needed,
    runs_of,
    start_driver,
    tracker_of,
)
from processes import SECONDS

from adambias.core.errors import TrackingError
from adambias.tracking.mlflow import location

pytestmark = pytest.mark.postgres


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; Debian does not put it on the path."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if (f / "pg_ctl").exists()), None)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A server on a free port of this machine; as root it runs as the user postgres."""
    folder = programs()
    if folder is None:
        needed("PostgreSQL is absent")
    user = {"user": "postgres"} if os.geteuid() == 0 else {}
    data = tempfile.mkdtemp(prefix="adambias-postgres-")
    if user:
        shutil.chown(data, "postgres")
    port = free_port()
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {data} -c fsync=off"

    def call(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(folder / program), "-D", data, *arguments],
            check=True, cwd=data, stdout=subprocess.DEVNULL, **user,
        )  # fmt: skip

    call("initdb", "-U", "tracker", "-A", "trust", "-E", "UTF8", "--locale=C")
    call("pg_ctl", "start", "-w", "-l", f"{data}/log", "-o", options)
    try:
        yield f"postgresql://tracker@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "stop", "-w", "-m", "immediate")
        shutil.rmtree(data)


def test_two_sweeps_write_at_once_and_sync_finds_nothing_to_do(postgres, project):
    """They start with no tables, one is run twice, and nothing is lost or doubled."""
    (project / "mlflow.db").unlink()
    grid = grid_of(seeds=range(3))
    jobs = jobs_of(grid, epochs=100)
    ledger = made_ledger(project / "runs", jobs)
    names = ("beta2", "h", "beta2")
    drivers = [start_driver(project, seeds=3, epochs=100, name=n, uri=postgres) for n in names]
    outputs = [driver.communicate(timeout=SECONDS)[1] for driver in drivers]
    assert [d.returncode for d in drivers] == [0, 0, 0], outputs
    there = location.checked_uri(postgres)
    tracker = tracker_of(project, postgres, beta2=grid, h=grid)
    for name in ("beta2", "h"):
        assert_faithful(there, f"adambias/laptop/{name}", ledger, jobs)
        assert len(runs_of(there, f"adambias/laptop/{name}", "sweep")) == 1
        assert tracker.is_current(ledger, name, jobs)
    again = tracker.sync(ledger, {"beta2": jobs, "h": jobs})
    assert (again.runs, again.created, again.updated, again.points) == (12, 0, 0, 0)
    assert not (project / "mlflow.db").exists()
    assert (project / "mlartifacts").is_dir()


def test_a_groups_older_database_is_migrated_by_the_group_alone(postgres, project):
    import psycopg2

    (project / "mlflow.db").unlink()
    with contextlib.closing(psycopg2.connect(postgres)) as connection:
        connection.autocommit = True
        connection.cursor().execute("CREATE DATABASE older")
    group = postgres.replace("/postgres", "/older")
    grid = grid_of()
    jobs = jobs_of(grid)
    ledger = made_ledger(project / "runs", jobs)
    tracker = tracker_of(project, group, beta2=grid)
    tracker.sync(ledger, {"beta2": jobs})
    downgrade(location.checked_uri(group))
    with pytest.raises(TrackingError) as refused:
        tracker.sync(ledger, {"beta2": jobs})
    line = str(refused.value)
    assert "was made by an older MLflow (its schema is b7e2c1a4d9f3, that of the installed" in line
    command = line.partition(": back it up, then ")[2]
    assert command == f"mlflow db upgrade {location.checked_uri(group)}"
    run_as_said(command)
    assert tracker.sync(ledger, {"beta2": jobs}).created == 0
    assert_faithful(location.checked_uri(group), "adambias/laptop/beta2", ledger, jobs)


def downgrade(uri: str) -> None:
    """Give a database the schema of an MLflow before, by MLflow's own migrations."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config

    command.downgrade(_get_alembic_config(uri), "b7e2c1a4d9f3")


def run_as_said(command: str) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(command, shell=True, check=True, env=environment, timeout=SECONDS)
