"""Plan a sweep: the trials of its grids, less those that the ledger has finished."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from adambias.config import SEMANTICS_VERSION, Params, Trial
from adambias.config.measures import further
from adambias.config.trial import HYPERPARAMETERS, NAMING_CODE, WITH_OPTIONS, ignored_fields
from adambias.core.errors import ConfigError, DataError, LedgerError
from adambias.core.options import Options
from adambias.core.registry import MEASURES, MISSING, code_of, is_own
from adambias.data.manifest import prepared_digest
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger

LARGE = 10_000
"""A grid of more trials than this is refused as a likely mistake, unless it is confirmed."""
NO_FILE = (
    "has no file to be found: put it beside the parameters, put its folder on PYTHONPATH, or "
    "install it"
)
"""What is said of code of one's own that is nowhere on the path."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The trials of some grids and what the ledger knows of them.

    Parameters
    ----------
    grids : dict of list of Job
        Trials of each grid, each once even if its grid names it twice.
    outcomes : dict
        ``done.json`` of the finished trials, by key.
    started : set of str
        Unfinished trials with a checkpoint to go on from.
    extends : dict
        For each trial that adds epochs to a finished one whose state was kept, the key of that one.
    recorded : tuple of dict
        ``done.json`` of every finished trial of the ledger, of these grids or not.
    repeated : int
        Trials that were named more than once in one grid.
    twins : dict of int
        By what a rule ignores, in words: trials left out because they differ in that alone from
        one that stands in the same grid.
    unprepared : tuple of str
        Datasets that are not prepared, so that finished trials on them cannot be recognised.
    damaged : tuple of str
        One line for each unfinished trial whose folder cannot be read, or has a ``done.json``, but
        a damaged one.
    """

    grids: Mapping[str, list[Job]]
    outcomes: Mapping[str, dict[str, Any]]
    started: frozenset[str]
    extends: Mapping[str, str] = field(default_factory=dict)
    recorded: tuple[Mapping[str, Any], ...] = ()
    repeated: int = 0
    twins: Mapping[str, int] = field(default_factory=dict)
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

    def edited(self) -> Counter[str]:
        """Count trials to train that were finished with other code or other data, by what differs.

        Names the fields of the code, and the dataset.
        """
        finished: dict[str, list[Mapping[str, Any]]] = {}
        for outcome in self.recorded:
            if outcome.get("semantics", SEMANTICS_VERSION) == SEMANTICS_VERSION:
                finished.setdefault(_fields(outcome.get("trial", {})), []).append(outcome)
        counts: Counter[str] = Counter()
        for job in self.pending:
            if job.trial.dataset in self.unprepared or job.lacking:
                continue  # what is not here has not changed
            ways = [
                _differing(job, each) for each in finished.get(_fields(job.trial.identity()), [])
            ]
            if ways:
                counts.update([min(ways, key=len)])
        return counts

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


def _fields(trial: Mapping[str, Any]) -> str:
    return json.dumps(trial, sort_keys=True)


def _differing(job: Job, outcome: Mapping[str, Any]) -> str:
    """Say in which code, or data, a trial differs from a finished one with the same fields."""
    names = (f"{name}_source" for name in NAMING_CODE)
    parts = [
        f"the code of {name.removesuffix('_source')}"
        for name in names
        if job.sources.get(name, "") != (outcome.get(name) or "")
    ]
    if job.data_digest != outcome["data_digest"]:
        parts.append(f"the data {job.trial.dataset}")
    return " and ".join(parts)


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
    twins: Counter[str] = Counter()
    for name in names:
        grid = params.scale.grid(name)
        jobs = [Job.of(t, digests[t.dataset]) for t in grid.expand(params.scale.trial)]
        if not jobs:
            raise ConfigError(f"grids.{name}.exclude", list(grid.exclude), "leaves no trial")
        once = list(_one_trial_a_key(jobs).values())
        repeated += len(jobs) - len(once)
        grids[name] = list(_without_twins(once, twins))
    plan = plan_of(grids, ledger)
    return replace(plan, repeated=repeated, twins=twins, unprepared=unprepared)


def plan_of(grids: Mapping[str, list[Job]], ledger: Ledger) -> Plan:
    """Return the plan of lists of trials, by name: what the ledger has of them, and what not.

    Raises
    ------
    LedgerError
        If two trials have one key.
    ConfigError
        If a factory does not take an option that a trial has for it.
    """
    jobs_by_key = _one_trial_a_key(job for jobs in grids.values() for job in jobs)
    _refuse_options(job.trial for job in jobs_by_key.values())
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
        damaged=(
            *ledger.store.unusable(sorted(pending)),
            *ledger.damaged_outcomes(sorted(pending.keys() & set(folders))),
        ),
    )


def against_matrix(params: Params, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Compare grids with the matrix of the ``dvc.yaml`` beside ``params.yaml``.

    Returns
    -------
    left_out : list of str
        Those of ``names`` that it does not run.
    unknown : list of str
        What it would run and is no grid of the scale. Both are empty if there is no such file, or
        its sweep stage is of another form.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = (params.root / "dvc.yaml").read_text(encoding="utf-8")
        listed = YAML(typ="safe", pure=True).load(text)["stages"]["sweep"]["matrix"]["grid"]
    except (OSError, ValueError, YAMLError, KeyError, TypeError):
        return [], []
    if not isinstance(listed, list):
        return [], []
    left_out = [name for name in names if name not in listed]
    return left_out, [str(name) for name in listed if name not in params.scale.grids]


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


def refuse_absent_code(jobs: Iterable[Job]) -> None:
    """Refuse code of one's own that is not here: each worker would fail on it, one after another.

    Raises
    ------
    ConfigError
        If it has no file to be found, or cannot be imported.
    """
    jobs = list(jobs)
    for job in jobs:
        for part, name in job.lacking:
            raise ConfigError(part, name, NO_FILE)
    refuse_unimportable(job.trial for job in jobs)


def refuse_unimportable(trials: Iterable[Trial]) -> None:
    """Refuse code of one's own that cannot be imported.

    Raises
    ------
    ConfigError
        Naming the field and its value.
    """
    named = {
        (part, name)
        for trial in trials
        for part, names in trial.own_code().items()
        for name in names
    }
    for part, name in sorted(named):
        {**WITH_OPTIONS, "measures": MEASURES}[part].factory(name)


def _refuse_options(trials: Iterable[Trial]) -> None:
    """Refuse what a factory would refuse on a worker; code that is not here is the worker's."""
    asked: dict[tuple[str, str, str], Options] = {}
    measured: dict[tuple[Any, ...], Trial] = {}
    for trial in trials:
        for part in WITH_OPTIONS:
            options = getattr(trial, f"{part}_options")
            if options:
                asked.setdefault((part, getattr(trial, part), str(sorted(options))), options)
        if any(not isinstance(entry, str) for entry in trial.measures):
            measured.setdefault(trial.measures, trial)
    for (part, name, _), options in asked.items():
        if not is_own(name) or code_of(name) != MISSING:
            WITH_OPTIONS[part].refuse_options(name, options, f"{part}_options")
    for trial in measured.values():
        if not any(code_of(name) == MISSING for name in trial.measured):
            list(further(trial))


