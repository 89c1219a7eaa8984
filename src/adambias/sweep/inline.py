"""Orders one after the other, in the driver's own process."""

from __future__ import annotations

import contextlib

from adambias.config import Resources
from adambias.core.errors import StoreError
from adambias.sweep.assignment import Order, reason_of, write_failure
from adambias.sweep.progress import Board


def run_inline(orders: list[Order], resources: Resources, board: Board) -> None:
    """Run the orders one after the other in this process.

    A failing trial is written down and the next one tried, until the error budget is spent. An
    interruption may fall into the middle of a step, so the trial goes on from the checkpoint
    written before it.

    Raises
    ------
    StoreError
        If the ledger cannot be read or written.
    """
    for order in orders:
        if board.has_failed(resources.error_budget):
            return
        board.start(order.job.key)
        try:
            _run_here(order, board)
        except StoreError:
            raise
        except Exception as error:
            write_failure(order, error)
            board.fail(order.job.key, f"{type(error).__name__}: {reason_of(error)}")


def _run_here(order: Order, board: Board) -> None:
    from adambias.sweep.worker import TrialRun

    with contextlib.closing(TrialRun(order)) as run:
        while (progress := run.advance(seconds=5.0))["status"] == "running":
            board.update(order.job.key, progress)
        board.update(order.job.key, progress)
