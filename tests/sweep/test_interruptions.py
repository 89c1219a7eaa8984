"""Sweeps that are interrupted, killed or lose their store, and what the next one makes of it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from processes import (
    IN_THE_BACKGROUND,
    SECONDS,
    Running,
    adambias,
    all_end,
    asked,
    change,
    has_checkpoint,
    moment,
    sweep_of,
    tables,
    take_scratch,
)

from adambias.sweep.cluster import connection
from adambias.sweep.own_ray import LOOK_SECONDS, watched


def test_an_interrupted_sweep_says_so(project: Path) -> None:
    change(project, "trial", epochs=5000)
    run = sweep_of(project, "tiny", "--executor", "inline")
    run.wait_for(lambda: has_checkpoint(project))
    shown = asked("status", "tiny").stdout
    (project / "runs" / "notes.txt").write_text("watching tells of this before it begins")
    watch = Running(project, *adambias("status", "--watch", "tiny"))
    watch.wait_for(lambda: "notes.txt is no trial" in watch.said())
    time.sleep(1)
    watch.interrupt()
    run.interrupt()

    assert watch.end() == 130
    assert watch.said().splitlines()[-1] == "3 pending, 1 running"
    assert watch.said().endswith("\n")
    assert run.end() == 130
    assert "1 interrupted, 3 pending" in asked("status", "tiny").stdout
    assert run.said().splitlines()[-1].startswith("interrupted: what is finished is kept")
    assert "Traceback" not in run.said()
    assert not list(Path("runs").glob("*/done.json"))
    assert "running on" in shown
    assert "3 pending, 1 running" in shown


@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_a_preempted_sweep_ends_as_an_interrupted_one(project: Path, executor: str) -> None:
    change(project, "trial", epochs=5000)
    command = adambias("sweep", "--no-track", "tiny", "--executor", executor)
    run = Running(project, *IN_THE_BACKGROUND, *command)
    run.wait_for(lambda: has_checkpoint(project))
    started = run.process.children(recursive=True)
    run.process.send_signal(signal.SIGTERM)

    assert run.end() == 130
    assert all_end(started)
    assert " running on " not in asked("status", "tiny").stdout
    assert run.said().splitlines()[-1].startswith("interrupted: what is finished is kept")


@pytest.mark.parametrize("lost", ["raylet", pytest.param("gcs_server", marks=pytest.mark.soak)])
def test_a_sweep_whose_ray_is_killed_says_so_in_one_line(project: Path, lost: str) -> None:
    change(project, "trial", epochs=5000)
    run = sweep_of(project, "tiny")
    run.wait_for(lambda: has_checkpoint(project))
    started = run.process.children(recursive=True)
    next(each for each in started if each.name() == lost).kill()

    assert run.end() == 1
    assert all_end(started)
    assert run.said().splitlines()[-1] == (
        f"error: Ray on this machine: its {lost} is gone, perhaps killed for want of memory: run "
        "the same command again to go on"
    )
    assert len(run.said().splitlines()) < 10
    assert not list(Path(tempfile.gettempdir()).glob("adambias-tune-*"))


def test_no_process_of_ray_outlives_a_killed_driver(project: Path) -> None:
    change(project, "trial", epochs=5000)
    run = sweep_of(project, "tiny")
    run.wait_for(lambda: has_checkpoint(project))
    started = run.process.children(recursive=True)
    run.process.kill()

    assert all_end(started)
    take_scratch()


def test_a_killed_driver_without_ray_goes_on_to_the_same_tables(
    project: Path, undisturbed: dict[str, bytes]
) -> None:
    run = sweep_of(project, "beta2", "--executor", "inline")
    run.wait_for(lambda: has_checkpoint(project))
    moment(random.Random(5), 1.0)
    run.kill()

    again = sweep_of(project, "beta2", "--executor", "inline")
    assert again.end() == 0, again.said()
    assert tables(project, "beta2") == undisturbed


FULL = """
set -e
mount -t tmpfs -o size=$ROOM none runs
code=0; "$@" >full 2>&1 || code=$?
echo "full $code" >codes
mount -o remount,ro,size=100m runs
code=0; "$@" >readonly 2>&1 || code=$?
echo "readonly $code" >>codes
mount -o remount,rw runs
code=0; "$@" >again 2>&1 || code=$?
echo "again $code" >>codes
cp -r runs/. after
"""


def test_a_store_that_is_full_or_read_only_ends_the_sweep_and_the_next_one_goes_on(
    project: Path, undisturbed: dict[str, bytes]
) -> None:
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small file system of their own")
    for name in ("runs", "after"):
        (project / name).mkdir()
    sweep_command = adambias("sweep", "--no-track", "beta2", "--executor", "inline")
    subprocess.run(
        ["unshare", "-rm", "bash", "-c", FULL, "bash", *sweep_command],
        env={**os.environ, "ROOM": "1200k"},
        check=True,
        timeout=SECONDS,
    )

    assert Path("codes").read_text() == "full 1\nreadonly 1\nagain 0\n"
    for name, reason in {"full": "No space left", "readonly": "Read-only file system"}.items():
        last = Path(name).read_text().splitlines()[-1]
        assert last.startswith(f"error: ADAMBIAS_STORE = {project}/runs: cannot be written")
        assert reason in last
    assert tables(project, "beta2", store=str(project / "after")) == undisturbed
    logs = [p.read_text() for p in Path("after").glob("*/log.txt")]
    assert any("goes on from" in log for log in logs)


def test_another_rays_orphan_that_ends_is_none_of_this_sweeps(tmp_path: Path) -> None:
    """A process that adopts orphans, as the first in a container, has those of killed drivers."""
    name = tmp_path / "gcs_server"
    name.symlink_to(shutil.which("sleep") or "/bin/sleep")
    with connection(lambda line: None):
        orphan = subprocess.Popen([name, "100"])
        with watched():
            orphan.kill()
            orphan.wait()
            time.sleep(3 * LOOK_SECONDS)
