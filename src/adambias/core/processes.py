"""Independent calls in processes of their own, one thread of torch in each."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from adambias.core.shown import shown

Name = TypeVar("Name")
# A forked process has the parent's imports, which take longer than many a call. With one thread of
# torch each it is safe, as it is for PyTorch's own data loaders. On other systems their libraries
# do not survive a fork.
_CONTEXT = get_context("fork" if sys.platform == "linux" else "spawn")


def run_all(
    calls: Mapping[Name, Callable[[], Any]], workers: int, title: str = ""
) -> dict[Name, Any]:
    """Make every call, in the order given, and return what each returned.

    Parameters
    ----------
    calls : mapping
        Calls by name, which must pickle; a `functools.partial` of a module's function does. Put
        long ones first, so that none runs alone at the end.
    workers : int
        Processes; 1 makes the calls in this one.
    title : str
        What the calls compute, to be shown with how far they are; nothing is shown without.

    Returns
    -------
    dict
        Results by name, in the order of ``calls``.
    """
    with shown(title, len(calls)) as advance:
        if workers > 1:
            return _run_in_processes(calls, workers, advance)
        done = {}
        for name, call in calls.items():
            done[name] = call()
            advance()
        return done


def _run_in_processes(
    calls: Mapping[Name, Callable[[], Any]], workers: int, advance: Callable[[], None]
) -> dict[Name, Any]:
    reader, writer = _CONTEXT.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, _CONTEXT, _begin, (reader, writer))
    try:
        futures = {name: pool.submit(call) for name, call in calls.items()}
        for future in futures.values():
            future.add_done_callback(lambda _: advance())
        return {name: future.result() for name, future in futures.items()}
    except BaseException:  # after an error or Ctrl-C nobody waits for the calls under way
        writer.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        writer.close()
        reader.close()


def _begin(reader: Connection, writer: Connection) -> None:
    """Prepare a process of the pool: it lives no longer than the one that waits for it."""
    _use_one_thread()
    # The parent's handlers are inherited; a Ctrl-C reaches the parent too, which ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Once no process holds the other end: the parent has closed it, or is dead, however it died.
    writer.close()
    threading.Thread(target=_end_with, args=(reader,), daemon=True).start()


def _end_with(reader: Connection) -> None:
    with contextlib.suppress(EOFError):
        reader.recv_bytes()
    os._exit(1)  # sys.exit would end this thread only


CGROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Where Linux says what a container may use, and which groups this process is in."""


def cores() -> int:
    """Return how many processors this process may use: at most its container's quota of them."""
    allowed = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    return max(1, math.floor(min(allowed, _quota())))


def _quota() -> float:
    """Return the processors that control groups grant, of either version; infinite without."""
    granted = [_ratio(*_words(folder / "cpu.max")) for folder in _folders("")]
    for folder in _folders("cpu"):
        limits = (_words(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        granted.append(_ratio(*(word for words in limits for word in words)))
    return min(granted, default=math.inf)


def _folders(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's group under a controller, and of those above it."""
    base = CGROUPS / controller
    try:
        lines = OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, names, place = line.split(":", 2)
        if controller in names.split(","):
            # In a container the path may be the host's, and its own group the top one.
            folder = base / place.lstrip("/")
            above = (folder, *folder.parents)
            yield from (each for each in above if each == base or base in each.parents)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:
        return []


def _ratio(*words: str) -> float:
    """Return a quota over its period, infinite where either is missing or says there is none."""
    try:
        quota, period = map(float, words)
    except ValueError:  # "max"
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf


def _use_one_thread() -> None:
    """Keep the processes from taking each other's cores, whether torch is there yet or not."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
