"""End with the program that started this one."""

from __future__ import annotations

import os
import signal
import threading
import time

import psutil

LOOK_SECONDS = 1.0
"""Seconds between two looks at whether DVC is alive."""


def end_with_dvc() -> None:
    """Send this process SIGTERM once the DVC that runs it as a stage is gone; else do nothing.

    A terminal's Ctrl-C reaches the whole process group, but SIGTERM or SIGKILL may go to DVC alone.
    """
    if "DVC_STAGE" in os.environ and (dvc := _dvc()) is not None:
        threading.Thread(target=_watch, args=(dvc,), daemon=True).start()


def _dvc() -> psutil.Process | None:
    """Return the nearest ancestor that is no part of the stage, which is DVC itself."""
    try:
        for process in psutil.Process().parents():
            # DVC gives its stages this variable, and may start them through a shell.
            if "DVC_STAGE" not in process.environ():
                return process
    except psutil.Error:  # another user's, or gone
        return None
    return None


def _watch(dvc: psutil.Process) -> None:
    while is_alive(dvc):
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process has not ended."""
    # Not is_running: some versions take a process for another one once the clock was set.
    try:
        return str(process.status()) != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
