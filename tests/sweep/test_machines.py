"""Machines on which Ray does not start by itself: long temporary folders, homes for nobody."""

from __future__ import annotations

from pathlib import Path

from processes import asked, change


def test_ray_starts_beside_a_long_temporary_folder_and_a_home_that_cannot_be_written(
    project: Path,
) -> None:
    change(project, "grids", tiny={"axes": {"seed": [0]}})
    long = project / ("scratch-of-a-job" * 5)
    long.mkdir()

    done = asked("sweep", "tiny", "--no-track", TMPDIR=str(long), HOME="/proc/nobody")

    assert done.returncode == 0, done.stderr
    assert done.stdout == "1 done, 0 diverged\n"


def test_a_temporary_folder_that_does_not_do_for_ray_is_named(project: Path) -> None:
    long = project / ("a" * 60)

    done = asked("sweep", "tiny", "--no-track", RAY_TMPDIR=str(long))

    assert done.returncode == 1
    said = f"error: RAY_TMPDIR = {long}: cannot be written, or is too long for Ray's sockets: set "
    assert done.stderr.splitlines()[-1] == (
        f"{said}RAY_TMPDIR to a folder whose path has at most 39 bytes"
    )
    assert not long.exists()
