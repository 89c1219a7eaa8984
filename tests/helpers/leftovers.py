"""A plugin of pytest: what tests start and make ends with them, and what does not fails the run.

Processes, listening ports and folders of ours in the temporary folder count, in each process that
runs tests. What is found is named, ended and removed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

PATIENCE = 15.0
"""Seconds in which processes may end by themselves: Ray's agents take some."""
OURS = "adambias-tune-*"
"""What sweeps make in the temporary folder; Ray keeps the logs of a session by itself."""
PR_SET_CHILD_SUBREAPER = 36
HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""Processes that Python keeps beside its own until it ends."""


def _begin() -> None:
    """Take signals as when started by hand, adopt orphans, and use a temporary folder of our own.

    A shell lets its background jobs ignore Ctrl-C, and what they start inherits that unless there
    is a handler: tests press Ctrl-C on what they have started. SIGTERM ends the tests as Ctrl-C
    does, so that fixtures end what they have started.
    """
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, signal.default_int_handler)
    if sys.platform == "linux":
        # A process whose parent has died becomes a child of this one, not of init.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    # Where pytest keeps its own folders, to be looked at afterwards.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    # Short: paths of Ray's sockets are at most 107 bytes long.
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        folder = Path(tempfile.gettempdir(), worker)
        folder.mkdir(exist_ok=True)
    else:
        folder = Path(tempfile.mkdtemp(prefix="t-"))
        folder.chmod(0o711)  # PostgreSQL refuses to run as root: another user has to get through
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


_begin()


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Fail what ran last if processes, ports or folders are left; made first, it ends last."""
    ports = set(_ports())
    yield
    left = [*_take_processes(), *_take_folders()]
    left += [f"port {port} listens" for port in sorted(set(_ports()) - ports)]
    if left:
        pytest.fail("tests have left behind:\n" + "\n".join(left), pytrace=False)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look again once workers have ended, which may have been killed."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    if left := [*_take_processes(), *_take_folders()]:
        print("tests have left behind:", *left, sep="\n", file=sys.stderr)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure() -> None:
    """Remove the temporary folder, also where the end of a fixture has failed."""
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)


def _take_processes() -> Iterator[str]:
    """Name and kill the processes that have been started here and do not end by themselves."""
    started = [p for p in psutil.Process().children(recursive=True) if not _is_helper(p)]
    _, alive = psutil.wait_procs(started, timeout=PATIENCE)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                words = " ".join(process.cmdline()).strip() or process.name()
                yield f"process {process.pid}: {words[:200]}"
                process.kill()
    psutil.wait_procs(alive, timeout=PATIENCE)


def _is_helper(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return any(name in word for word in process.cmdline() for name in HELPERS)
    return True


def _take_folders() -> Iterator[str]:
    for path in sorted(Path(tempfile.gettempdir()).glob(OURS)):
        yield f"folder {path}"
        shutil.rmtree(path, ignore_errors=True)


def _ports() -> Iterator[int]:
    """Yield the ports at which this process listens; others' end with them."""
    for connection in psutil.Process().net_connections(kind="tcp"):
        if connection.status == psutil.CONN_LISTEN:
            yield connection.laddr.port
