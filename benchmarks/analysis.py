"""Time and peak memory from a ledger to the report: collect, analyse, figures, report.

    python benchmarks/analysis.py --trials 1000 --epochs 4000

The ledger holds smooth curves with noise, written by the ledger itself; they mean nothing. Figures
are drawn in as many processes as the stage uses.
"""

from __future__ import annotations

import argparse
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from adambias.analysis import run as analysis
from adambias.config import Analyse, Figures, Trial
from adambias.core.processes import cores
from adambias.figures import run as figures
from adambias.figures.report import page as report
from adambias.ledger.collect import write_tables
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger

GRIDS = {
    "beta2": ("beta2", (0.9, 0.95, 0.98, 0.99, 0.999)),
    "beta1": ("beta1", (0.5, 0.8, 0.9, 0.95, 0.98)),
    "hills_beta2": ("beta2", (0.9, 0.98, 0.99, 0.995, 0.999)),
    "hills_beta1": ("beta1", (0.5, 0.7, 0.8, 0.9, 0.95)),
    "h": ("h", (2e-4, 5e-4, 1e-3, 2e-3, 4e-3)),
}
PARAMETERS = 77_754


def main() -> None:
    """Make a ledger, run what follows the trainings, print what each step took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=4000)
    arguments = parser.parse_args()
    print(f"{cores()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        ledger = Ledger.open(str(root / "runs"))
        ledger.initialise()
        jobs = make_ledger(ledger, arguments.trials, arguments.epochs)
        rows = sum(map(len, jobs.values())) * arguments.epochs
        print(f"ledger: {rows:,} rows, peak memory so far {peak_gb():.2f} GB", flush=True)
        run(ledger, jobs, root)


def run(ledger: Ledger, jobs: Mapping[str, list[Job]], root: Path) -> None:
    """Time each step, and all of them."""
    results, pictures = root / "results", root / "figures"
    workers = cores()
    steps: dict[str, Callable[[], object]] = {
        "collect": lambda: collect(ledger, jobs, root / "sweeps"),
        "analyse": lambda: analysis.run(Analyse(), root / "sweeps", results, scale="benchmark"),
        "figures": lambda: figures.run(Figures(), results, pictures, workers=workers),
        "report": lambda: report.run(results, pictures, root / "index.html", scale="benchmark"),
    }
    begin = time.perf_counter()
    for name, step in steps.items():
        start = time.perf_counter()
        step()
        print(
            f"{name}: {time.perf_counter() - start:.1f} s, peak memory {peak_gb():.2f} GB, "
            f"of each of {workers} processes below it {peak_gb(resource.RUSAGE_CHILDREN):.2f} GB",
            flush=True,
        )
    print(f"all: {time.perf_counter() - begin:.1f} s")


def peak_gb(who: int = resource.RUSAGE_SELF) -> float:
    """Return the highest resident memory so far of this process, or of its largest child."""
    return resource.getrusage(who).ru_maxrss / 1e6


def collect(ledger: Ledger, jobs: Mapping[str, list[Job]], folder: Path) -> None:
    """Write the tables of each grid, as the stages ``sweep@<grid>`` do."""
    for grid, of_grid in jobs.items():
        outcomes = dict(ledger.outcomes(job.key for job in of_grid))
        write_tables(ledger, grid, of_grid, outcomes, folder / grid)


def make_ledger(ledger: Ledger, trials: int, epochs: int) -> dict[str, list[Job]]:
    """Finish every trial of every grid; return their jobs by grid."""
    per_grid = max(1, trials // len(GRIDS))
    jobs: dict[str, list[Job]] = {}
    for grid, (axis, values) in GRIDS.items():
        point = {"h": 1e-3, "beta2": 0.99, "model": "resnet14" if "hills" in grid else "resnet8"}
        members = [
            Trial(**{**point, axis: values[i % len(values)]}, epochs=epochs, seed=i // len(values))
            for i in range(per_grid)
        ]
        jobs[grid] = [finish(ledger, trial) for trial in members]
    return jobs


def finish(ledger: Ledger, trial: Trial) -> Job:
    """Write a finished trial into the ledger."""
    job = Job.of(trial, "0" * 64)
    ledger.open_trial(job)
    outcome = {
        "status": "finished",
        "epochs": trial.epochs,
        "seconds": 0.05 * trial.epochs,
        "parameters": PARAMETERS,
        "machine": "made up",
        "history_sha256": ledger.save_history(job.key, history(trial)),
    }
    ledger.finish(job.key, outcome)
    return job


def history(trial: Trial) -> pd.DataFrame:
    """Return a falling loss and a norm with a hill, both noisy."""
    rng = np.random.default_rng(trial.seed)
    n = np.arange(trial.epochs)
    share = n / trial.epochs
    noise = 1 + 0.05 * rng.random(trial.epochs)
    height = 1 + 0.3 * np.log10((1 - trial.beta1) / (1 - trial.beta2))
    norm = PARAMETERS * 1e-4 + height * noise * np.exp(-(((share - 0.4) / 0.1) ** 2))
    columns: dict[str, Any] = dict.fromkeys(
        ("train_accuracy", "test_loss", "perturbed_one_norm", "one_norm", "two_norm", "max_norm"),
        norm,
    )
    columns |= {
        "epoch": n,
        "train_loss": 2.3 * np.exp(-7 * share) * noise,
        "test_accuracy": np.where(n % 5 == 0, 0.97 * share ** (0.02 / height), np.nan),
        "mean_abs_grad": norm / PARAMETERS,
        "seconds": 0.05 * n,
    }
    return pd.DataFrame(columns)


if __name__ == "__main__":
    main()
