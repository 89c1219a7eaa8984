"""Mirror the ledger into MLflow while a sweep runs, in a process of its own.

A process of lower priority leaves the processors to the sweep, and it can be killed if the store
hangs. It stops by itself when the driver is gone. Ray's own callback for MLflow runs in the driver,
with a request per metric and report, and gives a restored trial a second run
(ray/air/integrations/mlflow.py).
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
class MirrorTask:
    """What the mirror's process mirrors, and where to."""

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
    task = MirrorTask(
        uri=uri,
        ledger=ledger.store.uri,
        scale=scale,
        views=tuple(views),
        root=str(Path(root).absolute()),
    )
    child = _start(task)
    try:
        yield
    finally:
        _finish(child, task, patience)


def _start(task: MirrorTask) -> subprocess.Popen[bytes]:
    """Start the process and hand it its task."""
    # A process group of its own: a terminal sends Ctrl-C to the whole group, and the mirror has to
    # outlive the sweep to write its end.
    child = subprocess.Popen(
        [sys.executable, "-m", "adambias.tracking.mlflow.process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    # By a pipe, not by arguments: a tracking URI may hold a password, which ps would show.
    with contextlib.suppress(OSError):  # a process that died says why on its standard error
        pickle.dump(task, child.stdin)
        child.stdin.flush()
    # Somebody has to read: a full pipe would stop the mirror in the middle of a line.
    threading.Thread(target=_relay, args=(child.stdout,), daemon=True).start()
    return child


def _relay(messages: IO[bytes]) -> None:
    """Log what the process says."""
    for line in messages:
        with contextlib.suppress(ValueError, KeyError):
            message = json.loads(line)
            logger.log(message["level"], "%s", message["text"])


def _finish(child: subprocess.Popen[bytes], task: MirrorTask, patience: float) -> None:
    """Ask for the last pass and wait for it, ``patience`` seconds at most."""
    assert child.stdin is not None
    began = time.monotonic()
    try:
        with contextlib.suppress(OSError):  # it is gone; the ledger has everything
            child.stdin.write(b"finish\n")
            child.stdin.flush()
        # A wait of a few seconds needs no word of explanation.
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(min(3.0, patience))
            return
        logger.info("writing the last of the sweep to MLflow …")
        child.wait(max(0.0, patience - 3.0))
    except subprocess.TimeoutExpired:
        waited = time.monotonic() - began
        logger.warning(
            "MLflow at %s is not up to date after %.0f s: run adambias sync",
            location.shown(task.uri),
            waited,
        )
    finally:
        # Ctrl-C during the wait comes here too. Killing is safe: the next pass completes the view.
        if child.poll() is None:
            child.kill()
            child.wait()
        with contextlib.suppress(OSError):
            child.stdin.close()
