"""Mirror the ledger into MLflow while a sweep runs, in a process of its own.

A process of lower priority leaves the sweep its processors, costs the driver nothing, and can be
ended if the store hangs. It stops by itself when the driver is gone.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from adambias.ledger.ledger import Ledger
from adambias.tracking.mlflow import location
from adambias.tracking.mlflow.views import View

logger = logging.getLogger("adambias.tracking")
PATIENCE = 120.0
"""Most seconds that the end of a sweep waits for the last pass."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the mirror's process is to do."""

    uri: str
    ledger: str
    scale: str
    views: tuple[View, ...]
    root: str


@contextlib.contextmanager
def mirror_views(
    ledger: Ledger,
    scale: str,
    views: Iterable[View],
    uri: str,
    *,
    root: str | os.PathLike[str],
    patience: float = PATIENCE,
) -> Iterator[None]:
    """Keep MLflow's view of some grids up to date while the body runs, and complete it at the end.

    Parameters
    ----------
    ledger : Ledger
        Where the trials write.
    scale : str
        Name of the scale.
    views : iterable of View
        The grids.
    uri : str
        The tracking store. Trouble with it is logged in one line and never raised: the ledger has
        everything, ``adambias sync`` shows it.
    root : path
        The project's folder, whose commit is shown.
    patience : float
        Most seconds the end waits for the last pass.
    """
    order = Order(
        uri=uri,
        ledger=ledger.store.uri,
        scale=scale,
        views=tuple(views),
        root=str(Path(root).absolute()),
    )
    child = _start(order)
    try:
        yield
    finally:
        _finish(child, order, patience)


def _start(order: Order) -> subprocess.Popen[bytes]:
    """Start the process; a group of its own keeps Ctrl-C, meant for the sweep, from it."""
    child = subprocess.Popen(
        [sys.executable, "-m", "adambias.tracking.mlflow.process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(OSError):  # a process that died says why on its standard error
        pickle.dump(order, child.stdin)
        child.stdin.flush()
    threading.Thread(target=_relay, args=(child.stdout,), daemon=True).start()
    return child


def _relay(messages: IO[bytes]) -> None:
    """Log what the process says."""
    for line in messages:
        with contextlib.suppress(ValueError, KeyError):
            message = json.loads(line)
            logger.log(message["level"], "%s", message["text"])


def _finish(child: subprocess.Popen[bytes], order: Order, patience: float) -> None:
    """Ask for the last pass and wait for it, but not for ever."""
    assert child.stdin is not None
    began = time.monotonic()
    try:
        with contextlib.suppress(OSError):
            child.stdin.write(b"finish\n")
            child.stdin.flush()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(min(3.0, patience))
            return
        logger.info("writing the last of the sweep to MLflow …")
        child.wait(max(0.0, patience - 3.0))
    except subprocess.TimeoutExpired:
        waited = time.monotonic() - began
        logger.warning(
            "MLflow at %s is not up to date after %.0f s: run adambias sync",
            location.shown(order.uri),
            waited,
        )
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        with contextlib.suppress(OSError):
            child.stdin.close()
