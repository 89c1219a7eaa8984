"""What a worker is handed: a trial and all that it needs to train it.

Imports neither torch nor Ray, so that the driver starts fast.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from adambias.config import DatasetSpec
from adambias.config.trial import HYPERPARAMETERS
from adambias.core.errors import AdambiasError, FolderError
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """All that a worker needs to run a trial, anywhere.

    Parameters
    ----------
    job : Job
        The trial.
    store : str
        Path or URI of the ledger.
    data_root : str
        Folder of prepared datasets; a node that lacks the dataset prepares its own copy.
    root : str
        Folder of the parameters, where code of one's own may be.
    dataset : DatasetSpec
        How the dataset is prepared.
    extends : str or None
        Key of a finished, shorter training to go on from.
    checkpoint_seconds : float
        Time between checkpoints.
    keep_state : bool
        Keep the last checkpoint of a finished trial.
    git : dict
        Commit of the driver's working tree and whether it was dirty; empty outside of one.
    threads : int
        Threads of torch within an operation.
    gpu : bool
        Whether the trial was given a GPU, or a part of one; otherwise it stays on the CPU.
    deadline : float or None
        Seconds since 1970 at which the trial must have been put away.
    """

    job: Job
    store: str
    data_root: str
    root: str
    dataset: DatasetSpec
    extends: str | None = None
    checkpoint_seconds: float = 30.0
    keep_state: bool = False
    git: dict[str, Any] = field(default_factory=dict)
    threads: int = 1
    gpu: bool = False
    deadline: float | None = None

    @property
    def seconds_left(self) -> float:
        """Seconds that may still be trained; infinite without a deadline."""
        return math.inf if self.deadline is None else self.deadline - time.time()


SCALARS = {"seed", "h", "epsilon", "clip_norm", *HYPERPARAMETERS}
"""Fields in which the trials of a bundle may differ: their networks are computed alike."""


def bundles(assignments: Iterable[Assignment], size: int) -> list[tuple[Assignment, ...]]:
    """Group trials of the same network, data and epochs, at most ``size`` in a bundle.

    A bundle comes where its first trial came; with a size of 1 each trial is one.
    """
    found: list[list[Assignment]] = []
    filling: dict[str, list[Assignment]] = {}
    for assignment in assignments:
        rest = {k: v for k, v in assignment.job.trial.identity().items() if k not in SCALARS}
        alike = json.dumps(rest, sort_keys=True)
        if alike not in filling or len(filling[alike]) == size:
            filling[alike] = []
            found.append(filling[alike])
        filling[alike].append(assignment)
    return [tuple(bundle) for bundle in found]


def reason_of(error: BaseException | str) -> str:
    """Return the last line of an error's text, which says what went wrong."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def write_failure(assignment: Assignment, error: Exception) -> None:
    """Write the trace of a failing trial to ``error.txt`` in its folder.

    Raises
    ------
    OSError
        If the ledger cannot be written.
    """
    # One of ours says in a line what to mend; of any other, the trace is what helps.
    expected = isinstance(error, AdambiasError)
    lines = [str(error) + "\n"] if expected else traceback.format_exception(error)
    content = "".join(lines).encode()
    with contextlib.suppress(FolderError):  # which is the failure, and is told by the sweep
        Ledger.open(assignment.store).store.write(f"{assignment.job.key}/error.txt", content)
