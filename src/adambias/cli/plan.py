"""``adambias plan``: what a sweep would train, and an estimate of the time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

from adambias.cli.notes import describe, open_console, print_notes, print_table
from adambias.config import Params, Resources, naming
from adambias.core.processes import cores
from adambias.data.manifest import prepared_shape
from adambias.data.preparation import expected_shape
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import Plan, left_out, make_plan
from adambias.ledger.speed import Estimate, Rates, remaining_work


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
    shapes = {
        name: expected_shape(spec)
        if name in plan.unprepared
        else prepared_shape(name, params.data_root)
        for name, spec in params.scale.prepare.datasets.items()
    }
    device: Literal["cpu", "cuda"] = "cuda" if params.scale.resources.gpus_per_trial > 0 else "cpu"

    def cost(jobs: Iterable[Job]) -> Estimate:
        return rates.estimate(remaining_work(plan, jobs, ledger, shapes), device)

    slots = slots or slots_here(params.scale.resources)
    rows = [(name, jobs, cost(jobs)) for name, jobs in plan.grids.items()]
    console = open_console()
    if listing:
        _print_trials(console, plan)
    total = cost(plan.jobs)
    print_table(console, _plan_table(plan, rows, total, slots))
    _print_speeds(console, total)
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
    return "unknown" if cost.unknown else in_words(cost.hours * 3600 / slots)


UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "days": 86400.0, "years": 365.25 * 86400.0}


def in_words(seconds: float) -> str:
    """Return a time in the largest unit of which it has one and a half."""
    name, unit = next(
        ((n, u) for n, u in reversed(UNITS.items()) if seconds >= 1.5 * u), ("s", 1.0)
    )
    amount = seconds / unit
    plain = amount == 0 or amount >= 1000 or (name == "s" and amount >= 10)
    return f"{amount:,.0f} {name}" if plain else f"{amount:.1f} {name}"


def _print_speeds(console: Console, cost: Estimate) -> None:
    if cost.machines:
        console.print(
            f"speeds measured on {'; '.join(cost.machines)}; not counted: the start of each sweep, "
            "some 15 s on Ray, and its last words to MLflow"
        )
    if cost.unknown:
        console.print(
            f"{cost.unknown} trials are of a kind never measured, or on data of a size that only "
            "their preparation tells: their time is unknown until then"
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
        swept = naming.swept(job.trial for job in jobs)
        for job in jobs:
            console.print(f"{job.key}  {name}  {plan.state(job)}  {describe(job.trial, swept)}")