def _without_twins(jobs: list[Job], left_out: Counter[str]) -> Iterator[Job]:
    """Yield jobs without those that differ from one before in nothing that their rule takes.

    Along beta2 heavy ball would train one and the same network again and again.
    """
    ignored = {rule: ignored_fields(rule) for rule in {job.trial.rule for job in jobs}}
    varied = {n for n in HYPERPARAMETERS if len({getattr(job.trial, n) for job in jobs}) > 1}
    seen: dict[str, Trial] = {}
    for job in jobs:
        names = varied.intersection(ignored[job.trial.rule])
        if not names:
            yield job
            continue
        rest = {name: v for name, v in job.trial.identity().items() if name not in names}
        first = seen.setdefault(json.dumps([rest, job.data_digest], sort_keys=True), job.trial)
        if first is job.trial:
            yield job
        else:
            axes = [n for n in sorted(names) if getattr(first, n) != getattr(job.trial, n)]
            left_out[f"{job.trial.rule} takes no {' and no '.join(axes)}"] += 1


def _digests(params: Params, strict: bool) -> tuple[dict[str, str], tuple[str, ...]]:
    digests, unprepared = {}, []
    for name, spec in params.datasets.items():
        try:
            digests[name] = prepared_digest(name, spec, params.data_root)
        except DataError:
            if strict:
                raise
            digests[name] = "not prepared"
            unprepared.append(name)
    return digests, tuple(unprepared)


def _lineage(trial: Mapping[str, Any], digest: str, sources: Mapping[str, str]) -> str:
    rest = {name: value for name, value in trial.items() if name != "epochs"}
    return json.dumps([rest, digest, dict(sources)], sort_keys=True)


def _extensions(outcomes: Mapping[str, dict[str, Any]], pending: Iterable[Job]) -> dict[str, str]:
    """Find, for each pending trial, the longest shorter finished one whose state was kept."""
    kept: dict[str, list[tuple[int, str]]] = {}
    for key, outcome in outcomes.items():
        same = outcome.get("semantics", SEMANTICS_VERSION) == SEMANTICS_VERSION
        if same and outcome.get("state_kept"):
            names = (f"{field}_source" for field in NAMING_CODE)
            sources = {name: outcome[name] for name in names if outcome.get(name)}
            lineage = _lineage(outcome["trial"], outcome["data_digest"], sources)
            kept.setdefault(lineage, []).append((outcome["epochs"], key))
    extends = {}
    for job in pending:
        if not job.trial.can_be_extended:
            continue
        lineage = _lineage(job.trial.identity(), job.data_digest, job.sources)
        shorter = [
            (epochs, key) for epochs, key in kept.get(lineage, []) if epochs < job.trial.epochs
        ]
        if shorter:
            extends[job.key] = max(shorter)[1]
    return extends
