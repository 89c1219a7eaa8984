"""Sweeps from Python: their tables, and those that are stopped again and again."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from adambias.core.errors import OutOfTime

MOST = 40
"""Most calls that a sweep is given to come to its end."""


def without_times(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table without what differs when a trial is trained again."""
    return table.drop(columns="seconds")


def until_it_is_done(sweep: Callable[[], pd.DataFrame]) -> tuple[pd.DataFrame, list[str]]:
    """Call a sweep until its time is not up; return its table, and what it said before."""
    said: list[str] = []
    while True:
        try:
            return sweep(), said
        except OutOfTime as error:
            said.append(str(error))
            assert len(said) < MOST
