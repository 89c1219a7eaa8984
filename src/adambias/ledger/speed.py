"""Estimate how long trials will take, from the measured speed of finished ones."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from adambias.config import Trial
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import Plan

_OTHER_DEVICE = {"cpu": ("cuda", "a GPU, not a CPU"), "cuda": ("cpu", "a CPU, not a GPU")}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Time that pending trials will take.

    Parameters
    ----------
    hours : float
        Sum over the trials whose speed is known, run one after the other.
    unknown : int
        Trials of a kind never measured.
    machines : tuple of str
        Where the speeds were measured.
    """

    hours: float
    unknown: int
    machines: tuple[str, ...]


class Rates:
    """Seconds per image and epoch of each kind of training on a CPU or a GPU, measured before.

    Speeds come from finished trials and, for kinds that have none on the device, from
    ``benchmarks/rates.json``.
    """

    def __init__(self, outcomes: Iterable[Mapping[str, Any]], measured: Path) -> None:
        self._rates: dict[tuple[str, str], tuple[float, str]] = {}
        if measured.exists():
            for row in json.loads(measured.read_text()):
                self._rates[_work_of(row)] = (row["seconds_per_image"], row["machine"])
        found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for outcome in outcomes:
            if outcome.get("seconds_per_image"):
                found.setdefault(_work_of(outcome), []).append(outcome)
        for work, rows in found.items():
            rate = statistics.median(row["seconds_per_image"] for row in rows)
            self._rates[work] = (rate, rows[-1]["machine"])

    def _rate(self, kind: str, device: str) -> tuple[float, str] | None:
        """Return a kind's rate and where it was measured: on the device, else on the other."""
        if (kind, device) in self._rates:
            return self._rates[kind, device]
        other, words = _OTHER_DEVICE[device]
        if (kind, other) not in self._rates:
            return None
        rate, machine = self._rates[kind, other]
        return rate, f"{machine} ({words})"

    def estimate(
        self, work: Iterable[tuple[str, int]], device: Literal["cpu", "cuda"] = "cpu"
    ) -> Estimate:
        """Estimate the time of ``(kind, images × epochs)`` items on a device.

        A kind that was measured on the other sort of device only is taken to be as fast here, and
        ``machines`` says so.
        """
        seconds, unknown, machines = 0.0, 0, set()
        for kind, images in work:
            if (measured := self._rate(kind, device)) is not None:
                rate, machine = measured
                seconds += rate * images
                machines.add(machine)
            else:
                unknown += 1
        return Estimate(hours=seconds / 3600, unknown=unknown, machines=tuple(sorted(machines)))


def _work_of(measured: Mapping[str, Any]) -> tuple[str, str]:
    """Return kind and device of a measured speed; without a device it was a CPU's."""
    return measured["kind"], measured.get("device", "cpu")


def remaining_work(
    plan: Plan, jobs: Iterable[Job], ledger: Ledger, shapes: Mapping[str, tuple[int, ...] | None]
) -> Iterator[tuple[str, int]]:
    """Yield ``(kind, images × epochs)`` for the trials that are not finished.

    ``shapes`` gives each dataset's training images as (N, C, H, W), None where they are not known
    yet; the kind of its trials is then empty, which no speed is known of.
    """
    recorded = {outcome["key"]: outcome["epochs"] for outcome in plan.recorded}
    jobs = [job for job in jobs if job.key not in plan.outcomes]
    # All reports at once: a ledger on S3 answers many requests in the time of one.
    reports = dict(ledger.reports(job.key for job in jobs if job.key in plan.started))
    for job in jobs:
        shape = shapes[job.trial.dataset]
        if shape is None:
            yield "", 0
            continue
        first = recorded[plan.extends[job.key]] if job.key in plan.extends else 0
        first = reports.get(job.key, {}).get("epoch", first)
        yield kind_of(job.trial, shape), (job.trial.epochs - first) * shape[0]


def kind_of(trial: Trial, shape: tuple[int, ...]) -> str:
    """Name the kind of work an epoch of ``trial`` is, per image of ``shape`` (N, C, H, W)."""
    image = "x".join(map(str, shape[1:]))
    options = f" ({trial.model_options})" if trial.model_options else ""
    return f"{trial.model}{options}/{trial.norm}/{trial.activation}/{trial.precision}/{image}"
