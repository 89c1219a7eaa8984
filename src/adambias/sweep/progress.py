"""The progress of a sweep, shown while it runs: a table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from adambias.ledger.plan import Plan

LINE_SECONDS = 15.0
"""Seconds between two plain lines."""


class SweepProgress:
    """What a sweep has done and has left, counted from the reports of its trials.

    Parameters
    ----------
    plan : Plan
        The plan before the sweep.
    title : str
        Names the sweep.
    ahead : collection of str
        Keys of trials that are trained ahead for other sweeps; whether these finish does not decide
        how this sweep ends.

    Attributes
    ----------
    failed : dict of str
        Why each trial failed that will not be tried again, by key, in the sequence of failing.
    paused : set of str
        Keys of trials that were put away, or not started, as the time was up.
    """

    def __init__(self, plan: Plan, title: str, ahead: Collection[str] = ()) -> None:
        counts = plan.count(plan.jobs)
        self._title, self._total = title, len(plan.jobs)
        self._finished, self._diverged = counts["done"], counts["diverged"]
        self._left = {job.key: job.trial.epochs for job in plan.pending}
        self._running: dict[str, int | None] = {}
        self._epochs_done = 0
        self._began = self._training_since = self._last_line = time.monotonic()
        self._any_started = False
        self._ahead = frozenset(ahead)
        # Tune's callbacks write while the live table, in a thread of its own, reads.
        self._lock = threading.Lock()
        self._live: Live | None = None
        self.failed: dict[str, str] = {}
        self.paused: set[str] = set()

    def __enter__(self) -> Self:
        """Start to show."""
        # What is shown holds paths and errors, in which brackets and colons are no markup.
        console = Console(stderr=True, markup=False, emoji=False)
        if console.is_terminal:
            self._live = Live(console=console, get_renderable=self._table, refresh_per_second=2)
            self._live.start()
        else:
            self._print()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Show the last state."""
        if self._live is not None:
            self._live.stop()
        else:
            self._print()

    @property
    def running(self) -> list[str]:
        """Keys of the trials that a worker has begun and not ended."""
        with self._lock:
            return list(self._running)

    @property
    def left(self) -> set[str]:
        """Keys of the trials that are neither finished nor failed."""
        with self._lock:
            return set(self._left)

    def say(self, line: str) -> None:
        """Show a line, above the table if there is one."""
        if self._live is not None:
            self._live.console.print(line, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def start(self, key: str) -> None:
        """Record that a worker has begun a trial."""
        with self._lock:
            # Speed is measured from here on: Ray takes 10 s to start, in which nothing trains.
            if not self._any_started:
                self._any_started, self._training_since = True, time.monotonic()
            if key in self._left:
                self._running.setdefault(key, None)

    def take(self, key: str, report: Mapping[str, Any]) -> None:
        """Take a trial's report, from :meth:`adambias.sweep.together.Together.advance`."""
        if report["status"] == "unstarted":
            self.pause(key)
        elif report["status"] == "failed":
            self.fail(key, report["reason"])
        else:
            self.update(key, report)

    def update(self, key: str, report: Mapping[str, Any]) -> None:
        """Take how far a trial is, from :meth:`adambias.sweep.worker.ActiveTrial.advance`."""
        with self._lock:
            # A report may come twice (a result and a completion), or from a trial that failed
            # since.
            if key not in self._left or key in self.paused:
                return
            before = self._running.get(key)
            # Epochs of an earlier run, before its checkpoint, were not trained now.
            start = report["first_epoch"] if before is None else before
            self._epochs_done += report["epoch"] - start
            self._running[key] = report["epoch"]
            if report["status"] == "running":
                self._left[key] = report["epochs"] - report["epoch"]
                if report["paused"]:
                    self._pause(key)
            else:
                del self._left[key], self._running[key]
                self._finished += report["status"] == "finished"
                self._diverged += report["status"] == "diverged"
        self._tick()

    def pause(self, key: str) -> None:
        """Note that a trial is not started, or put away, as the time is up."""
        with self._lock:
            self._pause(key)

    def _pause(self, key: str) -> None:
        self.paused.add(key)
        self._running.pop(key, None)

    @property
    def out_of_time(self) -> bool:
        """Whether the sweep ends before its trials do, as its time is up."""
        return bool(self.paused)

    def fail(self, key: str, reason: str) -> None:
        """Count a trial that failed and will not be tried again."""
        with self._lock:
            if self._left.pop(key, None) is None:
                return
            self._running.pop(key, None)
            self.failed[key] = reason
        self.say(f"trial {key} failed: {reason}")

    def has_failed(self, budget: int) -> bool:
        """Tell whether too many trials have failed for the sweep to go on.

        There are two failure budgets of this size: one for the sweep's own trials, one for trials
        that are run ahead. The second stops the sweep only once its own trials are done. If one of
        these has failed by then, so has the sweep: nothing more is run ahead for others.
        """
        with self._lock:
            own = self.failed.keys() - self._ahead
            ahead = self.failed.keys() & self._ahead
            own_left = self._left.keys() - self._ahead
            return len(own) >= budget or (not own_left and (len(own) > 0 or len(ahead) >= budget))

    def lost(self, key: str, reason: str) -> None:
        """Record that a trial lost its worker or its store and will be tried again."""
        with self._lock:
            self._running.pop(key, None)
        self.say(f"trial {key} goes on from its last checkpoint: {reason}")

    def summary(self) -> dict[str, str]:
        """Return the counts, the speed and the time left as words."""
        with self._lock:
            now = time.monotonic()
            training = now - self._training_since
            rate = self._epochs_done / training if training > 0 else 0.0
            epochs_left = sum(self._left.values())
            left = _clock(epochs_left / rate) if rate > 0 else "unknown"
            return {
                "done": f"{self._finished}/{self._total}",
                "running": str(len(self._running)),
                "pending": str(len(self._left) - len(self._running)),
                "diverged": str(self._diverged),
                "failed": str(len(self.failed)),
                "epochs/s": f"{rate:.1f}",
                "time": _clock(now - self._began),
                "left": left if self._left else _clock(0),
            }

    def _table(self) -> Table:
        table = Table(title=self._title)
        row = self.summary()
        for name in row:
            table.add_column(name, justify="right")
        table.add_row(*row.values())
        return table

    def _tick(self) -> None:
        if self._live is None and time.monotonic() - self._last_line >= LINE_SECONDS:
            self._print()

    def _print(self) -> None:
        self._last_line = time.monotonic()
        words = "  ".join(f"{name} {value}" for name, value in self.summary().items())
        self.say(f"{self._title}  {words}")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
