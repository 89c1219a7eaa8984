"""Machines on which Ray does not start by itself: odd paths, long folders, homes of nobody."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from processes import SECONDS, adambias, asked, change


def test_ray_starts_from_an_odd_path_beside_a_long_temporary_folder_and_without_a_home(
    project: Path,
) -> None:
    change(project, "grids", tiny={"axes": {"seed": [0]}})
    odd = project / "mein Prüfstand it's $HOME"
    long = project / ("scratch-of-a-job" * 5)
    long.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", odd], check=True)
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment = os.environ | environment | {"TMPDIR": str(long), "HOME": "/proc/nobody"}

    done = subprocess.run(
        [odd / "bin" / "python", *adambias("sweep", "tiny", "--no-track")[1:]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "1 done, 0 diverged\n"


def test_a_user_whom_the_system_does_not_know_needs_no_home() -> None:
    """As OpenShift runs containers."""
    user = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]
    if shutil.which("unshare") is None or subprocess.run([*user, "true"]).returncode:
        pytest.skip("this machine lets nobody be another user")
    code = "import sys; from adambias.core.entry import guard; "
    code += "sys.exit(guard(lambda: __import__('ray.tune')))"
    nobody = {k: v for k, v in os.environ.items() if k not in ("HOME", "USER", "LOGNAME")}

    done = subprocess.run(
        [*user, sys.executable, "-c", code], env=nobody, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr


def test_a_temporary_folder_that_does_not_do_for_ray_is_named(project: Path) -> None:
    long = project / ("a" * 60)

    done = asked("sweep", "tiny", "--no-track", RAY_TMPDIR=str(long))

    assert done.returncode == 1
    said = f"error: RAY_TMPDIR = {long}: cannot be written, or is too long for Ray's sockets: set "
    assert done.stderr.splitlines()[-1] == (
        f"{said}RAY_TMPDIR to a folder whose path has at most 39 bytes"
    )
    assert not long.exists()
