"""Names for trials, by the fields in which they differ.

Each place that names trials chooses the fields here and joins them in its own form:
``beta2=0.99 seed=1`` on a terminal, ``beta2 0.99 seed 1`` in MLflow, ``rule lion, h 0.001`` in a
figure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from adambias.config.grid import Grid
from adambias.config.trial import TRIAL_FIELDS, Trial


def varying(columns: Mapping[str, Iterable[Any]]) -> list[str]:
    """Return the fields that take more than one value, in the order of a trial's.

    Parameters
    ----------
    columns : mapping
        The values of each field over some trials; what is no field of a trial is left out.
    """
    # Compared as words: lists do not hash, and NaN, a table's None, is not equal to itself.
    counts = {name: len(set(map(str, columns[name]))) for name in TRIAL_FIELDS if name in columns}
    return [name for name, count in counts.items() if count > 1]


def swept(trials: Iterable[Trial]) -> list[str]:
    """Return the fields in which trials differ."""
    trials = list(trials)
    return varying({name: [getattr(trial, name) for trial in trials] for name in TRIAL_FIELDS})


def telling(trial: Trial, swept: Collection[str] = ()) -> list[str]:
    """Return the fields that are swept, or that differ from their defaults."""
    return [n for n, default in TRIAL_FIELDS.items() if n in swept or getattr(trial, n) != default]


def defined(grid: Grid) -> list[str]:
    """Return the fields that a grid's definition varies, the seed last; some always do.

    Unlike those in which its trials differ, they stay when one value is all that an axis has left.
    """
    named = [*grid.axes, *(name for entry in grid.trials for name in entry)]
    varied = [name for name in dict.fromkeys(named) if name != "seed"]
    return [*(varied or ("beta1", "beta2", "h")), "seed"]


def words(
    values: Mapping[Any, Any],
    fields: Iterable[str],
    *,
    equals: str = " ",
    show: Callable[[Any], str] = str,
) -> list[str]:
    """Return each field with its value: ``beta2 0.99``."""
    return [f"{name}{equals}{show(values[name])}" for name in fields]


def short(value: Any) -> str:
    """Return a value in few letters: numbers with at most six digits."""
    return f"{value:g}" if isinstance(value, float) else str(value)
