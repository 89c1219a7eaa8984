"""The process that mirrors the ledger, ``python -m adambias.tracking.mlflow.process``."""

from __future__ import annotations

import json
import logging
import os
import pickle
import sys
import threading

from adambias.core import no_telemetry as telemetry
from adambias.core.errors import TrackingError
from adambias.core.provenance import git_state
from adambias.ledger.ledger import Ledger
from adambias.tracking.mlflow import location
from adambias.tracking.mlflow.mirror import MirrorTask

INTERVAL = 10.0
"""Seconds between passes."""
NICENESS = 5


def main() -> None:
    """Mirror until told to finish; stop at once when the driver is gone."""
    # Before anything imports MLflow.
    telemetry.opt_out()
    os.nice(NICENESS)
    task: MirrorTask = pickle.load(sys.stdin.buffer)
    ended = threading.Event()
    threading.Thread(target=_listen, args=(ended,), daemon=True).start()
    passes = Passes(task)
    while True:
        # Asked before the pass: one that began before the sweep ended may have missed its end.
        last = ended.is_set()
        passes.attempt(ended=last)
        if last:
            return
        ended.wait(INTERVAL)


def _listen(ended: threading.Event) -> None:
    # The pipe closes when the driver dies, however it dies: no heartbeat is needed. Leaving at once
    # is safe, because the next pass completes what is half written; sys.exit would end this thread
    # only.
    if sys.stdin.buffer.readline() != b"finish\n":
        os._exit(1)
    ended.set()


def say(level: int, text: str) -> None:
    """Pass a line on to the driver's log."""
    print(json.dumps({"level": level, "text": text}), flush=True)


class Passes:
    """Passes over the grids of a task; a store that cannot be reached does not end them.

    Parameters
    ----------
    task : MirrorTask
        What to mirror.
    """

    def __init__(self, task: MirrorTask) -> None:
        self.task = task
        self._writers: list[object] = []
        self._said: set[str] = set()
        self._away = False

    def attempt(self, *, ended: bool) -> None:
        """Make one pass over every grid; trouble is said once, and never raised."""
        try:
            self._write(ended)
        except Exception as error:  # of any kind: a view is no reason to disturb a sweep
            self._fail(error)
        else:
            if self._away:
                say(logging.WARNING, f"MLflow at {self._place} answers again and has caught up")
            self._away = False

    @property
    def _place(self) -> str:
        return location.shown(self.task.uri)

    def _write(self, ended: bool) -> None:
        # MLflow takes 5 s to import, and a database may be away: both inside what attempt catches.
        from adambias.tracking.mlflow.client import TrackingStore, translated
        from adambias.tracking.mlflow.writer import GridWriter

        with translated(self.task.uri):
            if not self._writers:
                store, ledger = TrackingStore(self.task.uri), Ledger.open(self.task.ledger)
                git = git_state(self.task.root)
                self._writers = [
                    GridWriter(store, ledger, self.task.scale, view, git=git)
                    for view in self.task.views
                ]
            # A try at the port takes seconds; MLflow's own retries would take minutes.
            location.refuse_unreachable(self.task.uri)
            for writer in self._writers:
                assert isinstance(writer, GridWriter)
                for problem in writer.write(ended=ended).problems:
                    self._say_once(problem)

    def _fail(self, error: Exception) -> None:
        if not self._away:
            reason = str(error) if isinstance(error, TrackingError) else repr(error)
            prefix = "" if self._place in reason else f"{self._place}: "
            say(
                logging.WARNING,
                f"MLflow is behind ({prefix}{reason}): the sweep goes on, the ledger has "
                "everything; what MLflow lacks follows, or comes with adambias sync",
            )
        self._away = True

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            say(logging.WARNING, text)
        self._said.add(text)


if __name__ == "__main__":
    main()
