"""How commands and stages end: told to, killed, or with the DVC that runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from processes import IN_THE_BACKGROUND

STAGE = """
import pathlib, sys, time
from functools import partial

from adambias.core.entry import run_stage
from adambias.core.processes import run_all


def main():
    pathlib.Path("begun").touch()
    try:
        run_all({name: partial(time.sleep, 600) for name in range(6)}, 2)
    finally:
        pathlib.Path("ended").touch()


run_stage(main)
"""
SECONDS = 30.0


def stage(folder: Path, *before: str, **variables: str) -> subprocess.Popen[str]:
    """Start a stage in the background that computes in two processes, until these run."""
    (folder / "stage.py").write_text(STAGE)
    process = subprocess.Popen(
        [*IN_THE_BACKGROUND, *before, sys.executable, "stage.py"],
        cwd=folder,
        env={**os.environ, **variables},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_hangups,
    )
    wait_for(lambda: len(workers(process)) == 2)
    return process


def heed_hangups() -> None:
    """Undo what the tests inherit where they were started with nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the processes in which a stage computes: children of Python that are its copies."""
    started = psutil.Process(process.pid).children(recursive=True)
    return [p for p in started if p.parent() and p.cmdline() == p.parent().cmdline()]


def wait_for(holds: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGHUP])
def test_a_stage_that_is_told_to_end_does_so_in_order_and_at_once(
    tmp_path: Path, kind: signal.Signals
) -> None:
    process = stage(tmp_path)
    computing = workers(process)
    process.send_signal(kind)
    process.send_signal(kind)  # as make and the process group of both do

    said = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 130
    assert said == "interrupted: what is finished is kept, run the same again\n"
    assert (tmp_path / "ended").exists()
    assert not any(each.is_running() for each in computing)


def test_a_signal_that_comes_again_at_the_very_end_changes_nothing() -> None:
    code = """
import os, signal, sys
from adambias.core.entry import guard

code = guard(lambda: os.kill(os.getpid(), signal.SIGTERM))
for kind in (signal.SIGTERM, signal.SIGHUP):
    os.kill(os.getpid(), kind)
sys.exit(code)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, preexec_fn=heed_hangups, check=False
    )
    assert ended.returncode == 130


def test_nohup_keeps_a_stage_when_its_terminal_closes(tmp_path: Path) -> None:
    process = stage(tmp_path, "nohup")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.terminate()

    process.communicate(timeout=SECONDS)
    assert process.returncode == 130


def test_processes_of_a_killed_stage_end_with_it(tmp_path: Path) -> None:
    process = stage(tmp_path)
    computing = workers(process)
    process.kill()
    process.communicate()

    assert psutil.wait_procs(computing, timeout=SECONDS)[1] == []


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("through", [[], ["sh", "-c", '"$@"; true', "sh"]], ids=["itself", "shell"])
def test_a_stage_ends_in_order_with_the_dvc_that_runs_it(
    tmp_path: Path, kind: signal.Signals, through: list[str]
) -> None:
    # What DVC does: a command in a process of its own, with this variable.
    dvc = "import os, subprocess, sys; subprocess.run(sys.argv[1:], env={**os.environ, **STAGE})"
    code = dvc.replace("STAGE", "{'DVC_STAGE': 'bilinear'}")
    process = stage(tmp_path, sys.executable, "-c", code, *through)
    running = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(kind)
    process.wait()

    assert psutil.wait_procs(running, timeout=SECONDS)[1] == []
    assert (tmp_path / "ended").exists()
