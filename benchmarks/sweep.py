"""What Ray, the ledger and MLflow add to the trainings of a sweep.

Runs the real command in a folder of its own: a thousand trials of one epoch each, a grid of the
laptop scale, and each of them once more when nothing is left to do.

Run from the project's root, after ``make setup``::

    python benchmarks/sweep.py --trials 1000      # trials of one epoch, some minutes
    python benchmarks/sweep.py --grid regimes     # grids of the laptop scale, with MLflow
    python benchmarks/sweep.py --grid all
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from adambias.cli.plan import slots_here
from adambias.config import Params, ScaleFiles, load_params
from adambias.data.preparation import prepare
from adambias.ledger.ledger import Ledger, machine
from adambias.ledger.plan import make_plan

TINY = {"source": "digits", "train_size": 20, "test_size": 20}


def make_project(folder: Path, change: dict[str, Any]) -> Params:
    """Write the laptop scale with some sections replaced, and prepare its data."""
    settings = ScaleFiles("params.yaml", "laptop").settings() | change
    (folder / "scales").mkdir()
    (folder / "params.yaml").write_text("scale: measured\n", encoding="utf-8")
    with (folder / "scales" / "measured.yaml").open("w", encoding="utf-8") as file:
        YAML(typ="safe", pure=True).dump(settings, file)
    params = load_params(folder / "params.yaml")
    for name, spec in params.datasets.items():
        prepare(name, spec, params.data_root)
    return params


def time_sweep(folder: Path, grids: list[str], *options: str) -> float:
    """Return the wall time of ``adambias sweep`` in seconds, start of the process included."""
    local = {"ADAMBIAS_STORE": str(folder / "runs"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "adambias.cli", "sweep", *grids, *options]
    began = time.perf_counter()
    subprocess.run(
        command, cwd=folder, env={**os.environ, **local}, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def training_seconds(params: Params, folder: Path, grids: list[str]) -> list[float]:
    """Return how long each trial of finished grids trained."""
    plan = make_plan(params, grids, Ledger.open(folder / "runs"))
    return [float(outcome["seconds"]) for outcome in plan.outcomes.values()]


def measure_overhead(trials: int, folder: Path) -> None:
    """Run trials of one epoch, and print what each costs beyond its training."""
    change = {
        "prepare": {"datasets": {"digits": TINY}},
        "trial": {"dataset": "digits", "h": 1e-3, "epochs": 1},
        "grids": {"many": {"axes": {"seed": list(range(trials))}}},
    }
    params = make_project(folder, change)
    wall = time_sweep(folder, ["many"], "--no-track")
    again = time_sweep(folder, ["many"], "--no-track")
    training = training_seconds(params, folder, ["many"])
    at_once = slots_here(params.scale.resources)
    overhead = (wall - sum(training) / at_once) / trials
    print(f"{trials} trials on {at_once} slots: {wall:.1f} s, of training {sum(training):.1f} s")
    print(f"overhead per trial, Ray's start included: {overhead:.3f} s")
    print(f"the same again, nothing left to do: {again:.2f} s")


def measure_grids(grids: list[str], folder: Path) -> None:
    """Sweep grids of the laptop scale with MLflow, and print wall time against the trainings."""
    params = make_project(folder, {})
    grids = list(params.scale.grids) if grids == ["all"] else grids
    wall = time_sweep(folder, grids)
    again = time_sweep(folder, grids)
    training = training_seconds(params, folder, grids)
    at_once = slots_here(params.scale.resources)
    floor = sum(training) / at_once
    print(f"{', '.join(grids)}: {len(training)} trials on {at_once} slots, {wall:.1f} s")
    print(
        f"training / slots: {floor:.1f} s; allowed 1.15 x that + 15 s = {1.15 * floor + 15:.1f} s"
    )
    print(f"the same again, nothing left to do: {again:.2f} s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--trials", type=int, help="trials of one epoch each")
    what.add_argument("--grid", nargs="+", help="grids of the laptop scale, or all")
    arguments = parser.parse_args()
    print(f"{machine()}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="adambias-sweep-") as name:
        if arguments.grid:
            measure_grids(arguments.grid, Path(name))
        else:
            measure_overhead(arguments.trials, Path(name))


if __name__ == "__main__":
    main()
