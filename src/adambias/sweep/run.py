"""Run a sweep: plan it, let an executor train what is left, and say how it ended."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from time import time as now
from typing import Literal, Protocol

from adambias.config import DatasetSpec, Params, Resources
from adambias.core.entry import terminable
from adambias.core.errors import FolderError, OutOfTime, SweepError
from adambias.core.extras import need
from adambias.core.validation import duration
from adambias.data.manifest import check_arrays
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import Plan, make_plan, refuse_absent_code
from adambias.sweep.assignment import Assignment
from adambias.sweep.inline import run_inline
from adambias.sweep.progress import SweepProgress
from adambias.tracking import Tracker, tracker_for

logger = logging.getLogger("adambias")
Executor = Literal["ray", "inline"]
TO_END, TO_END_SHARE = 20.0, 0.1
"""Seconds, and at most which share of a sweep's time, that are left for its end."""


class Execute(Protocol):
    """An executor: trains assignments and reports them; raises only if it cannot go on."""

    def __call__(
        self, assignments: list[Assignment], resources: Resources, progress: SweepProgress
    ) -> None:
        """Run every assignment."""


def run(
    params: Params,
    names: Iterable[str],
    *,
    ahead: Iterable[str] = (),
    executor: Executor = "ray",
    confirmed: bool = False,
    track: bool = True,
    time: str | None = None,
) -> Plan:
    """Run the unfinished trials of some grids.

    Parameters
    ----------
    params : Params
        The scale's settings.
    names : iterable of str
        Grids to run.
    ahead : iterable of str
        Grids whose unfinished trials follow in the same go, if there is anything to run at all.
        They come last, and whether they finish does not decide how this ends.
    executor : {"ray", "inline"}
        Ray Tune, or one trial after the other in this process.
    confirmed : bool
        Run however many trials there are.
    track : bool
        Mirror the ledger into MLflow while the sweep runs.
    time : str, optional
        When to end, in place of the scale's ``resources.time``.

    Returns
    -------
    Plan
        The plan of ``names`` after the sweep, in which every trial is finished.

    Raises
    ------
    SweepError
        If any trial failed or is unfinished; finished trials stay finished.
    OutOfTime
        If trials are unfinished as the time was up.
    KeyboardInterrupt
        If the sweep was interrupted, by SIGINT or SIGTERM.
    """
    began = now()
    names = list(names)
    refuse_without(executor)
    tracker = tracker_for(params, track=track)
    ledger = Ledger.open(params.store)
    plan = make_plan(params, names, ledger, confirmed=confirmed)
    if plan.pending:
        own = {job.key for job in plan.jobs}
        others = [name for name in ahead if name not in names]
        if others:
            # Only when this grid has something to run anyway: a start of Ray costs seconds, and a
            # stage with nothing to do should end at once.
            plan = make_plan(params, [*names, *others], ledger, confirmed=confirmed)
            plan = plan.only([name for name in plan.grids if name in names or plan.lacks(name)])
        title = f"{params.name}: {', '.join(plan.grids)}"
        setup = setup_of(params, began, time)
        ended = run_plan(setup, plan, own, ledger, executor, tracker, title)
        # Asked anew, of the ledger alone: neither Tune's word nor our own counts say what is
        # finished.
        plan = make_plan(params, names, ledger, confirmed=True)
        refuse_unfinished(plan, ledger, ended)
    else:
        counted = f"all {len(plan.jobs)} trials are in {ledger.store.where()}: nothing to train"
        print(f"{params.name}: {', '.join(plan.grids)}  {counted}", file=sys.stderr, flush=True)
        _catch_up(tracker, ledger, plan)
    return plan


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What trials are trained with, besides what they are.

    Parameters
    ----------
    resources : Resources
        What each asks of the machines.
    datasets : mapping
        How each dataset was prepared, so that another node can prepare its own copy.
    data_root : path
        Folder of the prepared datasets.
    root : path
        Folder whose commit is recorded.
    deadline : float or None
        Seconds since 1970 at which trials must have been put away.
    """

    resources: Resources
    datasets: Mapping[str, DatasetSpec]
    data_root: Path
    root: Path
    deadline: float | None = None


def setup_of(params: Params, began: float = 0.0, time: str | None = None) -> Setup:
    """Return what the trials of a scale are trained with, by a sweep that began at a time."""
    scale = params.scale
    return Setup(
        resources=scale.resources,
        datasets=params.datasets,
        data_root=params.data_root,
        root=params.root,
        deadline=deadline_of(began, time or scale.resources.time),
    )


def deadline_of(began: float, time: str | None) -> float | None:
    """Return when trials must have been put away that began at a time; None without a limit."""
    if time is None:
        return None
    seconds = duration("time", time)
    # The last part of it is for putting them away, and for Ray and MLflow to end.
    return began + seconds - min(TO_END, TO_END_SHARE * seconds)


def run_plan(
    setup: Setup,
    plan: Plan,
    own: Set[str],
    ledger: Ledger,
    executor: Executor,
    tracker: Tracker,
    title: str,
) -> SweepProgress:
    """Run what a plan leaves to do, ``own`` trials first, and return how it ended."""
    refuse_without(executor)
    for name in sorted({job.trial.dataset for job in plan.pending}):
        check_arrays(name, setup.data_root)  # here once, not by every trial
    refuse_absent_code(plan.pending)
    for line in plan.damaged:
        logger.warning("%s", line)
    ledger.initialise()
    ahead = {job.key for job in plan.pending} - own
    shown = SweepProgress(plan, title, ahead)
    with terminable(), tracker.mirror(ledger, plan.grids), shown as progress:
        # Tune starts trials in the sequence given: those that this sweep is judged by come first.
        assignments = sorted(
            _assignments(setup, plan, ledger), key=lambda assignment: assignment.job.key in ahead
        )
        if setup.deadline is not None:
            # A sweep that is cut off has whole seeds.
            assignments.sort(key=lambda a: (a.job.key in ahead, a.job.trial.seed))
        try:
            _executor(executor)(assignments, setup.resources, progress)
        finally:
            _end_reports(ledger, {*progress.running, *progress.paused})
    return progress


def _end_reports(ledger: Ledger, keys: Iterable[str]) -> None:
    """Age the reports of trials that run no longer, so that ``status`` does not call them running.

    Without it they would count as running for another minute.
    """
    with contextlib.suppress(OSError):
        for key, report in ledger.reports(keys):
            with contextlib.suppress(FolderError):
                ledger.save_progress(key, report | {"updated": 0.0})


def refuse_without(executor: Executor) -> None:
    """Raise if an executor's package is not installed."""
    if executor == "ray":
        need("ray")


