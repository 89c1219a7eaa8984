"""What ``adambias plan`` and ``adambias status`` print."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from adambias.config import SEMANTICS_VERSION, TRIAL_FIELDS, Params, Resources, Trial
from adambias.data import expected_shape
from adambias.ledger import MISSING, Job, Ledger
from adambias.parallel import cores
from adambias.plan import Estimate, Plan, Rates, left_out, make_plan, remaining_work

ALIVE_SECONDS = 60.0
"""A trial whose last report is older than this, and than three of its epochs, is interrupted."""
FIRST_EPOCH_SECONDS = 300.0
"""What an epoch is taken to last until the first is over."""
WATCH_SECONDS = 2.0
"""Seconds between two looks at the ledger."""


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
    ledger = Ledger.open(params.store)
    plan = make_plan(params, names, ledger, strict=False, confirmed=confirmed)
    rates = Rates(plan.recorded, params.root / "benchmarks" / "rates.json")
    shapes = {n: expected_shape(spec) for n, spec in params.scale.prepare.datasets.items()}
    device: Literal["cpu", "cuda"] = "cuda" if params.scale.resources.gpus_per_trial > 0 else "cpu"

    def cost(jobs: Iterable[Job]) -> Estimate:
        return rates.estimate(remaining_work(plan, jobs, ledger, shapes), device)

    slots = slots or slots_here(params.scale.resources)
    rows = [(name, jobs, cost(jobs)) for name, jobs in plan.grids.items()]
    console = _console()
    if listing:
        _print_trials(console, plan)
    console.print(_plan_table(plan, rows, cost(plan.jobs), slots))
    _print_speeds(console, cost(plan.jobs))
    print_notes(plan, ledger)
    for line in pipeline_notes(params, names):
        console.print(line)


def slots_here(resources: Resources) -> int:
    """Return how many trials this machine runs at a time; at least 1, fit for them or not."""
    fit = math.floor(cores() / resources.cpus_per_trial)
    if (share := resources.gpus_per_trial) > 0:
        import torch

        gpus = torch.cuda.device_count()
        fit = min(fit, gpus * math.floor(1 / share) if share < 1 else math.floor(gpus / share))
    return max(1, min(fit, resources.max_concurrent or fit))


def _console() -> Console:
    # What is shown holds paths and values, in which brackets and colons are no markup.
    plain = functools.partial(Console, highlight=False, markup=False, emoji=False)
    console = plain()
    if console.is_terminal:
        return console
    return plain(width=160, soft_wrap=True)  # a line stays one line in a log


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
        at_once = max(1, min(slots, counts["to resume"] + counts["to run"]))
        table.add_row(
            name,
            str(len(jobs)),
            *(str(counts[state]) for state in states),
            _words(cost, 1),
            _words(cost, at_once),
        )
    return table


def _words(cost: Estimate, slots: int) -> str:
    if cost.unknown:
        return "unknown"
    minutes = cost.hours * 60 / slots
    return f"{minutes / 60:,.1f} h" if minutes >= 90 else f"{minutes:.1f} min"


def _print_speeds(console: Console, cost: Estimate) -> None:
    if cost.machines:
        console.print(f"speeds measured on {'; '.join(cost.machines)}")
    if cost.unknown:
        console.print(
            f"{cost.unknown} trials are of a kind never measured: their time is unknown until one "
            "has run"
        )


def print_notes(plan: Plan, ledger: Ledger) -> None:
    """Print what is odd about a plan: damaged folders, data that are not prepared, and the like."""
    console = _console()
    for line in plan.damaged:
        console.print(line)
    if plan.repeated:
        console.print(f"{plan.repeated} trials are named twice in a grid and counted once")
    for name in plan.unprepared:
        console.print(
            f"data {name}: is not prepared as this scale asks, so finished trials on it are not "
            "recognised: run dvc repro prepare"
        )
    for rule in sorted({job.trial.rule for job in plan.jobs if job.rule_source == MISSING}):
        console.print(
            f"rule {rule}: has no file to be found, so finished trials of it are not recognised: "
            "put its folder on PYTHONPATH, or install it"
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


def pipeline_notes(params: Params, names: Iterable[str]) -> list[str]:
    """Return a line for each grid that ``dvc repro`` leaves out."""
    return [
        f"grid {name}: is not in the matrix of {params.root / 'dvc.yaml'}, so dvc repro leaves it "
        "out: add it there"
        for name in left_out(params, names)
    ]


def _print_trials(console: Console, plan: Plan) -> None:
    for name, jobs in plan.grids.items():
        swept = varying(jobs)
        for job in jobs:
            console.print(f"{job.key}  {name}  {plan.state(job)}  {describe(job.trial, swept)}")


def varying(jobs: Iterable[Job]) -> set[str]:
    """Return the fields in which the trials differ."""
    trials = [job.trial for job in jobs]
    return {name for name in TRIAL_FIELDS if len({getattr(trial, name) for trial in trials}) > 1}


def describe(trial: Trial, swept: Collection[str] = ()) -> str:
    """Name a trial by the fields that its grid sweeps or that differ from their defaults."""
    words = []
    for name, default in TRIAL_FIELDS.items():
        value = getattr(trial, name)
        if name in swept or value != default:
            words.append(f"{name}={value}")
    return " ".join(words)


def print_status(params: Params, names: list[str], *, confirmed: bool = False) -> None:
    """Print one line per trial, its state and how far it is, and a line of counts."""
    ledger = Ledger.open(params.store)
    plan = make_plan(params, names, ledger, strict=False, confirmed=confirmed)
    standing = _standing(plan, ledger)
    console = _console()
    console.print(_status_table(plan, standing))
    console.print(_counts(standing))
    print_notes(plan, ledger)


def watch_status(params: Params, names: list[str], *, confirmed: bool = False) -> None:
    """Show what is under way, renewed every few seconds, until every trial is finished."""
    ledger = Ledger.open(params.store)
    plan = make_plan(params, names, ledger, strict=False, confirmed=confirmed)
    print_notes(plan, ledger)
    console = _console()
    try:
        with Live(console=console, auto_refresh=False) as live:
            _watch(plan, ledger, live)
    finally:
        if not console.is_terminal:  # where Live ends without a newline
            console.print()


def _watch(plan: Plan, ledger: Ledger, live: Live) -> None:
    while True:
        news = dict(ledger.outcomes(job.key for job in plan.pending))
        plan = dataclasses.replace(plan, outcomes={**plan.outcomes, **news})
        standing = _standing(plan, ledger)
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


def _standing(plan: Plan, ledger: Ledger) -> dict[str, _Standing]:
    pending = [job.key for job in plan.pending]
    reports = dict(ledger.reports(pending))
    failed = ledger.failures(pending)
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
            state = "running" if _alive(report) else "interrupted"
            found[key] = _Standing(state=state, epochs=epoch, host=report["host"])
    return found


def _alive(report: Mapping[str, Any]) -> bool:
    """Tell whether a trial runs: its last report is no older than a few of its epochs take."""
    epoch = report["seconds_per_epoch"] or FIRST_EPOCH_SECONDS
    return bool(time.time() - report["updated"] < max(ALIVE_SECONDS, 3 * epoch))


def _status_table(plan: Plan, standing: Mapping[str, _Standing]) -> Table:
    table = Table(box=box.SIMPLE)
    for name in ("trial", "grid", "state", "epochs", "settings"):
        table.add_column(name, no_wrap=name != "settings")
    for name, jobs in plan.grids.items():
        swept = varying(jobs)
        for job in jobs:
            if (it := standing.get(job.key)) is not None:
                state = f"{it.state} on {it.host}" if it.state == "running" else it.state
                epochs = f"{it.epochs}/{job.trial.epochs}"
                table.add_row(job.key, name, state, epochs, describe(job.trial, swept))
    return table


def _counts(standing: Mapping[str, _Standing]) -> str:
    counts = Counter(it.state for it in standing.values())
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
