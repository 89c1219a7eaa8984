"""``adambias status``: the state of each trial, once or renewed while a sweep runs."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group
from rich.live import Live
from rich.table import Table

from adambias.cli.notes import (
    describe,
    notes,
    open_console,
    print_json,
    print_notes,
    print_table,
    settings,
)
from adambias.config import Params, naming
from adambias.ledger.alive import Pulses, look_twice
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import Plan, make_plan

WATCH_SECONDS = 2.0
"""Seconds between two looks at the ledger."""


def print_status(
    params: Params, names: list[str], *, confirmed: bool = False, as_json: bool = False
) -> None:
    """Print one line per trial, its state and how far it is, and counts; or the same as JSON."""
    ledger = Ledger.open(params.store)
    plan = make_plan(params, names, ledger, strict=False, confirmed=confirmed)
    reports, running = look_twice(ledger, plan.pending)
    standing = _standing(plan, ledger, reports, running)
    if as_json:
        print_json(
            {
                "scale": params.name,
                "ledger": ledger.store.where(),
                "counts": dict(_counted(standing)),
                "trials": [_entry(row) for row in _rows(plan, standing)],
                "notes": list(notes(plan, ledger)),
            }
        )
        return
    console = open_console()
    print_table(console, _status_table(plan, standing))
    console.print(_counts(standing))
    print_notes(plan, ledger)


def watch_status(params: Params, names: list[str], *, confirmed: bool = False) -> None:
    """Show what is under way, renewed every few seconds, until every trial is finished."""
    ledger = Ledger.open(params.store)
    plan = make_plan(params, names, ledger, strict=False, confirmed=confirmed)
    print_notes(plan, ledger)
    console = open_console()
    try:
        with Live(console=console, auto_refresh=False) as live:
            _watch(plan, ledger, live)
    finally:
        if not console.is_terminal:  # where Live ends without a newline
            console.print()


def _watch(plan: Plan, ledger: Ledger, live: Live) -> None:
    pulses = Pulses()
    while True:
        news = dict(ledger.outcomes(job.key for job in plan.pending))
        plan = dataclasses.replace(plan, outcomes={**plan.outcomes, **news})
        reports = dict(ledger.reports(job.key for job in plan.pending))
        running = pulses.look(plan.pending, reports)
        standing = _standing(plan, ledger, reports, running)
        busy = {k: s for k, s in standing.items() if s.state not in _AT_REST}
        tables = [_status_table(plan, busy)] if busy else []
        live.update(Group(*tables, _counts(standing)), refresh=True)
        if not plan.pending:
            return
        time.sleep(WATCH_SECONDS)


@dataclass(frozen=True, kw_only=True)
class _Standing:
    """A trial's state, the epochs it has behind it, and the node it runs on."""

    state: str
    epochs: int = 0
    host: str = ""


_AT_REST = ("done", "diverged", "pending")


def _standing(
    plan: Plan, ledger: Ledger, reports: Mapping[str, Mapping[str, Any]], running: Set[str]
) -> dict[str, _Standing]:
    failed = ledger.failures(job.key for job in plan.pending)
    found = {}
    for job in plan.jobs:
        key, report = job.key, reports.get(job.key)
        epoch = report["epoch"] if report else 0
        if key in plan.outcomes:
            found[key] = _Standing(state=plan.state(job), epochs=plan.outcomes[key]["epochs"])
        elif key in failed:
            found[key] = _Standing(state="failed", epochs=epoch)
        elif report is None:
            found[key] = _Standing(state="pending")
        else:
            state = "running" if key in running else "interrupted"
            found[key] = _Standing(state=state, epochs=epoch, host=report["host"])
    return found


_Row = tuple[str, Job, _Standing, dict[str, Any]]
"""A grid's name, one of its trials, how it stands, and the settings that tell it from others."""


def _rows(plan: Plan, standing: Mapping[str, _Standing]) -> Iterator[_Row]:
    for name, jobs in plan.grids.items():
        swept = naming.swept(job.trial for job in jobs)
        for job in jobs:
            if (it := standing.get(job.key)) is not None:
                yield name, job, it, settings(job.trial, swept)


def _status_table(plan: Plan, standing: Mapping[str, _Standing]) -> Table:
    table = Table(box=box.SIMPLE)
    for name in ("trial", "grid", "state", "epochs", "settings"):
        table.add_column(name, no_wrap=name not in ("state", "settings"))
    for name, job, it, told in _rows(plan, standing):
        state = f"{it.state} on {it.host}" if it.state == "running" else it.state
        table.add_row(job.key, name, state, f"{it.epochs}/{job.trial.epochs}", describe(told))
    return table


def _entry(row: _Row) -> dict[str, Any]:
    """Return a row of the table as JSON has it."""
    name, job, it, told = row
    return {
        "trial": job.key,
        "grid": name,
        "state": it.state,
        "host": it.host or None,
        "epochs": it.epochs,
        "of_epochs": job.trial.epochs,
        "settings": told,
    }


def _counted(standing: Mapping[str, _Standing]) -> list[tuple[str, int]]:
    return sorted(Counter(it.state for it in standing.values()).items())


def _counts(standing: Mapping[str, _Standing]) -> str:
    return ", ".join(f"{count} {state}" for state, count in _counted(standing))
