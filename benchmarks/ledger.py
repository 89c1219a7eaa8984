"""How planning and collecting scale with the number of finished trials.

Makes ledgers of synthetic finished trials with histories of 500 epochs, then measures
``adambias plan`` as a process, and collecting the tables of their grid in another.

Run from the project's root, after ``make setup``::

    python benchmarks/ledger.py                 # 1,000 and 10,000 trials, about 0.6 GB of disk
    python benchmarks/ledger.py --trials 1000
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from adambias.config import DatasetSpec, Params, ScaleFiles, load_params
from adambias.data.preparation import prepare
from adambias.ledger.collect import collect
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger, machine
from adambias.ledger.plan import make_plan
from adambias.ledger.store import Store

EPOCHS = 500
REPEATS = 3
DIGITS = {"source": "digits", "train_size": 60, "test_size": 60}
MEASURED = (
    *("train_loss", "train_accuracy", "test_loss", "test_accuracy", "perturbed_one_norm"),
    *("one_norm", "two_norm", "max_norm", "mean_abs_grad", "seconds"),
)


class UnsyncedStore(Store):
    """A folder written without waiting for the disk, as nothing here has to survive."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file."""
        path = Path(self.root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def make_project(folder: Path, trials: int) -> Params:
    """Write a project whose one grid ``many`` holds ``trials`` trials, and prepare its data."""
    settings = ScaleFiles("params.yaml", "smoke").settings()
    settings["prepare"]["datasets"]["digits"] = DIGITS
    settings["trial"] = {"dataset": "digits", "h": 1e-3, "epochs": EPOCHS}
    values = np.round(np.linspace(0.9, 0.999, 10), 6).tolist()
    settings["grids"] = {"many": {"axes": {"seed": list(range(trials // 10)), "beta2": values}}}
    (folder / "scales").mkdir(parents=True)
    (folder / "params.yaml").write_text("scale: many\n", encoding="utf-8")
    with (folder / "scales" / "many.yaml").open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(settings, file)
    prepare("digits", DatasetSpec(**DIGITS), folder / "data")
    return load_params(folder / "params.yaml")


def fill(folder: Path, jobs: list[Job]) -> None:
    """Finish every job with a history of random numbers."""
    ledger = Ledger(UnsyncedStore.open(folder))
    ledger.initialise()
    rng = np.random.default_rng(0)
    for job in jobs:
        history = pd.DataFrame(rng.random((EPOCHS, len(MEASURED))), columns=list(MEASURED))
        history.insert(0, "epoch", np.arange(EPOCHS))
        ledger.open_trial(job)
        outcome = {
            "status": "finished",
            "epochs": EPOCHS,
            "seconds": 25.0,
            "seconds_per_epoch": 0.05,
            "seconds_per_image": 1e-4,
            "kind": "resnet8/batch/relu/fp32/1x8x8",
            "parameters": 77754,
            "machine": machine(),
            "device": "cpu",
            "versions": {"adambias": "0.1.0", "python": "3.11", "torch": "2.15.0"},
            "history_sha256": ledger.save_history(job.key, history),
            "trial": job.trial.identity(),
            "data_digest": job.data_digest,
            "state_kept": False,
        }
        ledger.finish(job.key, outcome)


def time_plan(project: Path, store: Path) -> float:
    """Return the wall time of ``adambias plan`` in seconds, start of the process included."""
    command = [sys.executable, "-m", "adambias.cli", "plan"]
    began = time.perf_counter()
    subprocess.run(
        command,
        cwd=project,
        env={**os.environ, "ADAMBIAS_STORE": str(store)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


def collect_here(project: Path, store: Path) -> None:
    """Collect the grid's tables in this process and print time and peak memory as JSON."""
    params, ledger = load_params(project / "params.yaml"), Ledger.open(store)
    began = time.perf_counter()
    plan = make_plan(params, ["many"], ledger)
    collect(plan, ledger, project / "results")
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(json.dumps({"seconds": seconds, "gigabytes": peak}))


def time_collecting(project: Path, store: Path) -> dict[str, float]:
    """Run :func:`collect_here` in a process of its own."""
    command = [sys.executable, __file__, "--collect", str(project), str(store)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(trials: int, folder: Path) -> dict[str, Any]:
    """Make one ledger and return its row of the table."""
    params = make_project(folder / "project", trials)
    store = folder / "store"
    empty = make_plan(params, ["many"], Ledger.open(store))
    fill(store, empty.jobs)
    plans = [time_plan(folder / "project", store) for _ in range(REPEATS)]
    collected = time_collecting(folder / "project", store)
    rows = len(
        pd.read_parquet(folder / "project/results/many/histories.parquet", columns=["epoch"])
    )
    if rows != trials * EPOCHS:
        raise SystemExit(f"{rows} rows were collected, expected {trials * EPOCHS}")
    return {
        "trials": trials,
        "plan (s, median)": statistics.median(plans),
        "plan (s, worst)": max(plans),
        "collect (s)": collected["seconds"],
        "collect (GB)": collected["gigabytes"],
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--collect", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.collect:
        collect_here(*arguments.collect)
        return
    rows = []
    for trials in arguments.trials:
        with tempfile.TemporaryDirectory(prefix="adambias-ledger-") as folder:
            rows.append(measure(trials, Path(folder)))
    print(f"{machine()}, Python {platform.python_version()}, histories of {EPOCHS} epochs")
    table = pd.DataFrame(rows).round(2)
    print(table.to_string(index=False))
    if len(rows) > 1:
        cost = table["collect (s)"] / table["trials"]
        print(f"cost of collecting a trial, last over first: {cost.iloc[-1] / cost.iloc[0]:.2f}")


if __name__ == "__main__":
    main()
