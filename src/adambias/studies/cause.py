"""Stage ``cause``: what the predicted memory term does to a training, put in or taken away.

Each training is made with the optimizer's memory, with none, with what a law predicts in place of
it, and with the optimizer's less what the law predicts; see :mod:`adambias.training.memory`. If the
term is the cause of what memory does, then taken away it takes that along, and put in it brings it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from adambias.config import Cause, Trial
from adambias.config.trial import Memory
from adambias.core.processes import run_all
from adambias.data.dataset import Dataset
from adambias.studies.reach import FIELDS
from adambias.studies.results import NETWORK_DIGITS, write_results
from adambias.training.trainer import Training


def run(
    settings: Cause, data: Mapping[str, Dataset], out_dir: str | Path, *, workers: int = 1
) -> dict[str, Any]:
    """Compute the stage and write its file.

    Parameters
    ----------
    settings : Cause
        The scale's section ``cause``.
    data : mapping of Dataset
        The prepared datasets, by name.
    out_dir : path
        Folder for ``cause.json``: settings, and a row per training, see :func:`train`, with its
        ``effect``, its log10 norm less that of the same training without memory, and the
        ``memory_effect``, that of the optimizer's memory.
    workers : int
        Processes to train in.

    Returns
    -------
    dict
        The content of ``cause.json``.
    """
    few = {name: d.first(settings.images, settings.test_images) for name, d in data.items()}
    calls = {
        (grid, each): partial(train, each, few[trial.dataset], settings.late_fraction)
        for grid, trial in settings.trials()
        for each in (trial.replace(memory=memory) for memory in get_args(Memory))
    }
    rows = [
        {"grid": grid, **row}
        for (grid, _), row in run_all(
            calls, workers, "cause: trainings with and without memory"
        ).items()
    ]
    _add_effects(rows)
    found = {"settings": dataclasses.asdict(settings), "rows": rows}
    write_results(found, Path(out_dir) / "cause.json", digits=NETWORK_DIGITS)
    return found


def _add_effects(rows: list[dict[str, Any]]) -> None:
    """Compare each training with the one that has no memory, and with the optimizer's."""
    settings = ("grid", *FIELDS)
    norms = {
        (*(row[name] for name in settings), row["memory"]): row["log10_excess"] for row in rows
    }
    for row in rows:
        same = tuple(row[name] for name in settings)
        without = norms[*same, "forgotten"]
        row["effect"] = row["log10_excess"] - without
        row["memory_effect"] = norms[*same, "optimizer"] - without


def train(trial: Trial, data: Dataset, late_fraction: float) -> dict[str, Any]:
    """Train, and summarise the last part.

    Returns
    -------
    dict
        The trial's fields and ``memory``; ``log10_excess`` of the norm and ``log10_loss``, means
        over the last part of the training, and ``test_accuracy`` at its end. NaN if it diverged.
    """
    training = Training(trial, data, device="cpu")
    records = list(training)
    row = {name: getattr(trial, name) for name in (*FIELDS, "memory")}
    if training.status == "diverged":
        return row | dict.fromkeys(("log10_excess", "log10_loss", "test_accuracy"), math.nan)
    late = records[-max(1, round(late_fraction * len(records))) :]
    floor = training.parameters * trial.epsilon**0.5
    excess = [record.perturbed_one_norm - floor for record in late]
    return row | {
        "log10_excess": float(np.log10(excess).mean()),
        "log10_loss": float(np.log10([record.train_loss for record in late]).mean()),
        "test_accuracy": late[-1].test_accuracy,
    }
