"""Watch over a Ray that this process has started: end with it, and let it end with this process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import ray

from adambias.core.errors import SweepError
from adambias.core.launcher import is_alive
from adambias.sweep import reaper

LOOK_SECONDS = 1.0
"""Seconds between two looks at Ray's own processes."""
VITAL = ("gcs_server", "raylet")
"""Processes of Ray without which no trial runs; a raylet ends when one of its agents does."""


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Watch over the Ray started here while the body runs.

    Raises
    ------
    SweepError
        If Ray loses one of its own processes; it would end this one, with pages of its state.
    """
    vital = _vital()
    lost: list[str] = []
    ended = threading.Event()
    threading.Thread(target=_watch, args=(vital, lost, ended), daemon=True).start()
    try:
        yield
    except BaseException:
        if lost:
            raise SweepError(
                f"Ray on this machine: its {lost[0]} is gone, perhaps killed for want of memory: "
                "run the same command again to go on"
            ) from None
        raise
    finally:
        ended.set()


def _vital() -> dict[str, psutil.Process]:
    # By Ray's own list: children of the same names may be of another Ray, whose driver has died and
    # left them to this process, as to the first one in a container.
    node: Any = ray._private.worker._global_node
    return {name: psutil.Process(node.all_processes[name][0].process.pid) for name in VITAL}


def _watch(vital: dict[str, psutil.Process], lost: list[str], ended: threading.Event) -> None:
    while not ended.wait(LOOK_SECONDS):
        if gone := [name for name, process in vital.items() if not is_alive(process)]:
            lost += gone
            # Wakes the main thread out of a wait, as a signal from outside does; see terminable.
            if callable(signal.getsignal(signal.SIGTERM)):
                os.kill(os.getpid(), signal.SIGTERM)
            return


@contextlib.contextmanager
def reaping() -> Iterator[None]:
    """Let a process of its own end Ray's agents once this one has ended, however that was.

    Linux kills ``gcs_server`` and raylet with their parent, and workers follow the raylet. Its
    agents stay for a minute or more: they try to tell of it to the one that is gone as well.
    """
    raylet = _vital().get("raylet")
    agents = raylet.children() if raylet is not None else []
    # A process group of its own: Ctrl-C is for the sweep, which may need a while to end.
    child = subprocess.Popen(
        [sys.executable, reaper.__file__, *(f"{p.pid}" for p in agents)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        yield
    finally:
        child.communicate()  # closes its input, which is what it waits for
