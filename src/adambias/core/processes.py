"""Independent calls in processes of their own, one thread of torch in each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

Name = TypeVar("Name")
# A forked process has the parent's imports, which take longer than many a call. With one thread of
# torch each it is safe, as it is for PyTorch's own data loaders. On other systems their libraries
# do not survive a fork.
_CONTEXT = get_context("fork" if sys.platform == "linux" else "spawn")


def run_all(calls: Mapping[Name, Callable[[], Any]], workers: int) -> dict[Name, Any]:
    """Make every call, in the order given, and return what each returned.

    Parameters
    ----------
    calls : mapping
        Calls by name, which must pickle; a `functools.partial` of a module's function does. Put
        long ones first, so that none runs alone at the end.
    workers : int
        Processes; 1 makes the calls in this one.

    Returns
    -------
    dict
        Results by name, in the order of ``calls``.
    """
    if workers == 1:
        return {name: call() for name, call in calls.items()}
    with ProcessPoolExecutor(workers, _CONTEXT, _use_one_thread) as pool:
        futures = {name: pool.submit(call) for name, call in calls.items()}
        return {name: future.result() for name, future in futures.items()}


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _use_one_thread() -> None:
    """Keep the processes from taking each other's cores, whether torch is there yet or not."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
