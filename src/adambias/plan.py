"""What a sweep would run: the trials of its grids, less what the ledger holds."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from adambias.config import SEMANTICS_VERSION, Params, Trial
from adambias.data import prepared_digest
from adambias.errors import ConfigError, DataError, LedgerError
from adambias.ledger import Job, Ledger

LARGE = 10_000
"""Trials from which a plan is taken for a mistake unless it is confirmed."""
_OTHER_DEVICE = {"cpu": ("cuda", "a GPU, not a CPU"), "cuda": ("cpu", "a CPU, not a GPU")}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The trials of some grids and what the ledger knows of them.

    Parameters
    ----------
    grids : dict of list of Job
        Trials of each grid; one that a grid names twice stands once.
    outcomes : dict
        ``done.json`` of the finished trials, by key.
    started : set of str
        Unfinished trials with a checkpoint to go on from.
    extends : dict
        For trials that only add epochs to a finished one whose state was kept: that one's key.
    recorded : tuple of dict
        ``done.json`` of every finished trial of the ledger, of these grids or not.
    repeated : int
        Trials that were named more than once in one grid.
    unprepared : tuple of str
        Datasets that are not prepared, so that finished trials on them cannot be recognised.
    damaged : tuple of str
        One line for each unfinished trial whose ``done.json`` is there and of no use.
    """

    grids: Mapping[str, list[Job]]
    outcomes: Mapping[str, dict[str, Any]]
    started: frozenset[str]
    extends: Mapping[str, str] = field(default_factory=dict)
    recorded: tuple[Mapping[str, Any], ...] = ()
    repeated: int = 0
    unprepared: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def jobs(self) -> list[Job]:
        """Every trial once, in the order of the grids."""
        return list({job.key: job for jobs in self.grids.values() for job in jobs}.values())

    @property
    def pending(self) -> list[Job]:
        """The trials that are not finished, those with a checkpoint first."""
        pending = [job for job in self.jobs if job.key not in self.outcomes]
        return sorted(pending, key=lambda job: job.key not in self.started)

    def lacks(self, name: str) -> bool:
        """Tell whether a grid has a trial that is not finished."""
        return any(job.key not in self.outcomes for job in self.grids[name])

    def only(self, names: Iterable[str]) -> Plan:
        """Return the plan of some of its grids."""
        return replace(self, grids={name: self.grids[name] for name in names})

    def count(self, jobs: Iterable[Job]) -> dict[str, int]:
        """Count trials by state: done, diverged (both finished), to resume, to run."""
        counts = {"done": 0, "diverged": 0, "to resume": 0, "to run": 0}
        for job in jobs:
            counts[self.state(job)] += 1
        return counts

    def state(self, job: Job) -> str:
        """Return the state of one trial."""
        outcome = self.outcomes.get(job.key)
        if outcome is not None:
            return "diverged" if outcome.get("status") == "diverged" else "done"
        return "to resume" if job.key in self.started or job.key in self.extends else "to run"


def is_confirmed() -> bool:
    """Tell whether ``ADAMBIAS_YES`` confirms grids of very many trials.

    Raises
    ------
    ConfigError
        If it says neither yes nor no.
    """
    value = os.environ.get("ADAMBIAS_YES", "")
    if value.strip().lower() in ("1", "true", "t", "yes", "y", "on"):
        return True
    if value.strip().lower() in ("", "0", "false", "f", "no", "n", "off"):
        return False
    raise ConfigError("ADAMBIAS_YES", value, "must be 1 or 0")


def count_trials(params: Params, names: Iterable[str]) -> int:
    """Return how many trials the grids name, without expanding them."""
    return sum(params.scale.grid(name).size for name in names)


def make_plan(
    params: Params,
    names: Iterable[str],
    ledger: Ledger,
    *,
    strict: bool = True,
    confirmed: bool = False,
    digests: Mapping[str, str] | None = None,
) -> Plan:
    """Expand grids and subtract what is finished.

    Parameters
    ----------
    params : Params
        The scale's settings.
    names : iterable of str
        Grids to plan.
    ledger : Ledger
        Where finished trials are.
    strict : bool
        Refuse datasets that are not prepared; otherwise they are listed in ``unprepared``.
    confirmed : bool
        Plan however many trials there are.
    digests : mapping, optional
        Digest of each dataset, if they are not to be read from the prepared data.

    Raises
    ------
    ConfigError
        If a grid is unknown, or holds more than 10,000 trials and ``confirmed`` is false.
    DataError
        If a dataset is not prepared, its manifest is damaged, or it was prepared otherwise.
    LedgerError
        If two trials have one key.
    """
    names = list(names)
    for name in names:
        size = params.scale.grid(name).size
        if size > LARGE and not confirmed:
            raise ConfigError(
                f"grids.{name}",
                f"{size:,} trials",
                f"is more than {LARGE:,}: confirm with --yes, or ADAMBIAS_YES=1 for dvc repro",
            )
    unprepared: tuple[str, ...] = ()
    if digests is None:
        digests, unprepared = _digests(params, strict)
    grids: dict[str, list[Job]] = {}
    repeated = 0
    for name in names:
        grid = params.scale.grid(name)
        jobs = [Job.of(t, digests[t.dataset]) for t in grid.expand(params.scale.trial)]
        if not jobs:
            raise ConfigError(f"grids.{name}.exclude", list(grid.exclude), "leaves no trial")
        grids[name] = list(_one_trial_a_key(jobs).values())
        repeated += len(jobs) - len(grids[name])
    jobs_by_key = _one_trial_a_key(job for jobs in grids.values() for job in jobs)
    folders = ledger.keys()
    known = dict(ledger.outcomes(folders))
    outcomes = {key: known[key] for key in jobs_by_key.keys() & known.keys()}
    pending = {key: job for key, job in jobs_by_key.items() if key not in outcomes}
    return Plan(
        grids=grids,
        outcomes=outcomes,
        started=frozenset(ledger.started(pending)),
        extends=_extensions(known, pending.values()),
        recorded=tuple(known.values()),
        repeated=repeated,
        unprepared=unprepared,
        damaged=tuple(ledger.damaged_outcomes(sorted(pending.keys() & set(folders)))),
    )


