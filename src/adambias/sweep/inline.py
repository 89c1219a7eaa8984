"""Run assignments one after the other in this process, without Ray."""

from __future__ import annotations

import contextlib

from adambias.config import Resources
from adambias.core.errors import StoreError
from adambias.sweep.assignment import Assignment, reason_of, write_failure
from adambias.sweep.progress import SweepProgress


def run_inline(
    assignments: list[Assignment], resources: Resources, progress: SweepProgress
) -> None:
    """Run the assignments one after the other in this process.

    A failing trial is written down and the next one tried, until the error budget is spent. A
    trial that is interrupted goes on later from its last checkpoint.

    Raises
    ------
    StoreError
        If the ledger cannot be read or written.
    """
    for assignment in assignments:
        if progress.has_failed(resources.error_budget):
            return
        if assignment.seconds_left <= 0:
            progress.pause(assignment.job.key)
            return
        progress.start(assignment.job.key)
        try:
            _run_here(assignment, progress)
        except StoreError:
            raise  # without a ledger no other trial can succeed either
        except Exception as error:
            write_failure(assignment, error)
            progress.fail(assignment.job.key, f"{type(error).__name__}: {reason_of(error)}")


def _run_here(assignment: Assignment, progress: SweepProgress) -> None:
    # Imports torch, which a sweep with nothing left to do never needs.
    from adambias.sweep.worker import ActiveTrial

    # Closing saves nothing: Ctrl-C may fall into the middle of a step, whose half-made state must
    # not become a checkpoint.
    with contextlib.closing(ActiveTrial(assignment)) as trial:
        while (report := trial.advance(seconds=5.0))["status"] == "running":
            progress.update(assignment.job.key, report)
            if report["paused"]:
                return
        progress.update(assignment.job.key, report)
