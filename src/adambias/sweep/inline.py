"""Run assignments one after the other in this process, without Ray."""

from __future__ import annotations

import contextlib

from adambias.config import Resources
from adambias.core.errors import StoreError
from adambias.sweep.assignment import Assignment, bundles
from adambias.sweep.progress import SweepProgress

REPORT_SECONDS = 5.0
"""Seconds of training between two reports."""


def run_inline(
    assignments: list[Assignment], resources: Resources, progress: SweepProgress
) -> None:
    """Run the assignments in this process, one bundle after the other.

    A failing trial is written down and the next one tried, until the error budget is spent. A
    trial that is interrupted goes on later from its last checkpoint.

    Raises
    ------
    StoreError
        If the ledger cannot be read or written.
    """
    for bundle in bundles(assignments, resources.trials_per_process):
        if progress.has_failed(resources.error_budget):
            return
        if all(assignment.seconds_left <= 0 for assignment in bundle):
            progress.pause(bundle[0].job.key)
            return
        _run_here(bundle, progress)


def _run_here(bundle: tuple[Assignment, ...], progress: SweepProgress) -> None:
    # Imports torch, which a sweep with nothing left to do never needs.
    from adambias.sweep.together import Together

    for assignment in bundle:
        progress.start(assignment.job.key)
    # Without a ledger no other trial can succeed either. Closing saves nothing: Ctrl-C may fall
    # into the middle of a step, whose half-made state must not become a checkpoint.
    with contextlib.closing(Together(bundle, fatal=(StoreError,))) as trials:
        while not trials.done:
            for key, report in trials.advance(REPORT_SECONDS).items():
                progress.take(key, report)
