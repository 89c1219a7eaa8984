"""Real ledgers with made-up histories, and MLflow's view of them read back through its client."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from adambias.config import Grid
from adambias.ledger import Ledger
from adambias.ledger.job import Job
from adambias.tracking.mlflow.content import curve_name
from adambias.tracking.mlflow.tracker import MlflowTracker
from adambias.tracking.mlflow.views import View

MEASURED = (
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "perturbed_one_norm",
    "one_norm",
    "two_norm",
    "max_norm",
)
DIGEST = "5" * 64
COMMIT = "c" * 40


def grid_of(*, betas=(0.9, 0.99), seeds=(0, 1), title="norm against beta2 (figure 4)") -> Grid:
    return Grid(title=title, axes={"seed": list(seeds), "beta2": list(betas)})


def jobs_of(grid: Grid, *, epochs=40, eval_every=10, **fields) -> list[Job]:
    defaults = {"h": 1e-3, "epochs": epochs, "eval_every": eval_every, **fields}
    return [Job.of(trial, DIGEST) for trial in grid.expand(defaults)]


def history_of(job: Job, rows: int | None = None) -> pd.DataFrame:
    trial = job.trial
    n = trial.epochs if rows is None else rows
    noise = np.random.default_rng(int(job.key, 16)).random((trial.epochs, 8))[:n]
    epoch = np.arange(n)
    evaluated = (epoch % trial.eval_every == 0) | (epoch == trial.epochs - 1)
    columns = dict(zip(MEASURED, (noise + trial.beta2).T, strict=True))
    for name in ("test_loss", "test_accuracy"):
        columns[name] = np.where(evaluated, columns[name], np.nan)
    seconds = np.full(n, 0.05)
    return pd.DataFrame(
        {"epoch": epoch, **columns, "mean_abs_grad": columns["one_norm"] / 100, "seconds": seconds}
    )


def run_trial(ledger: Ledger, job: Job, rows: int, *, updated: float | None = None) -> None:
    """Leave a trial unfinished after ``rows`` epochs, as a worker's checkpoint does."""
    ledger.open_trial(job)
    ledger.save_history(job.key, history_of(job, rows))
    ledger.save_progress(
        job.key,
        {"epoch": rows, "epochs": job.trial.epochs, "updated": updated or time.time()},
    )


def finish_trial(
    ledger: Ledger, job: Job, history: pd.DataFrame | None = None, status: str = "finished"
) -> None:
    history = history_of(job) if history is None else history
    ledger.open_trial(job)
    ledger.store.write(f"{job.key}/log.txt", f"trained {job.key}\n".encode())
    seconds = float(history["seconds"].sum())
    outcome = {
        "status": status,
        "epochs": len(history),
        "seconds": seconds,
        "seconds_per_epoch": seconds / len(history),
        "parameters": 77754,
        "machine": "a machine",
        "device": "cpu",
        "git": {"commit": COMMIT, "dirty": True},
        "versions": {"adambias": "0.1.0", "torch": "2.15.0"},
        "history_sha256": ledger.save_history(job.key, history),
    }
    ledger.finish(job.key, outcome)


def made_ledger(folder: Path, jobs: list[Job]) -> Ledger:
    ledger = Ledger.open(folder)
    ledger.initialise()
    for job in jobs:
        finish_trial(ledger, job)
    return ledger


def points_of(history: pd.DataFrame) -> Counter:
    """Every finite value of every curve, counted: what an unthinned run must hold."""
    found: Counter = Counter()
    for row in history.to_dict("records"):
        for name in MEASURED:
            if np.isfinite(row[name]):
                found[name, row["epoch"], row[name]] += 1
    return found


@dataclasses.dataclass
class Shown:
    """A run as MLflow tells it."""

    run: object
    points: Counter

    @property
    def tags(self):
        return self.run.data.tags

    @property
    def params(self):
        return self.run.data.params


def client_of(uri: str):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def runs_of(uri: str, experiment: str, kind: str) -> list:
    client = client_of(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None, experiment
    return list(
        client.search_runs([found.experiment_id], f"tags.kind = '{kind}'", max_results=1000)
    )


def view_of(uri: str, experiment: str) -> dict[str, Shown]:
    """Read the trials' runs of an experiment; two runs of one trial are an error."""
    client = client_of(uri)
    view = {}
    for run in runs_of(uri, experiment, "trial"):
        key = run.data.tags["trial_key"]
        assert key not in view, f"trial {key} has two runs"
        points = Counter(
            (name, metric.step, metric.value)
            for name in MEASURED
            for metric in client.get_metric_history(run.info.run_id, curve_name(name))
        )
        view[key] = Shown(run, points)
    return view


def assert_faithful(uri: str, experiment: str, ledger: Ledger, jobs: list[Job]) -> dict[str, Shown]:
    """MLflow has a run for each trial, whose curves are the ledger's history, point for point."""
    view = view_of(uri, experiment)
    assert set(view) == {job.key for job in jobs}
    for job in jobs:
        assert view[job.key].points == points_of(ledger.history(job.key)), job.key
    return view


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def params_of(root: Path, *, initial_fraction: float = 0.25, **grids: Grid) -> SimpleNamespace:
    """What a tracker reads of the parameters."""
    analyse = SimpleNamespace(initial_fraction=initial_fraction)
    scale = SimpleNamespace(grids=grids, analyse=analyse)
    return SimpleNamespace(name="laptop", root=root, scale=scale)


def tracker_of(root: Path, uri: str | None = None, **more) -> MlflowTracker:
    """The tracker of a project with these grids."""
    return MlflowTracker(params_of(root, **more), uri)


def shown_grid(grid: Grid, jobs: list[Job], name: str = "beta2") -> View:
    return View(name=name, grid=grid, jobs=tuple(jobs), initial_fraction=0.25)


DRIVER = """
import sys, time
sys.path.insert(0, {tests!r})
from made_ledgers import grid_of, jobs_of, tracker_of
from adambias.ledger import Ledger
if __name__ == "__main__":
    grid = grid_of(seeds=range({seeds}))
    jobs = jobs_of(grid, epochs={epochs})
    tracker = tracker_of(".", {uri!r}, **{{{name!r}: grid}})
    with tracker.mirror(Ledger.open("runs"), {{{name!r}: jobs}}):
        time.sleep({sleep})
"""


def start_driver(root: Path, *, seeds, epochs, name="beta2", uri=None, sleep=0.0):
    """Start a process that mirrors a grid, as a sweep's driver does."""
    script = root / f"driver_{name}_{time.time_ns()}.py"
    tests = str(Path(__file__).parent)
    text = DRIVER.format(tests=tests, seeds=seeds, epochs=epochs, name=name, uri=uri, sleep=sleep)
    script.write_text(textwrap.dedent(text))
    return subprocess.Popen([sys.executable, str(script)], cwd=root, stderr=subprocess.PIPE)


def ui_command(root: Path, port: int, *before: str, **variables):
    """Start what ``make ui`` runs, through another command if one is given."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    return subprocess.Popen(
        [*before, sys.executable, "-m", "adambias.cli.ui", "--port", str(port)],
        cwd=root,
        env={**environment, **variables, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def needed(reason: str) -> None:
    """Skip with a reason, but fail in CI, where everything is there."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, which CI requires")
    pytest.skip(reason)
