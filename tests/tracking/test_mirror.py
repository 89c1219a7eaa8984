"""The mirror's own process: alive while trials run, killed, alone without a server, in a crowd."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from made_ledgers import (
    assert_faithful,
    finish_trial,
    free_port,
    grid_of,
    jobs_of,
    made_ledger,
    params_of,
    run_trial,
    runs_of,
    shown_grid,
    start_driver,
    tracker_of,
)
from processes import SECONDS
from project_folder import ROOT

from adambias.core.errors import TrackingError
from adambias.ledger.ledger import Ledger
from adambias.tracking.mlflow.mirror import MirrorTask
from adambias.tracking.mlflow.process import Passes
from adambias.tracking.mlflow.tracker import MlflowTracker

EXPERIMENT = "adambias/laptop/beta2"


def points_in(database: Path, mode: str = "ro") -> int:
    """Count the points; ``rw`` lets SQLite undo first what a killed writer left half done."""
    try:
        with sqlite3.connect(f"{database.as_uri()}?mode={mode}", uri=True) as connection:
            return int(connection.execute("SELECT COUNT(*) FROM metrics").fetchone()[0])
    except sqlite3.Error:
        return 0


def wait_until(holds, seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)


def test_mirror_follows_a_sweep_and_completes_at_its_end(project, uri, monkeypatch):
    grid = grid_of()
    jobs = jobs_of(grid)
    ledger = made_ledger(project / "runs", jobs[:1])
    tracker = tracker_of(project, beta2=grid)
    assert not tracker.is_current(ledger, "beta2", jobs)
    with tracker.mirror(ledger, {"beta2": jobs}):
        wait_until(lambda: points_in(project / "mlflow.db") > 0)
        run_trial(ledger, jobs[1], 20)
        for job in jobs[1:]:
            finish_trial(ledger, job)
    assert_faithful(uri, EXPERIMENT, ledger, jobs)
    assert tracker.is_current(ledger, "beta2", jobs)
    (parent,) = runs_of(uri, EXPERIMENT, "sweep")
    assert parent.info.status == "FINISHED"


def test_neither_import_nor_a_look_loads_mlflow(project):
    script = f"""
        import sys
        from adambias.config import load_params
        from adambias.ledger.ledger import Ledger
        from adambias.tracking import tracker_for
        tracker = tracker_for(load_params({str(ROOT / "params.yaml")!r}))
        assert not tracker.is_current(Ledger.open("runs"), "beta2", [])
        loaded = {{"mlflow", "torch", "ray", "sqlalchemy", "pandas"}} & set(sys.modules)
        assert not loaded, loaded
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, cwd=project)


