"""The sweep stage under ``dvc repro``, on a cluster that was started by hand."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from processes import (
    ROOT,
    SECONDS,
    Running,
    all_end,
    has_checkpoint,
    moment,
    tables,
    trial_workers,
)

BIN = Path(sys.executable).parent
STAGE = "sweep@beta2"


@pytest.fixture
def repository(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the project with pipeline and library, in Git and DVC, its data prepared by DVC."""
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(project / "src"))
    for name in ("dvc.yaml", ".dvcignore", "scales/common.yaml"):
        shutil.copy(ROOT / name, project / name)
    for name in ("pipeline", "src"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, project / name, ignore=ignored)
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["dvc", "repro", "prepare"]):
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
    return project


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[psutil.Popen]]]:
    """Start a head and a worker as two commands; return the address and both processes."""
    # Unset, `ray start` asks for a token where there is one, and a driver sends none.
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    folder = tempfile.mkdtemp(prefix="ray-")  # not tmp_path: too long for a socket's name
    address = f"127.0.0.1:{_free_port()}"
    common = ["--block", "--num-cpus=1", "--object-store-memory=80000000"]
    head = ["--head", f"--port={address.partition(':')[2]}", f"--temp-dir={folder}"]
    started = []
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for options in ([*head, "--include-dashboard=false"], [f"--address={address}"]):
            command = [f"{BIN}/ray", "start", "--node-ip-address=127.0.0.1", *common, *options]
            node = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
            stack.callback(stop, node)
            started.append(node)
            _await_nodes(address, len(started))
        yield address, started


def _await_nodes(address: str, count: int) -> None:
    code = (
        "import sys, time, ray\n"
        "end = time.monotonic() + 200\n"
        "while True:\n"
        "    try:\n"
        "        ray.init(sys.argv[1], logging_level='ERROR', log_to_driver=False)\n"
        "        break\n"
        "    except (ConnectionError, RuntimeError, ValueError):\n"
        "        assert time.monotonic() < end\n"
        "        time.sleep(0.5)\n"
        "while len(ray.nodes()) < int(sys.argv[2]):\n"
        "    assert time.monotonic() < end\n"
        "    time.sleep(0.2)\n"
    )
    command = [sys.executable, "-c", code, address, str(count)]
    subprocess.run(command, check=True, timeout=SECONDS)


def stop(node: psutil.Popen) -> None:
    """Kill a node with all its processes, as the loss of a machine does."""
    with contextlib.suppress(psutil.NoSuchProcess):
        processes = [*node.children(recursive=True), node]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=SECONDS)


def test_ctrl_c_leaves_the_stage_not_done_and_the_next_repro_goes_on_without_a_lost_node(
    repository: Path, undisturbed: dict[str, bytes], nodes: tuple[str, list[psutil.Popen]]
) -> None:
    address, (_, worker) = nodes
    repro = Running(repository, "dvc", "repro", STAGE, RAY_ADDRESS=address)
    repro.wait_for(lambda: has_checkpoint(repository))
    repro.interrupt()
    assert repro.end() != 0
    assert "interrupted: what is finished is kept, run the same again" in repro.said()
    assert "Traceback" not in repro.said()
    assert not (repository / "results" / "sweeps" / "beta2").exists()
    assert _status(repository) != 0

    again = Running(repository, "dvc", "repro", STAGE, RAY_ADDRESS=address)
    again.wait_for(lambda: trial_workers(worker))
    moment(random.Random(4), 1.0)
    stop(worker)
    assert again.end() == 0, again.said()
    assert f"joining Ray at {address}" in again.said()
    assert "MLflow is behind" in again.said()
    assert _status(repository) == 0
    assert tables(repository, "beta2") == undisturbed


def test_the_stage_and_its_ray_end_with_a_dvc_that_is_killed(repository: Path) -> None:
    repro = Running(repository, "dvc", "repro", STAGE)
    repro.wait_for(lambda: has_checkpoint(repository))
    started = repro.process.children(recursive=True)
    repro.process.kill()

    assert all_end(started)
    assert repro.said().splitlines()[-1].startswith("interrupted: what is finished is kept")
    assert not list(Path(tempfile.gettempdir()).glob("adambias-tune-*"))


def _status(repository: Path) -> int:
    """Return 0 if DVC takes the stage for done."""
    command = ["dvc", "status", "--quiet", STAGE]
    return subprocess.run(command, cwd=repository, timeout=SECONDS).returncode
