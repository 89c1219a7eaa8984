"""Tests leave no process, folder or port behind; the plugin that sees to it, on tests that do."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from processes import IN_THE_BACKGROUND

HELPERS = Path(__file__).resolve().parents[1] / "helpers"
CONFTEST = """
pytest_plugins = ["leftovers"]

def pytest_configure(config):
    config.pluginmanager.get_plugin("leftovers").PATIENCE = 1.0
"""
UNTIDY = """
import pathlib, socket, subprocess, tempfile, time

def test_process():
    # Started by a process that ends at once: an orphan, in a session of its own.
    subprocess.run("setsid sleep 1234 & echo $! >pid", shell=True, check=True)

def test_folder():
    pathlib.Path("folder").write_text(tempfile.mkdtemp(prefix="adambias-tune-"))

def test_port():
    global server
    server = socket.create_server(("127.0.0.1", 0))
    pathlib.Path("port").write_text(str(server.getsockname()[1]))
"""
SLOW = """
import subprocess, time

def test_slow():
    child = subprocess.Popen(["sleep", "1234"])
    open("pid", "w").write(str(child.pid))
    try:
        time.sleep(600)
    finally:
        open("ended", "w")
"""
TIDY = "import signal\n\ndef test_ctrl_c():\n    assert signal.SIG_IGN != signal.getsignal(2)\n"


def begin(folder: Path, text: str, *options: str) -> subprocess.Popen[str]:
    """Start tests in a folder in the background, with the plugin."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(text)
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {shlex.quote(str(HELPERS))}\n")
    dropped = ("PYTEST_", "COV_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    command = [*IN_THE_BACKGROUND, sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    return subprocess.Popen(
        [*command, f"--basetemp={folder}/base", *options],
        cwd=folder,
        env=environment | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["alone", "with workers"])
def test_what_is_left_behind_is_named_fails_the_run_and_is_taken_away(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    run = begin(tmp_path, UNTIDY, *options)
    said = run.communicate(timeout=120)[0]

    assert run.returncode == 1, said
    assert "3 passed, 1 error" in said
    pid, folder, port = ((tmp_path / name).read_text() for name in ("pid", "folder", "port"))
    for line in (f"process {pid.strip()}: sleep 1234", f"folder {folder}", f"port {port} listens"):
        assert line in said
    assert not psutil.pid_exists(int(pid))
    assert not list(tmp_path.glob("t-*"))


def test_tidy_tests_pass_and_may_press_ctrl_c(tmp_path: Path) -> None:
    run = begin(tmp_path, TIDY)

    assert "1 passed" in run.communicate(timeout=60)[0]
    assert run.returncode == 0


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["alone", "with workers"])
def test_tests_end_in_order_when_they_are_told_to(tmp_path: Path, options: tuple[str, ...]) -> None:
    run = begin(tmp_path, SLOW, *options)
    while not (tmp_path / "pid").exists():
        assert run.poll() is None
        time.sleep(0.05)
    time.sleep(0.2)
    run.send_signal(signal.SIGTERM)

    assert run.communicate(timeout=120)[0]
    assert run.returncode != 0
    assert (tmp_path / "ended").exists()
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
    assert not list(tmp_path.glob("t-*"))