def test_a_sweep_goes_on_without_a_server_and_says_so_once(project, caplog):
    grid = grid_of()
    jobs = jobs_of(grid)
    ledger = made_ledger(project / "runs", jobs)
    away = f"http://127.0.0.1:{free_port()}"
    tracker = tracker_of(project, away, beta2=grid)

    def interrupted_sweep() -> None:
        with tracker.mirror(ledger, {"beta2": jobs}):
            wait_until(lambda: bool(caplog.records))
            raise KeyboardInterrupt

    with caplog.at_level(logging.INFO, "adambias.tracking"), pytest.raises(KeyboardInterrupt):
        interrupted_sweep()
    # On a busy machine the end waits for the mirror, which is no trouble and is said besides.
    (said,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert f"MLflow is behind (MLFLOW_TRACKING_URI = {away}: cannot be reached (Con" in said
    assert "adambias sync" in said
    assert not tracker.is_current(ledger, "beta2", jobs)


def test_passes_catch_up_once_the_store_is_back(project, capfd):
    grid = grid_of()
    jobs = jobs_of(grid)
    ledger = made_ledger(project / "runs", jobs)
    place = project / "later"
    place.write_text("a file where the database's folder will be")
    uri = f"sqlite:///{place}/mlflow.db"
    view = shown_grid(grid, jobs)
    where = {"ledger": ledger.store.uri, "root": str(project)}
    passes = Passes(MirrorTask(uri=uri, scale="laptop", views=(view,), **where))
    passes.attempt(ended=False)
    passes.attempt(ended=False)
    place.unlink()
    place.mkdir()
    shutil.copy(project / "mlflow.db", place / "mlflow.db")
    passes.attempt(ended=False)
    said = [json.loads(line)["text"] for line in capfd.readouterr().out.splitlines()]
    assert len(said) == 2
    assert said[0].startswith(f"MLflow is behind (MLFLOW_TRACKING_URI = {uri}: cannot be written (")
    assert said[1] == f"MLflow at {uri} answers again and has caught up"
    assert_faithful(uri, EXPERIMENT, ledger, jobs)


def test_a_hanging_store_does_not_hold_the_sweep_up(project, caplog):
    import socket

    grid = grid_of()
    with socket.socket() as mute:  # takes connections and never answers
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        away = f"http://127.0.0.1:{mute.getsockname()[1]}"
        tracker = MlflowTracker(params_of(project, beta2=grid), away, patience=0.5)
        with tracker.mirror(made_ledger(project / "runs", []), {"beta2": jobs_of(grid)}):
            pass
    assert "is not up to date after" in caplog.text
    assert not [p for p in psutil.Process().children() if "adambias.tracking" in str(p.cmdline())]


@pytest.mark.parametrize(
    ("status", "said"), [(401, "set MLFLOW_TRACKING_USERNAME"), (403, "--allowed-hosts")]
)
def test_a_server_that_refuses_is_a_line_that_says_what_to_do(status, said):
    from adambias.tracking.mlflow.client import TrackingStore, translated

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(status)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(TrackingError, match=said), translated(uri):
            TrackingStore(uri).client.get_experiment_by_name("any")
        server.shutdown()


def test_a_useless_uri_is_refused_before_the_sweep(project):
    tracker = tracker_of(project, "file:./mlruns", beta2=grid_of())
    with (
        pytest.raises(TrackingError, match="folder of files"),
        tracker.mirror(Ledger.open(project / "runs"), {"beta2": []}),
    ):
        raise AssertionError("the sweep began")


@pytest.mark.soak  # seven sweeps
def test_killed_in_the_middle_of_writing_nothing_is_lost_or_doubled(project, uri):
    """Kill the driver as its mirror writes, then both at once; resume; every history is whole."""
    seeds, epochs = 4, 240
    grid = grid_of(seeds=range(seeds))
    jobs = jobs_of(grid, epochs=epochs)
    ledger = made_ledger(project / "runs", jobs)
    database = project / "mlflow.db"
    whole = len(jobs) * epochs * 6
    for both in (False, True):
        before = points_in(database)
        driver = start_driver(project, seeds=seeds, epochs=epochs, sleep=60)
        wait_until(lambda before=before: points_in(database) > before + whole // 6)
        (mirror,) = psutil.Process(driver.pid).children()
        driver.kill()
        if both:
            mirror.kill()
        driver.communicate()
        assert not psutil.wait_procs([mirror], timeout=SECONDS)[1], "it ends by itself"
    assert 0 < points_in(database, "rw") < whole
    driver = start_driver(project, seeds=seeds, epochs=epochs)
    said = driver.communicate(timeout=SECONDS)[1]
    assert (driver.returncode, said) == (0, b"")
    tracker = tracker_of(project, beta2=grid)
    again = tracker.sync(ledger, {"beta2": jobs})
    assert (again.runs, again.created, again.updated, again.points) == (len(jobs), 0, 0, 0)
    assert_faithful(uri, EXPERIMENT, ledger, jobs)
    assert len(runs_of(uri, EXPERIMENT, "sweep")) == 1
    assert tracker.is_current(ledger, "beta2", jobs)


@pytest.mark.soak  # with PostgreSQL it is in test_postgres.py
def test_a_sweep_run_twice_at_once_makes_the_store_and_each_run_once(project, uri):
    """Both start with no database at all and write the same runs at the same time."""
    (project / "mlflow.db").unlink()
    grid = grid_of(seeds=range(3))
    jobs, tracker = jobs_of(grid, epochs=100), tracker_of(project, beta2=grid)
    ledger = made_ledger(project / "runs", jobs)
    drivers = [start_driver(project, seeds=3, epochs=100) for _ in range(2)]
    outputs = [driver.communicate(timeout=SECONDS)[1] for driver in drivers]
    assert [d.returncode for d in drivers] == [0, 0], outputs
    assert_faithful(uri, EXPERIMENT, ledger, jobs)
    assert len(runs_of(uri, EXPERIMENT, "sweep")) == 1
    assert tracker.is_current(ledger, "beta2", jobs)