def _executor(name: Executor) -> Execute:
    if name == "inline":
        return run_inline
    from adambias.sweep.on_ray import run_on_ray

    return run_on_ray


def _assignments(setup: Setup, plan: Plan, ledger: Ledger) -> list[Assignment]:
    from adambias.core.provenance import git_state

    resources, git = setup.resources, git_state(setup.root)
    if "unknown" in git:
        logger.warning("%s: no commit is recorded with the trials (%s)", setup.root, git["unknown"])
    return [
        Assignment(
            job=job,
            store=ledger.store.uri,
            data_root=str(setup.data_root),
            root=str(setup.root),
            dataset=setup.datasets[job.trial.dataset],
            extends=plan.extends.get(job.key),
            checkpoint_seconds=resources.checkpoint_seconds,
            keep_state=resources.keep_states,
            git=git,
            threads=max(1, math.floor(resources.cpus_per_trial)),
            gpu=resources.gpus_per_trial > 0,
            deadline=setup.deadline,
        )
        for job in plan.pending
    ]


def refuse_unfinished(plan: Plan, ledger: Ledger, ended: SweepProgress) -> None:
    """Raise unless every trial is finished; log the trace of the first that failed.

    The exit code is all that DVC goes by: this makes a sweep that is not finished a failed stage.
    """
    keys = {job.key for job in plan.jobs}
    own = {key: reason for key, reason in ended.failed.items() if key in keys}
    if len(ended.failed) > len(own):
        more = len(ended.failed) - len(own)
        logger.warning("%d trials of other grids failed: their own stages try them again", more)
    if not plan.pending:
        return
    words = f"{len(plan.pending)} of {len(plan.jobs)} trials are not finished"
    if ended.out_of_time and not own:
        raise OutOfTime(
            f"the time is up: {words}, nothing is lost: run the same command again to go on"
        )
    if not own:
        raise SweepError(f"{words}: run the same command again to go on")
    key, reason = next(iter(own.items()))
    trace = reason
    with contextlib.suppress(FolderError):
        trace = ledger.text(key, "error.txt").strip() or reason
    logger.error("the first trial to fail, %s:\n%s", key, trace)
    raise SweepError(
        f"{words}, {len(own)} failed, the first was {ledger.store.where(key)} ({reason}): mend "
        "it, then run the same command again"
    )


def _catch_up(tracker: Tracker, ledger: Ledger, plan: Plan) -> None:
    """Bring the tracker up to date if it missed something; idempotent, and free if it did not."""
    behind = [
        name for name, jobs in plan.grids.items() if not tracker.is_current(ledger, name, jobs)
    ]
    if behind:
        with tracker.mirror(ledger, plan.only(behind).grids):
            pass
