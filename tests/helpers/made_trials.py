"""Ledgers with made-up histories, written by the ledger itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from adambias.config import Trial
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger

DIGEST = "d" * 64
COLUMNS = (
    *("train_loss", "train_accuracy", "test_loss", "test_accuracy", "perturbed_one_norm"),
    *("one_norm", "two_norm", "max_norm", "mean_abs_grad", "seconds"),
)


def job_of(digest: str = DIGEST, **fields: Any) -> Job:
    return Job.of(Trial(**{"h": 1e-3, "epochs": 4, **fields}), digest)


def history_of(epochs: int, seed: int = 0) -> pd.DataFrame:
    numbers = np.random.default_rng(seed).random((epochs, len(COLUMNS)))
    table = pd.DataFrame(numbers, columns=list(COLUMNS))
    table.insert(0, "epoch", np.arange(epochs))
    return table


def finish(
    ledger: Ledger,
    job: Job,
    *,
    history: pd.DataFrame | None = None,
    status: str = "finished",
    state_kept: bool = False,
    seconds_per_image: float = 1e-4,
) -> None:
    """Finish a trial as a worker does."""
    history = history_of(job.trial.epochs, job.trial.seed) if history is None else history
    ledger.open_trial(job)
    if state_kept:
        ledger.save_checkpoint(job.key, b"state")
    outcome = {
        "status": status,
        "epochs": len(history),
        "seconds": float(history["seconds"].sum()),
        "seconds_per_image": seconds_per_image,
        "kind": f"{job.trial.model}/batch/relu/fp32/1x8x8",
        "parameters": 77754,
        "machine": "a processor, 2 cores",
        "history_sha256": ledger.save_history(job.key, history),
        "trial": job.trial.identity(),
        "data_digest": job.data_digest,
        "state_kept": state_kept,
    }
    ledger.finish(job.key, outcome)


def start(ledger: Ledger, job: Job, epoch: int) -> None:
    """Leave a trial unfinished with a checkpoint, as a lost worker does."""
    ledger.open_trial(job)
    ledger.save_checkpoint(job.key, f"state at {epoch}".encode())
    ledger.save_history(job.key, history_of(epoch))
    ledger.save_progress(job.key, {"epoch": epoch, "updated": 0.0, "host": "node"})


def opened(location: str) -> Ledger:
    ledger = Ledger.open(location)
    ledger.initialise()
    return ledger
