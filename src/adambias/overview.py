"""What ``adambias plan`` and ``adambias status`` print."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from adambias.config import SEMANTICS_VERSION, Params, Trial
from adambias.data import expected_shape
from adambias.ledger import Job, Ledger
from adambias.plan import Estimate, Plan, Rates, make_plan, remaining_work
from adambias.sweep import slots as machine_slots

ALIVE_SECONDS = 60.0
"""A trial whose last sign of life is older than this counts as interrupted."""


def print_plan(
    params: Params,
    names: list[str],
    *,
    confirmed: bool = False,
    listing: bool = False,
    slots: int | None = None,
) -> None:
    """Print counts and estimated time per grid.

    Parameters
    ----------
    params : Params
        The scale's settings.
    names : list of str
        Grids to plan.
    confirmed : bool
        Plan however many trials there are.
    listing : bool
        Print every trial as well.
    slots : int, optional
        Trials at a time; as many as fit this machine otherwise.
    """
    ledger = Ledger.open()
    plan = make_plan(params, names, ledger, strict=False, confirmed=confirmed)
    rates = Rates(plan.recorded, params.root / "benchmarks" / "rates.json")
    shapes = {n: expected_shape(spec) for n, spec in params.scale.prepare.datasets.items()}

    def cost(jobs: Iterable[Job]) -> Estimate:
        return rates.estimate(remaining_work(plan, jobs, ledger, shapes))

    slots = slots or machine_slots(params.scale.resources)
    rows = [(name, jobs, cost(jobs)) for name, jobs in plan.grids.items()]
    console = _console()
    if listing:
        _print_trials(console, plan)
    console.print(_plan_table(plan, rows, cost(plan.jobs), slots))
    _print_notes(console, plan, ledger, cost(plan.jobs))


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def _plan_table(
    plan: Plan, rows: list[tuple[str, list[Job], Estimate]], total: Estimate, slots: int
) -> Table:
    table = Table(box=box.SIMPLE)
    table.add_column("grid")
    states = ("done", "diverged", "to resume", "to run")
    for name in ("trials", *states, "training", f"on {slots} at a time"):
        table.add_column(name, justify="right")
    for name, jobs, cost in [*rows, ("all, each trial once", plan.jobs, total)]:
        counts = plan.count(jobs)
        table.add_row(
            name,
            str(len(jobs)),
            *(str(counts[state]) for state in states),
            _words(cost, 1),
            _words(cost, slots),
        )
    return table


def _words(cost: Estimate, slots: int) -> str:
    if cost.unknown:
        return "unknown"
    minutes = cost.hours * 60 / slots
    return f"{minutes / 60:,.1f} h" if minutes >= 90 else f"{minutes:.1f} min"


def _print_notes(console: Console, plan: Plan, ledger: Ledger, cost: Estimate) -> None:
    if cost.machines:
        console.print(f"speeds measured on {'; '.join(cost.machines)}")
    if cost.unknown:
        console.print(
            f"{cost.unknown} trials are of a kind never measured: their time is unknown until one "
            "has run"
        )
    if plan.repeated:
        console.print(f"{plan.repeated} trials are named twice in a grid and counted once")
    for name in plan.unprepared:
        console.print(
            f"data {name}: is not prepared as this scale asks, so finished trials on it are not "
            "recognised: run dvc repro prepare"
        )
    others = sum(
        outcome.get("semantics", SEMANTICS_VERSION) != SEMANTICS_VERSION
        for outcome in plan.recorded
    )
    if others:
        console.print(
            f"{others} finished trials are of other semantics than {SEMANTICS_VERSION}: they are "
            "kept and not used"
        )
    foreign = ledger.foreign()
    if foreign:
        console.print(
            f"{ledger.store.where()}: {', '.join(foreign[:5])} is no trial and left alone"
        )


def _print_trials(console: Console, plan: Plan) -> None:
    for name, jobs in plan.grids.items():
        for job in jobs:
            console.print(f"{job.key}  {name}  {plan.state(job)}  {describe(job.trial)}")


def describe(trial: Trial) -> str:
    """Name a trial by the fields that differ from their defaults."""
    words = []
    for field in dataclasses.fields(Trial):
        value = getattr(trial, field.name)
        if value != field.default:
            words.append(f"{field.name}={value}")
    return " ".join(words)


def print_status(params: Params, names: list[str], *, confirmed: bool = False) -> None:
    """Print one line per trial: its state, how far it is and when it gave its last sign of life."""
    ledger = Ledger.open()
    plan = make_plan(params, names, ledger, strict=False, confirmed=confirmed)
    table = Table(box=box.SIMPLE)
    for name in ("trial", "grid", "state", "epochs", "settings"):
        table.add_column(name, no_wrap=name != "settings")
    counts: dict[str, int] = {}
    for name, jobs in plan.grids.items():
        for job in jobs:
            state, epochs = _state(plan, ledger, job)
            counts[state.partition(" on ")[0]] = counts.get(state.partition(" on ")[0], 0) + 1
            table.add_row(job.key, name, state, epochs, describe(job.trial))
    console = _console()
    console.print(table)
    console.print(", ".join(f"{count} {state}" for state, count in sorted(counts.items())))


def _state(plan: Plan, ledger: Ledger, job: Job) -> tuple[str, str]:
    outcome = plan.outcomes.get(job.key)
    total = job.trial.epochs
    if outcome is not None:
        return plan.state(job), f"{outcome['epochs']}/{total}"
    progress: dict[str, Any] | None = ledger.progress(job.key)
    if ledger.text(job.key, "error.txt"):
        return "failed", f"{(progress or {}).get('epoch', 0)}/{total}"
    if progress is None:
        return "pending", f"0/{total}"
    alive = time.time() - progress["updated"] < ALIVE_SECONDS
    state = f"running on {progress['host']}" if alive else "interrupted"
    return state, f"{progress['epoch']}/{total}"
