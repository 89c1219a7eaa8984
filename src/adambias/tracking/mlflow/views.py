"""What is to be shown, and what a pass over it did."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from adambias.config import Grid
from adambias.ledger.job import Job


@dataclass(frozen=True, kw_only=True)
class View:
    """A grid to show: its name, its definition and its trials."""

    name: str
    grid: Grid
    jobs: tuple[Job, ...]


@dataclass(kw_only=True)
class Summary:
    """What a pass over the ledger did to MLflow.

    Parameters
    ----------
    runs, created, updated : int
        Runs of trials that are there now, that were opened, and that were brought up to date.
    points : int
        Points of curves and summaries written.
    problems : list of str
        Trials that could not be shown, one line each.
    """

    runs: int = 0
    created: int = 0
    updated: int = 0
    points: int = 0
    problems: list[str] = field(default_factory=list)

    def __add__(self, other: Summary) -> Summary:
        """Return the sum of passes over different grids."""
        names = [f.name for f in dataclasses.fields(self)]
        return Summary(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def __str__(self) -> str:
        """Return the counts in words."""
        words = (
            f"{self.runs} runs: {self.created} created, {self.updated} updated, "
            f"{self.points:,} points written"
        )
        return "\n".join([words, *self.problems])