def left_out(params: Params, names: Iterable[str]) -> list[str]:
    """Return those of the grids that the ``dvc.yaml`` beside ``params.yaml`` does not run.

    Empty if there is none, or its sweep stage is of another form.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = (params.root / "dvc.yaml").read_text(encoding="utf-8")
        listed = YAML(typ="safe", pure=True).load(text)["stages"]["sweep"]["matrix"]["grid"]
    except (OSError, ValueError, YAMLError, KeyError, TypeError):
        return []
    return [name for name in names if name not in listed] if isinstance(listed, list) else []


def _one_trial_a_key(jobs: Iterable[Job]) -> dict[str, Job]:
    by_key: dict[str, Job] = {}
    for job in jobs:
        other = by_key.setdefault(job.key, job)
        if other != job:
            raise LedgerError(
                f"key {job.key}: two trials have it, {other.trial} and {job.trial}: run them with "
                "two ledgers, each with an ADAMBIAS_STORE of its own"
            )
    return by_key


def _digests(params: Params, strict: bool) -> tuple[dict[str, str], tuple[str, ...]]:
    digests, unprepared = {}, []
    for name, spec in params.scale.prepare.datasets.items():
        try:
            digests[name] = prepared_digest(name, spec, params.data_root)
        except DataError:
            if strict:
                raise
            digests[name] = "not prepared"
            unprepared.append(name)
    return digests, tuple(unprepared)


def _lineage(trial: Mapping[str, Any], digest: str, source: str) -> str:
    rest = {name: value for name, value in trial.items() if name != "epochs"}
    return json.dumps([rest, digest, source], sort_keys=True)


def _extensions(outcomes: Mapping[str, dict[str, Any]], pending: Iterable[Job]) -> dict[str, str]:
    """Find, for each pending trial, the longest shorter finished one whose state was kept."""
    kept: dict[str, list[tuple[int, str]]] = {}
    for key, outcome in outcomes.items():
        same = outcome.get("semantics", SEMANTICS_VERSION) == SEMANTICS_VERSION
        if same and outcome.get("state_kept"):
            source = outcome.get("rule_source", "")
            lineage = _lineage(outcome["trial"], outcome["data_digest"], source)
            kept.setdefault(lineage, []).append((outcome["epochs"], key))
    extends = {}
    for job in pending:
        lineage = _lineage(asdict(job.trial), job.data_digest, job.rule_source)
        shorter = [
            (epochs, key) for epochs, key in kept.get(lineage, []) if epochs < job.trial.epochs
        ]
        if shorter:
            extends[job.key] = max(shorter)[1]
    return extends


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Time that pending trials will take.

    Parameters
    ----------
    hours : float
        Sum over the trials whose speed is known, on one slot.
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

        A kind that was measured on the other device alone is taken to be as fast; ``machines``
        says so.
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
    """Return kind and device of a measured speed; one that names none is of a CPU."""
    return measured["kind"], measured.get("device", "cpu")


def remaining_work(
    plan: Plan, jobs: Iterable[Job], ledger: Ledger, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[str, int]]:
    """Yield ``(kind, images × epochs)`` for the trials that are not finished.

    ``shapes`` gives each dataset's training images as (N, C, H, W).
    """
    recorded = {outcome["key"]: outcome["epochs"] for outcome in plan.recorded}
    for job in jobs:
        if job.key in plan.outcomes:
            continue
        shape = shapes[job.trial.dataset]
        first = recorded[plan.extends[job.key]] if job.key in plan.extends else 0
        if job.key in plan.started:
            first = (ledger.progress(job.key) or {}).get("epoch", first)
        yield kind_of(job.trial, shape), (job.trial.epochs - first) * shape[0]


def kind_of(trial: Trial, shape: tuple[int, ...]) -> str:
    """Name the kind of work an epoch of ``trial`` is, per image of ``shape`` (N, C, H, W)."""
    image = "x".join(map(str, shape[1:]))
    return f"{trial.model}/{trial.norm}/{trial.activation}/{trial.precision}/{image}"
