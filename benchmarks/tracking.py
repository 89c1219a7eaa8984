"""What the MLflow view costs, and how it browses.

Four measurements, each on its own command, from the project's root after ``make setup``::

    python benchmarks/tracking.py points                 # points per second into SQLite
    python benchmarks/tracking.py browse --trials 1000   # answers of the server, pages of the UI
    python benchmarks/tracking.py share                  # processor time, against the training's
    python benchmarks/tracking.py sweep beta2            # the same sweep with and without tracking

``share`` mirrors the project's own ledger, grid by grid as the pipeline does, into an empty store;
other programs on the machine disturb processor time less than wall time.
``sweep`` trains the grid of ``params.yaml``'s scale anew for each round, in temporary folders.
``browse`` loads pages in Chromium if ``/usr/bin/chromium`` is there.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from adambias.cli import ui
from adambias.config import Grid
from adambias.config.measures import CURVES
from adambias.core import no_telemetry as telemetry
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger, machine
from adambias.tracking.mlflow.tracker import MlflowTracker
from adambias.tracking.mlflow.views import View

SECONDS_PER_EPOCH = 0.05
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def synthetic(folder: Path, trials: int, epochs: int) -> tuple[Ledger, Grid, list[Job]]:
    """Make a ledger of finished trials with random histories, evaluated every ten epochs."""
    values = (0.9, 0.95, 0.98, 0.99, 0.999)
    grid = Grid(
        title="made up", axes={"seed": range(max(1, trials // len(values))), "beta2": values}
    )
    defaults = {"h": 1e-3, "epochs": epochs, "eval_every": 10}
    jobs = [Job.of(trial, "0" * 64) for trial in grid.expand(defaults)]
    ledger = Ledger.open(folder)
    ledger.initialise()
    rng = np.random.default_rng(0)
    for job in jobs:
        ledger.open_trial(job)
        history = pd.DataFrame(rng.random((epochs, len(CURVES))), columns=list(CURVES))
        history.insert(0, "epoch", np.arange(epochs))
        evaluated = (history["epoch"] % 10 == 0) | (history["epoch"] == epochs - 1)
        history.loc[~evaluated, ["test_loss", "test_accuracy"]] = np.nan
        history["seconds"] = SECONDS_PER_EPOCH
        ledger.finish(
            job.key,
            {
                "status": "finished",
                "epochs": epochs,
                "seconds": SECONDS_PER_EPOCH * epochs,
                "seconds_per_epoch": SECONDS_PER_EPOCH,
                "parameters": 77754,
                "machine": "made up",
                "history_sha256": ledger.save_history(job.key, history),
            },
        )
    return ledger, grid, jobs


@contextlib.contextmanager
def recorded(trials: int, epochs: int) -> Iterator[tuple[Path, Any, tuple[float, float]]]:
    """Yield a folder with a synced store, what the sync did, and its wall and processor seconds."""
    from adambias.tracking.mlflow.client import TrackingStore, make_sqlite
    from adambias.tracking.mlflow.writer import GridWriter

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ledger, grid, jobs = synthetic(folder / "runs", trials, epochs)
        make_sqlite(folder / "mlflow.db")
        store = TrackingStore(f"sqlite:///{folder}/mlflow.db")
        view = View(name="beta2", grid=grid, jobs=tuple(jobs), initial_fraction=0.25)
        began, used = time.perf_counter(), time.process_time()
        done = GridWriter(store, ledger, "laptop", view).write(check=True)
        yield folder, done, (time.perf_counter() - began, time.process_time() - used)


@click.group()
def main() -> None:
    """Measure the MLflow view."""
    telemetry.opt_out()
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{machine()}; load before: {load}")


@main.command()
@click.option("--trials", default=100, show_default=True)
@click.option("--epochs", default=300, show_default=True)
def points(trials: int, epochs: int) -> None:
    """Sync a ledger into SQLite and count the points of a second, all else included."""
    with recorded(trials, epochs) as (folder, done, times):
        print(f"{done}; {(folder / 'mlflow.db').stat().st_size / 1e6:.0f} MB")
        for what, seconds in zip(("wall", "processor"), times, strict=True):
            rate, each = done.points / seconds, 1000 * seconds / done.runs
            print(f"{what} time {seconds:.1f} s: {rate:,.0f} points/s, {each:.0f} ms a trial")


@main.command()
@click.option("--trials", default=1000, show_default=True)
@click.option("--epochs", default=100, show_default=True)
def browse(trials: int, epochs: int) -> None:
    """Time the server's answers and the UI's pages over many trials."""
    with recorded(trials, epochs) as (folder, done, (seconds, _)):
        print(f"{done}, in {seconds:.0f} s")
        port = free_port()
        began = time.perf_counter()
        with ui.running(f"sqlite:///{folder}/mlflow.db", port):
            print(f"server answers after {time.perf_counter() - began:.1f} s")
            address = f"http://{ui.HOST}:{port}"
            for name, act in requests(address).items():
                print(f"{name}: {median_ms(act):.0f} ms")
            if CHROMIUM.exists():
                time_pages(address)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((ui.HOST, 0))
        return int(probe.getsockname()[1])


def requests(address: str) -> dict[str, Callable[[], Any]]:
    """Return the requests that the UI makes most, by what they are."""
    search = f"{address}/api/2.0/mlflow/runs/search"
    body = {"experiment_ids": ["1"], "max_results": 100}
    runs = post(search, body | {"filter": "tags.kind = 'trial'"})["runs"]
    chosen = "&".join(f"run_ids={run['info']['run_id']}" for run in runs[:10])
    history = (
        f"{address}/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?{chosen}"
        "&metric_key=perturbed_one_norm&max_results=320"
    )
    by_norm = {"order_by": ["metrics.`peak_perturbed_one_norm` DESC"]}
    by_parameter = {"filter": "params.beta2 = '0.99'"}
    return {
        "first 100 runs": lambda: post(search, body),
        "first 100 runs by norm": lambda: post(search, body | by_norm),
        "runs of one beta2": lambda: post(search, body | by_parameter),
        "1,000 runs": lambda: post(search, body | {"max_results": 1000}),
        "one curve of 10 runs": lambda: get(history),
    }


def time_pages(address: str) -> None:
    """Print how long a person waits for the table, for it sorted, and for a trial's charts."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(120_000)
        for turn in ("first", "second"):
            began = time.perf_counter()
            shared = "workflowType=machine_learning&viewStateShareKey=trials"
            page.goto(f"{address}/#/experiments/1/runs?{shared}")
            page.locator("a", has_text="seed").first.wait_for()
            print(f"page with the sorted table, {turn} time: {time.perf_counter() - began:.1f} s")
            page.goto("about:blank")
        page.goto(f"{address}/#/experiments/1/runs?{shared}")
        link = page.locator("a", has_text="seed").first
        link.click()
        began = time.perf_counter()
        page.get_by_role("tab", name="Model metrics").click()
        page.locator(".js-plotly-plot .js-line").first.wait_for()
        print(f"page with a trial's curves: {time.perf_counter() - began:.1f} s")
        browser.close()


