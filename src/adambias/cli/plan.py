"""``adambias plan``: what a sweep would train, and an estimate of the time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table

from adambias.cli.notes import describe, notes, open_console, print_json, print_table, settings
from adambias.config import Params, Resources, naming
from adambias.core.processes import cores
from adambias.data.manifest import prepared_shape
from adambias.data.preparation import expected_shape
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import Plan, against_matrix, make_plan
from adambias.ledger.speed import Estimate, Rates, remaining_work


@dataclass(frozen=True, kw_only=True)
class Row:
    """A grid's trials by state, and the seconds that those to train will take.

    None stands for a time that nothing tells.
    """

    trials: int
    done: int
    diverged: int
    to_resume: int
    to_run: int
    seconds: float | None
    seconds_at_a_time: float | None


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What ``adambias plan`` shows, as text or as JSON.

    Parameters
    ----------
    scale, ledger : str
        Name of the parameters, and where trials are kept.
    at_a_time : int
        Trials that are taken to be trained at a time.
    grids : dict of Row
        The grids by name.
    all : Row
        All their trials, each once.
    measured_on : tuple of str
        Where the speeds were measured.
    unmeasured : int
        Trials to train whose time nothing tells.
    notes : tuple of str
        What is odd.
    """

    scale: str
    ledger: str
    at_a_time: int
    grids: Mapping[str, Row]
    all: Row
    measured_on: tuple[str, ...]
    unmeasured: int
    notes: tuple[str, ...]


def print_plan(
    params: Params,
    names: list[str],
    *,
    confirmed: bool = False,
    listing: bool = False,
    slots: int | None = None,
    as_json: bool = False,
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
    as_json : bool
        Print one JSON document.
    """
    ledger = Ledger.open(params.store)
    plan = make_plan(params, names, ledger, strict=False, confirmed=confirmed)
    forecast = _forecast(params, plan, ledger, slots or slots_here(params.scale.resources))
    trials = list(_trials(plan)) if listing else []
    if as_json:
        listed = {"trials": trials} if listing else {}
        print_json(dataclasses.asdict(forecast) | listed)
        return
    console = open_console()
    for each in trials:
        words = (each["trial"], each["grid"], each["state"], describe(each["settings"]))
        console.print("  ".join(words))
    print_table(console, _plan_table(forecast))
    _print_speeds(console, forecast)
    for line in forecast.notes:
        console.print(line)


def _forecast(params: Params, plan: Plan, ledger: Ledger, slots: int) -> Forecast:
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

    total = cost(plan.jobs)
    return Forecast(
        scale=params.name,
        ledger=ledger.store.where(),
        at_a_time=slots,
        grids={name: _row(plan, jobs, cost(jobs), slots) for name, jobs in plan.grids.items()},
        all=_row(plan, plan.jobs, total, slots),
        measured_on=total.machines,
        unmeasured=total.unknown,
        notes=(*notes(plan, ledger), *pipeline_notes(params, *against_matrix(params, plan.grids))),
    )


def _row(plan: Plan, jobs: list[Job], cost: Estimate, slots: int) -> Row:
    counts = plan.count(jobs)
    at_once = max(1, min(slots, counts["to resume"] + counts["to run"]))
    seconds = None if cost.unknown else cost.hours * 3600
    return Row(
        trials=len(jobs),
        **{state.replace(" ", "_"): count for state, count in counts.items()},
        seconds=seconds,
        seconds_at_a_time=None if seconds is None else seconds / at_once,
    )


def slots_here(resources: Resources) -> int:
    """Return how many trials this machine runs at a time; at least 1, fit for them or not."""
    fit = math.floor(cores() / resources.cpus_per_trial)
    if (share := resources.gpus_per_trial) > 0:
        import torch

        gpus = torch.cuda.device_count()
        fit = min(fit, gpus * math.floor(1 / share) if share < 1 else math.floor(gpus / share))
    return max(1, min(fit, resources.max_concurrent or fit))


def _plan_table(forecast: Forecast) -> Table:
    table = Table(box=box.SIMPLE)
    table.add_column("grid")
    states = ("done", "diverged", "to resume", "to run")
    for name in ("trials", *states, "training", f"on {forecast.at_a_time} at a time"):
        table.add_column(name, justify="right")
    for name, row in [*forecast.grids.items(), ("all, each trial once", forecast.all)]:
        counts = (row.trials, row.done, row.diverged, row.to_resume, row.to_run)
        times = (row.seconds, row.seconds_at_a_time)
        table.add_row(name, *map(str, counts), *map(_words, times))
    return table


def _words(seconds: float | None) -> str:
    return "unknown" if seconds is None else in_words(seconds)


UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "days": 86400.0, "years": 365.25 * 86400.0}


def in_words(seconds: float) -> str:
    """Return a time in the largest unit of which it has one and a half."""
    name, unit = next(
        ((n, u) for n, u in reversed(UNITS.items()) if seconds >= 1.5 * u), ("s", 1.0)
    )
    amount = seconds / unit
    plain = amount == 0 or amount >= 1000 or (name == "s" and amount >= 10)
    return f"{amount:,.0f} {name}" if plain else f"{amount:.1f} {name}"


def _print_speeds(console: Console, forecast: Forecast) -> None:
    if forecast.measured_on:
        console.print(
            f"speeds measured on {'; '.join(forecast.measured_on)}; not counted: the start of each "
            "sweep, some 15 s on Ray, and its last words to MLflow"
        )
    if forecast.unmeasured:
        console.print(
            f"{forecast.unmeasured} trials are of a kind never measured, or on data of a size that "
            "only their preparation tells: their time is unknown until then"
        )


def pipeline_notes(params: Params, left_out: list[str], unknown: list[str]) -> list[str]:
    """Return a line for each grid that ``dvc repro`` leaves out, or cannot run."""
    file = params.root / "dvc.yaml"
    return [
        *(
            f"grid {name}: is not in the matrix of {file}, so dvc repro leaves it out: add it there"
            for name in left_out
        ),
        *(
            f"grid {name}: is in the matrix of {file} and not in the scale {params.name}, so dvc "
            "repro fails: remove it there"
            for name in unknown
        ),
    ]


def _trials(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield every trial of every grid with its state."""
    for name, jobs in plan.grids.items():
        swept = naming.swept(job.trial for job in jobs)
        for job in jobs:
            state, told = plan.state(job), settings(job.trial, swept)
            yield {"trial": job.key, "grid": name, "state": state, "settings": told}
