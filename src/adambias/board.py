"""What a sweep shows while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from adambias.plan import Plan

LINE_SECONDS = 15.0
"""Seconds between two plain lines."""


class Board:
    """Progress of a sweep, counted from the trials' reports.

    Parameters
    ----------
    plan : Plan
        The plan before the sweep.
    title : str
        Names the sweep.
    """

    def __init__(self, plan: Plan, title: str) -> None:
        counts = plan.count(plan.jobs)
        self._title, self._total = title, len(plan.jobs)
        self._finished, self._diverged = counts["done"], counts["diverged"]
        self._left = {job.key: job.trial.epochs for job in plan.pending}
        self._running: dict[str, Mapping[str, Any]] = {}
        self._epochs_done = 0
        self._began = self._last_line = time.monotonic()
        self._lock = threading.Lock()
        self._live: Live | None = None
        self.failures = 0

    def __enter__(self) -> Self:
        """Start to show."""
        console = Console(stderr=True)
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

    def update(self, key: str, progress: Mapping[str, Any]) -> None:
        """Take a trial's progress, as :meth:`adambias.worker.TrialRun.advance` returns it."""
        with self._lock:
            if key not in self._left:
                return
            before = self._running.get(key)
            start = before["epoch"] if before else progress.get("first_epoch", 0)
            self._epochs_done += progress["epoch"] - start
            self._running[key] = progress
            if progress["status"] == "running":
                self._left[key] = progress["epochs"] - progress["epoch"]
            else:
                del self._left[key], self._running[key]
                self._finished += progress["status"] == "finished"
                self._diverged += progress["status"] == "diverged"
        self._tick()

    def fail(self, key: str, error: BaseException | str) -> None:
        """Count a trial that failed and will not be tried again."""
        with self._lock:
            if self._left.pop(key, None) is None:
                return
            self.failures += 1
            self._running.pop(key, None)
        reason = str(error).strip().splitlines()[-1:] or [""]
        self._say(f"trial {key} failed: {reason[0]}")

    def lost(self, key: str) -> None:
        """Take note that a trial's worker was lost and the trial starts again."""
        with self._lock:
            self._running.pop(key, None)
        self._say(f"trial {key}: its worker was lost, it goes on from its last checkpoint")

    def summary(self) -> dict[str, str]:
        """Return the counts, the speed and the time left as words."""
        with self._lock:
            elapsed = time.monotonic() - self._began
            rate = self._epochs_done / elapsed if elapsed > 0 else 0.0
            epochs_left = sum(self._left.values())
            left = _clock(epochs_left / rate) if rate > 0 else "unknown"
            return {
                "done": f"{self._finished}/{self._total}",
                "running": str(len(self._running)),
                "pending": str(len(self._left) - len(self._running)),
                "diverged": str(self._diverged),
                "failed": str(self.failures),
                "epochs/s": f"{rate:.1f}",
                "time": _clock(elapsed),
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
        self._say(f"{self._title}  {words}")

    def _say(self, line: str) -> None:
        if self._live is not None:
            self._live.console.print(line, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
