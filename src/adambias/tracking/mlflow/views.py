"""What is to be shown, and what a pass over it did."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adambias.config import Grid
from adambias.ledger.job import Job

VERSION = 2
"""Raised when the content of a run changes, so that ``sync`` brings older runs up to date."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A grid to show.

    Parameters
    ----------
    name : str
        Its name.
    grid : Grid
        Its definition.
    jobs : tuple of Job
        Its trials.
    initial_fraction : float
        First part of a training that the highest norm is not looked for in; see
        :func:`adambias.ledger.summary.peak_norm`.
    """

    name: str
    grid: Grid
    jobs: tuple[Job, ...]
    initial_fraction: float

    @property
    def keys(self) -> list[str]:
        """Keys of the trials."""
        return [job.key for job in self.jobs]

    def content(self, outcomes: Mapping[str, Mapping[str, Any]]) -> str:
        """Return a digest of what MLflow must show: the trials, and the results of the finished."""
        lines = [
            f"{key} {outcomes.get(key, {}).get('history_sha256')}" for key in sorted(set(self.keys))
        ]
        head = f"{VERSION} {self.initial_fraction:g}"
        return hashlib.sha256("\n".join([head, *lines]).encode()).hexdigest()

    def mark(self, outcome: Mapping[str, Any]) -> str:
        """Return the tag of a run that shows all of a finished trial."""
        return f"v{VERSION} {outcome['history_sha256'][:32]} {self.initial_fraction:g}"


@dataclass(kw_only=True)
class Summary:
    """What a pass over the ledger did to MLflow.

    Parameters
    ----------
    runs, created, updated : int
        Runs of trials that are there now, that were opened, and that were brought up to date.
    points : int
        Points of curves and summaries written.
    made, restored : int
        Experiments that were missing, and that had been deleted in MLflow.
    renamed, deleted : int
        Experiments and runs whose name was given back, and runs that were a double or held what
        the ledger does not.
    problems : list of str
        Trials that could not be shown, one line each.
    """

    runs: int = 0
    created: int = 0
    updated: int = 0
    points: int = 0
    made: int = 0
    restored: int = 0
    renamed: int = 0
    deleted: int = 0
    problems: list[str] = field(default_factory=list)

    def __add__(self, other: Summary) -> Summary:
        """Return the sum of passes over different grids."""
        names = [f.name for f in dataclasses.fields(self)]
        return Summary(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def __str__(self) -> str:
        """Return the counts in words; what is done to others' doing only where it was done."""
        words = (
            f"{self.runs} runs: {self.created} created, {self.updated} updated, "
            f"{self.points:,} points written"
        )
        counts = {
            "experiments made": self.made,
            "deleted experiments restored": self.restored,
            "experiments and runs given their name back": self.renamed,
            "runs deleted that were double or not as the ledger (until mlflow gc they can be "
            "restored)": self.deleted,
        }
        done = [f"{what}: {count}" for what, count in counts.items() if count]
        return "\n".join(["; ".join([words, *done]), *self.problems])
