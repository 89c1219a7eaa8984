"""Run what a plan leaves to do, and tell the truth about how it ended."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Set
from types import FrameType
from typing import Literal, Protocol

from adambias.config import Params, Resources
from adambias.core.errors import SweepError
from adambias.data.manifest import check_arrays
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import Plan, make_plan
from adambias.sweep.assignment import Order
from adambias.sweep.inline import run_inline
from adambias.sweep.progress import Board
from adambias.tracking import Tracker, tracker_for

logger = logging.getLogger("adambias")
Executor = Literal["ray", "inline"]


class Execute(Protocol):
    """An executor: runs orders, reports to the board, raises only if it cannot go on."""

    def __call__(self, orders: list[Order], resources: Resources, board: Board) -> None:
        """Run every order."""


def run(
    params: Params,
    names: Iterable[str],
    *,
    ahead: Iterable[str] = (),
    executor: Executor = "ray",
    confirmed: bool = False,
    track: bool = True,
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

    Returns
    -------
    Plan
        The plan of ``names`` after the sweep, in which every trial is finished.

    Raises
    ------
    SweepError
        If any trial failed or is unfinished; finished trials stay finished.
    KeyboardInterrupt
        If the sweep was interrupted, by SIGINT or SIGTERM.
    """
    names = list(names)
    tracker = tracker_for(params, track=track)
    ledger = Ledger.open(params.store)
    plan = make_plan(params, names, ledger, confirmed=confirmed)
    if plan.pending:
        own = {job.key for job in plan.jobs}
        others = [name for name in ahead if name not in names]
        if others:
            plan = make_plan(params, [*names, *others], ledger, confirmed=confirmed)
            plan = plan.only([name for name in plan.grids if name in names or plan.lacks(name)])
        failed = _run_plan(params, plan, own, ledger, executor, tracker)
        plan = make_plan(params, names, ledger, confirmed=True)
        _refuse_unfinished(plan, ledger, failed)
    else:
        _catch_up(tracker, ledger, plan)
    return plan


def _run_plan(
    params: Params, plan: Plan, own: Set[str], ledger: Ledger, executor: Executor, tracker: Tracker
) -> Mapping[str, str]:
    """Run what a plan leaves to do, ``own`` trials first, and return why trials failed, by key."""
    for name in sorted({job.trial.dataset for job in plan.pending}):
        check_arrays(name, params.data_root)  # here once, not by every trial
    for line in plan.damaged:
        logger.warning("%s", line)
    ledger.initialise()
    title = f"{params.name}: {', '.join(plan.grids)}"
    ahead = {job.key for job in plan.pending} - own
    with _terminable(), tracker.mirror(ledger, plan.grids), Board(plan, title, ahead) as board:
        orders = sorted(_orders(params, plan, ledger), key=lambda order: order.job.key in ahead)
        try:
            _executor(executor)(orders, params.scale.resources, board)
        finally:
            _end_reports(ledger, board.running)
    return board.failed


def _end_reports(ledger: Ledger, keys: Iterable[str]) -> None:
    """Age the reports of trials that run no longer, so that nobody takes them for running."""
    with contextlib.suppress(OSError):
        for key, report in ledger.reports(keys):
            ledger.save_progress(key, report | {"updated": 0.0})


def _executor(name: Executor) -> Execute:
    if name == "inline":
        return run_inline
    from adambias.sweep.on_ray import run_on_ray

    return run_on_ray


def _orders(params: Params, plan: Plan, ledger: Ledger) -> list[Order]:
    from adambias.core.provenance import git_state

    resources, git = params.scale.resources, git_state(params.root)
    return [
        Order(
            job=job,
            store=ledger.store.uri,
            data_root=str(params.data_root),
            dataset=params.scale.prepare.datasets[job.trial.dataset],
            extends=plan.extends.get(job.key),
            checkpoint_seconds=resources.checkpoint_seconds,
            keep_state=resources.keep_states,
            git=git,
            threads=max(1, math.floor(resources.cpus_per_trial)),
            gpu=resources.gpus_per_trial > 0,
        )
        for job in plan.pending
    ]


def _refuse_unfinished(plan: Plan, ledger: Ledger, failed: Mapping[str, str]) -> None:
    """Raise unless every trial is finished; show the trace of the first that failed."""
    keys = {job.key for job in plan.jobs}
    own = {key: reason for key, reason in failed.items() if key in keys}
    if len(failed) > len(own):
        more = len(failed) - len(own)
        logger.warning("%d trials of other grids failed: their own stages try them again", more)
    if not plan.pending:
        return
    words = f"{len(plan.pending)} of {len(plan.jobs)} trials are not finished"
    if not own:
        raise SweepError(f"{words}: run the same command again to go on")
    key, reason = next(iter(own.items()))
    trace = ledger.text(key, "error.txt").strip() or reason
    logger.error("the first trial to fail, %s:\n%s", key, trace)
    raise SweepError(
        f"{words}, {len(own)} failed, the first was {ledger.store.where(key)} ({reason}): mend "
        "it, then run the same command again"
    )


def _catch_up(tracker: Tracker, ledger: Ledger, plan: Plan) -> None:
    """Show what the tracker missed; costs nothing if it missed nothing."""
    behind = [
        name for name, jobs in plan.grids.items() if not tracker.is_current(ledger, name, jobs)
    ]
    if behind:
        with tracker.mirror(ledger, plan.only(behind).grids):
            pass


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Make SIGTERM, by which clusters preempt, end the sweep as Ctrl-C does."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
