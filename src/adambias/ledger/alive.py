"""Tell which trials run: those whose reports change from one look to the next.

A report says when it was written by the clock of the node that wrote it, which may be minutes off.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger

ALIVE_SECONDS = 60.0
"""A trial whose report stays the same for longer, and for three of its epochs, is interrupted."""
FIRST_EPOCH_SECONDS = 300.0
"""What an epoch is taken to last until the first is over."""
AHEAD_SECONDS = 5.0
"""Most that a clock which is right may be ahead of this one's."""
OFF_SECONDS = 3600.0
"""Most that a clock is taken to be off by: a report that seems older than this is old."""
PATIENCE = 12.0
"""Seconds in which a trial that runs reports, if its epochs are short."""


@dataclass(frozen=True)
class _Seen:
    report: Mapping[str, Any]
    since: float  # by this process's own clock
    changed: bool  # whether a look has seen another report before


class Pulses:
    """What looks at the reports of some trials have seen."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def look(self, jobs: Iterable[Job], reports: Mapping[str, Mapping[str, Any]]) -> set[str]:
        """Take the reports as they are now, and return the keys of the trials that run.

        The first look has nothing to compare with, so it takes the clocks to be right.
        """
        return {job.key for job in jobs if job.key in reports and self._runs(job, reports[job.key])}

    def _runs(self, job: Job, report: Mapping[str, Any]) -> bool:
        if not report.get("updated"):  # its sweep has ended, and has said so
            self._seen.pop(job.key, None)
            return False
        now, seen = time.monotonic(), self._seen.get(job.key)
        if seen is None:
            age = time.time() - report["updated"]
            since = now - age if age > -AHEAD_SECONDS else float("-inf")
            seen = self._seen[job.key] = _Seen(report, since, False)
        elif seen.report != report:
            seen = self._seen[job.key] = _Seen(report, now, True)
        return now - seen.since < _longest(job, report)

    def doubtful(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """Yield the trials that seem to be interrupted by the clocks alone."""
        for job in jobs:
            seen = self._seen.get(job.key)
            if seen is None or seen.changed:
                continue
            age = abs(time.time() - seen.report["updated"])
            silent = time.monotonic() - seen.since >= _longest(job, seen.report)
            if silent and age < OFF_SECONDS:
                yield job


def _longest(job: Job, report: Mapping[str, Any]) -> float:
    """Return the most seconds between two reports of a trial that runs."""
    record = (report.get("seconds_per_epoch") or FIRST_EPOCH_SECONDS) * job.trial.record_every
    return max(ALIVE_SECONDS, 3 * record)


def look_twice(
    ledger: Ledger, jobs: Iterable[Job], patience: float | None = None
) -> tuple[dict[str, dict[str, Any]], set[str]]:
    """Return the reports of some trials and the keys of those that run.

    Where the clocks alone speak against it, looks again for some seconds.
    """
    jobs, pulses = list(jobs), Pulses()
    reports = dict(ledger.reports(job.key for job in jobs))
    running = pulses.look(jobs, reports)
    end = time.monotonic() + (PATIENCE if patience is None else patience)
    while (doubtful := list(pulses.doubtful(jobs))) and time.monotonic() < end:
        time.sleep(0.5)
        news = dict(ledger.reports(job.key for job in doubtful))
        reports |= news
        running |= pulses.look(doubtful, news)
    return reports, running