@main.command()
@click.argument("grid")
@click.option("--rounds", default=1, show_default=True)
@click.option("--executor", default="ray", show_default=True)
def sweep(grid: str, rounds: int, executor: str) -> None:
    """Run a sweep of the project with and without tracking, in turn, and compare."""
    times: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as name:
        for number in range(rounds):
            for track in (False, True):
                folder = Path(name, f"{number}-{track}")
                times[track].append(time_sweep(grid, folder, executor, track))
                print(f"{'with' if track else 'without'} tracking: {times[track][-1]:.1f} s")
        more = [a / b - 1 for a, b in zip(times[True], times[False], strict=True)]
        print(f"wall time with tracking: {100 * statistics.median(more):+.1f}% (median of rounds)")


def environment(folder: Path) -> dict[str, str]:
    """Return variables that put ledger and MLflow into ``folder``."""
    store = {"ADAMBIAS_STORE": f"{folder}/runs", "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/m.db"}
    return {**os.environ, **store}


def time_sweep(grid: str, folder: Path, executor: str, track: bool) -> float:
    """Return the wall time of ``adambias sweep``."""
    folder.mkdir()
    flags = ["--executor", executor, "--track" if track else "--no-track"]
    command = [sys.executable, "-m", "adambias.cli", "sweep", grid, *flags]
    began = time.perf_counter()
    subprocess.run(command, check=True, env=environment(folder), stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


@main.command()
def share() -> None:
    """Compare the processor time of mirroring the project's ledger with that of training it."""
    from adambias.config import load_params
    from adambias.ledger.plan import make_plan

    params = load_params()
    ledger = Ledger.open(params.store)
    plan = make_plan(params, params.scale.grids, ledger, confirmed=True)
    training = total = 0.0
    with tempfile.TemporaryDirectory() as name:
        for grid, jobs in plan.grids.items():
            outcomes = dict(ledger.outcomes(job.key for job in jobs))
            trained = sum(outcome["seconds"] for outcome in outcomes.values())
            before = processor_seconds()
            with MlflowTracker(params, f"sqlite:///{name}/m.db").mirror(ledger, {grid: jobs}):
                pass
            used = processor_seconds() - before
            training, total = training + trained, total + used
            print(f"{grid}: {len(jobs)} trials, {used:.1f} s to mirror, {trained:.0f} s to train")
    print(f"all: {total:.1f} s to mirror, {training:.0f} s to train: {100 * total / training:.1f}%")


def processor_seconds() -> float:
    """Return the processor time of the processes that this one has started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def get(address: str) -> bytes:
    """Return the answer to a request."""
    with urllib.request.urlopen(address, timeout=120) as answer:
        return bytes(answer.read())


def post(address: str, body: dict[str, Any]) -> Any:
    """Return the JSON answer to a request with a JSON body."""
    header = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, json.dumps(body).encode(), header)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())


def median_ms(act: Callable[[], Any], repeats: int = 5) -> float:
    """Return the median time of ``act`` in milliseconds, the first call left out."""
    act()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


if __name__ == "__main__":
    main()
