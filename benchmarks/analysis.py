"""Time and peak memory of analyse, figures and report on made-up tables.

    python benchmarks/analysis.py --trials 1000 --epochs 4000

The tables hold smooth curves with noise, in the layout of the sweeps; they mean nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adambias import analysis, figures, report
from adambias.config import Analyse, Figures, Trial
from adambias.tables import HISTORY_COLUMNS

GRIDS = {
    "beta2": ("beta2", (0.9, 0.95, 0.98, 0.99, 0.999)),
    "beta1": ("beta1", (0.5, 0.8, 0.9, 0.95, 0.98)),
    "hills_beta2": ("beta2", (0.9, 0.98, 0.99, 0.995, 0.999)),
    "hills_beta1": ("beta1", (0.5, 0.7, 0.8, 0.9, 0.95)),
    "h": ("h", (2e-4, 5e-4, 1e-3, 2e-3, 4e-3)),
}
PARAMETERS = 77_754


def main() -> None:
    """Make the tables, run the three stages, print what each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=4000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        rows = make_tables(root / "sweeps", arguments.trials, arguments.epochs)
        print(f"tables: {rows:,} rows, peak memory so far {peak_gb():.2f} GB")
        steps: dict[str, Callable[[], object]] = {
            "analyse": lambda: analysis.run(Analyse(), root / "sweeps", root / "results"),
            "figures": lambda: figures.run(Figures(), root / "results", root / "figures"),
            "report": lambda: report.run(
                root / "results", root / "figures", root / "index.html", scale="benchmark"
            ),
        }
        for name, step in steps.items():
            start, used = time.perf_counter(), time.process_time()
            step()
            wall, cpu = time.perf_counter() - start, time.process_time() - used
            print(f"{name}: {wall:.1f} s ({cpu:.1f} s of CPU), peak memory {peak_gb():.2f} GB")


def peak_gb() -> float:
    """Return the highest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def make_tables(folder: Path, trials: int, epochs: int) -> int:
    """Write the grids' tables, one trial at a time; return the number of rows."""
    per_grid = max(1, trials // len(GRIDS))
    for number, (grid, (axis, values)) in enumerate(GRIDS.items()):
        (folder / grid).mkdir(parents=True)
        schema, described = pa.schema(HISTORY_COLUMNS), []
        with pq.ParquetWriter(folder / grid / "histories.parquet", schema) as writer:
            for index in range(per_grid):
                key = f"{number:04x}{index:012x}"
                point = {"h": 1e-3, "beta2": 0.99, axis: values[index % len(values)]}
                trial = Trial(epochs=epochs, seed=index // len(values), **point)
                writer.write_table(history(key, grid, trial, schema))
                described.append(describe(key, grid, trial))
        pq.write_table(pa.Table.from_pylist(described), folder / grid / "trials.parquet")
    return per_grid * len(GRIDS) * epochs


def history(key: str, grid: str, trial: Trial, schema: pa.Schema) -> pa.Table:
    """Return a falling loss and a norm with a hill, both noisy."""
    rng = np.random.default_rng(trial.seed)
    n = np.arange(trial.epochs)
    time_ = n / trial.epochs
    noise = 1 + 0.05 * rng.random(trial.epochs)
    height = 1 + 0.3 * np.log10((1 - trial.beta1) / (1 - trial.beta2))
    norm = PARAMETERS * 1e-4 + height * noise * np.exp(-(((time_ - 0.4) / 0.1) ** 2))
    columns: dict[str, Any] = dict.fromkeys(schema.names, norm)
    columns |= {
        "trial": np.full(trial.epochs, key),
        "grid": np.full(trial.epochs, grid),
        "epoch": n,
        "train_loss": 2.3 * np.exp(-7 * time_) * noise,
        "test_accuracy": np.where(n % 5 == 0, 0.97 * time_ ** (0.02 / height), np.nan),
    }
    arrays = [pa.array(columns[field.name]).cast(field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def describe(key: str, grid: str, trial: Trial) -> dict[str, Any]:
    """Return the trial's row."""
    return {
        "trial": key,
        "grid": grid,
        **dataclasses.asdict(trial),
        "data_digest": "0" * 64,
        "parameters": PARAMETERS,
        "status": "finished",
        "epochs_done": trial.epochs,
        "seconds": 0.05 * trial.epochs,
        "machine": "made up",
    }


if __name__ == "__main__":
    main()
