"""Names for trials, by the fields in which they differ.

Each place that names trials chooses the fields here and joins them in its own form:
``beta2=0.99 seed=1`` on a terminal, ``beta2 0.99 seed 1`` in MLflow, ``rule lion, h 0.001`` in a
figure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from adambias.config.grid import Grid
from adambias.config.trial import TRIAL_FIELDS, Trial, is_option


def varying(columns: Mapping[str, Iterable[Any]]) -> list[str]:
    """Return the fields that take more than one value, in the order of a trial's.

    Parameters
    ----------
    columns : mapping
        The values of each field over some trials; what is no field of a trial is left out.
    """
    # Compared as words: lists do not hash, and NaN, a table's None, is not equal to itself.
    known = in_order(columns)
    counts = {name: len(set(map(str, columns[name]))) for name in known}
    return [name for name, count in counts.items() if count > 1]


def in_order(names: Iterable[str]) -> list[str]:
    """Return those names that are a trial's fields, or one option of a field, in their order."""
    names = list(names)
    options = [name for name in names if is_option(name)]
    found = []
    for field in TRIAL_FIELDS:
        found += [field] if field in names else []
        found += [name for name in options if name.partition(".")[0] == field]
    return found


def swept(trials: Iterable[Trial]) -> list[str]:
    """Return the fields in which trials differ."""
    rows = [trial.flat() for trial in trials]
    names = dict.fromkeys(name for row in rows for name in row)
    return varying({name: [row.get(name) for row in rows] for name in names})


def telling(trial: Trial, swept: Collection[str] = ()) -> list[str]:
    """Return the fields that are swept, or that differ from their defaults."""
    values = trial.flat()
    told = [name for name in values if name in swept or values[name] != TRIAL_FIELDS.get(name)]
    return in_order(told)


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
    # Of an option its own name says enough: beside it stand its siblings, not another field's.
    return [f"{name.rpartition('.')[2]}{equals}{show(values[name])}" for name in fields]


def short(value: Any) -> str:
    """Return a value in few letters: numbers with at most six digits."""
    return f"{value:g}" if isinstance(value, float) else str(value)
