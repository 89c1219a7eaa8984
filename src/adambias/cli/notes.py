"""What ``plan`` and ``status`` both print: odd things about the trials, and a trial in words."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from adambias.config import SEMANTICS_VERSION, Trial, naming
from adambias.data.manifest import PREPARE
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import NO_FILE, Plan


def open_console() -> Console:
    """Return a console on which a line stays one line in a log."""
    console = _plain()
    return console if console.is_terminal else _plain(width=160, soft_wrap=True)


# What is shown holds paths and values, in which brackets and colons are no markup.
_plain = functools.partial(Console, highlight=False, markup=False, emoji=False)


def print_table(console: Console, table: Table) -> None:
    """Print a table; where its words do not fit, the terminal breaks its lines and cuts nothing."""
    for column in table.columns:
        column.overflow = "fold"  # rather than an ellipsis in the place of a number
    size = Measurement.get(console, console.options.update(width=1000), table)
    if size.minimum > console.width:
        console = _plain(width=size.maximum, soft_wrap=True)
    console.print(table)


def print_notes(plan: Plan, ledger: Ledger) -> None:
    """Print what is odd about a plan."""
    console = open_console()
    for line in notes(plan, ledger):
        console.print(line)


def notes(plan: Plan, ledger: Ledger) -> Iterator[str]:
    """Yield what is odd about a plan: damaged folders, data that are not prepared, and the like."""
    yield from plan.damaged
    if plan.repeated:
        yield f"{plan.repeated} trials are named twice in a grid and counted once"
    for name in plan.unprepared:
        yield (
            f"data {name}: is not prepared as this scale asks, so finished trials on it are not "
            f"recognised: run {PREPARE}"
        )
    for words, count in plan.edited().items():
        yield f"{count} trials are to be trained anew: since they finished, {words} has changed"
    for words, count in plan.twins.items():
        yield f"rule {words}: {count} trials that differ in it alone are left out as twins"
    for field, name in sorted({each for job in plan.jobs for each in job.lacking}):
        yield f"{field} {name}: {NO_FILE}; until then finished trials of it are not recognised"
    others = sum(
        outcome.get("semantics", SEMANTICS_VERSION) != SEMANTICS_VERSION
        for outcome in plan.recorded
    )
    if others:
        yield (
            f"{others} finished trials are of other semantics than {SEMANTICS_VERSION}: they are "
            "kept and not used"
        )
    foreign = ledger.foreign()
    if foreign:
        yield f"{ledger.store.where()}: {', '.join(foreign[:5])} is no trial and left alone"


def print_json(content: Mapping[str, Any]) -> None:
    """Print one JSON document, in letters that every terminal and pipe has."""
    print(json.dumps(content, indent=2, allow_nan=False))


def settings(trial: Trial, swept: Collection[str] = ()) -> dict[str, Any]:
    """Return the fields of a trial that its grid sweeps or that differ from their defaults."""
    values = trial.flat()
    return {name: values[name] for name in naming.telling(trial, swept)}


def describe(told: Mapping[str, Any]) -> str:
    """Name a trial by its :func:`settings`."""
    return " ".join(naming.words(told, told, equals="="))
