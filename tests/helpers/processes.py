"""Projects, sweeps in processes of their own, and the tables they end with."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

from adambias.config import DatasetSpec, ScaleFiles, load_params
from adambias.data.preparation import prepare
from adambias.ledger.collect import collect
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import make_plan

ROOT = Path(__file__).resolve().parents[2]
DIGITS = {"source": "digits", "train_size": 40, "test_size": 40}
AXES = {"beta2": [0.9, 0.99], "seed": [0, 1]}
GRIDS = {
    "tiny": {"axes": AXES},
    "beta2": {"base": {"epochs": 150, "eval_every": 50}, "axes": AXES},
}
# A shell lets its background jobs ignore Ctrl-C; what they start inherits that.
IN_THE_BACKGROUND = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
SECONDS = 280.0
"""Most seconds a sweep may take here; many processes may share the machine."""


def make_project(folder: Path) -> None:
    """Write the parameters of a small scale and prepare its data."""
    settings = ScaleFiles(ROOT / "params.yaml", "smoke").settings()
    settings["prepare"]["datasets"]["digits"] = DIGITS
    settings["trial"] = {"dataset": "digits", "h": 1e-3, "epochs": 6, "eval_every": 3}
    settings["grids"] |= GRIDS
    settings["resources"] = {"checkpoint_seconds": 0.2}
    (folder / "scales").mkdir(parents=True)
    (folder / "params.yaml").write_text("scale: small\n")
    _write(folder, settings)
    prepare("digits", DatasetSpec(**DIGITS), folder / "data")


def change(folder: Path, section: str, **values: object) -> None:
    """Change a section of the project's scale."""
    settings = YAML(typ="safe").load(folder / "scales" / "small.yaml")
    settings[section] |= values
    _write(folder, settings)


def _write(folder: Path, settings: dict[str, Any]) -> None:
    with (folder / "scales" / "small.yaml").open("w") as stream:
        YAML(typ="safe").dump(settings, stream)


def adambias(*arguments: str) -> list[str]:
    """Return a command line of adambias."""
    return [sys.executable, "-m", "adambias.cli", *arguments]


class Running:
    """A command under way in a project's folder, in a process group of its own."""

    def __init__(self, folder: Path, *command: str, **variables: str) -> None:
        self._said = folder / f"said-{time.monotonic_ns()}"
        with self._said.open("w") as stream:
            self.process = psutil.Popen(
                command,
                cwd=folder,
                env={**os.environ, **variables},
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        """Return what it has printed so far."""
        return self._said.read_text()

    def end(self) -> int:
        """Wait for its end and return the exit code."""
        return int(self.process.wait(timeout=SECONDS))

    def wait_for(self, holds: Callable[[], object]) -> None:
        """Wait until something holds, while the command is alive."""
        end = time.monotonic() + SECONDS
        while not holds():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < end, self.said()
            time.sleep(0.02)

    def interrupt(self) -> None:
        """Press Ctrl-C: a terminal sends SIGINT to the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """Kill it, and see that no trial outlives it."""
        trials = trial_workers(self.process)
        self.process.kill()
        self.process.wait()
        _, alive = psutil.wait_procs(trials, timeout=SECONDS)
        assert not alive, "trials outlive their driver"
        take_scratch()


def take_scratch() -> None:
    """Remove what Tune of a killed driver leaves; a sweep does, a week later."""
    for folder in Path(tempfile.gettempdir()).glob("adambias-tune-*"):
        shutil.rmtree(folder)


def sweep_of(folder: Path, grid: str, *options: str, **variables: str) -> Running:
    """Start a sweep that does not track."""
    return Running(folder, *adambias("sweep", "--no-track", grid, *options), **variables)


def asked(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of adambias that has no terminal, in the working directory."""
    return subprocess.run(
        adambias(*arguments),
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def all_end(processes: list[psutil.Process], seconds: float = 20.0) -> bool:
    """Wait for processes to end; tell whether all do."""
    return not psutil.wait_procs(processes, timeout=seconds)[1]


def trial_workers(ancestor: psutil.Process) -> list[psutil.Process]:
    """Return the processes under ``ancestor`` in which Ray trains trials."""
    found = []
    for process in ancestor.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any("Trainable" in word for word in process.cmdline()[:1]):
                found.append(process)
    return found


def has_checkpoint(folder: Path) -> bool:
    """Tell whether some trial of the project's ledger is under way and has a checkpoint."""
    return any((folder / "runs").glob("*/checkpoint.pt"))


def moment(chance: random.Random, longest: float) -> None:
    """Let a random time pass."""
    time.sleep(longest * chance.random())


def tables(folder: Path, grid: str, store: str | None = None) -> dict[str, bytes]:
    """Collect a finished grid's tables, and return their bytes."""
    params, ledger = load_params(folder / "params.yaml"), Ledger.open(store or folder / "runs")
    plan = make_plan(params, [grid], ledger)
    assert not plan.pending
    collect(plan, ledger, folder / "tables")
    return {
        name: (folder / "tables" / grid / f"{name}.parquet").read_bytes()
        for name in ("histories", "trials")
    }
