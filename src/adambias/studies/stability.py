"""Stage ``stability``: whether rules keep the curvature at their threshold of linear stability.

Full-batch training raises the curvature that an optimizer sees to the threshold, and keeps it there
(Cohen and co-authors, 2021 and 2022). On a small smooth network that is known; here it checks the
measure and the thresholds of :mod:`adambias.law.stability`, rule by rule.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from adambias.config import Stability, Trial
from adambias.core.processes import run_all
from adambias.data.dataset import Dataset
from adambias.studies.reach import FIELDS
from adambias.studies.results import NETWORK_DIGITS, write_results
from adambias.training.trainer import Training


def run(
    settings: Stability, data: Mapping[str, Dataset], out_dir: str | Path, *, workers: int = 1
) -> dict[str, Any]:
    """Compute the stage and write its file.

    Parameters
    ----------
    settings : Stability
        The scale's section ``stability``.
    data : mapping of Dataset
        The prepared datasets, by name.
    out_dir : path
        Folder for ``stability.json``: settings, and a row per training, see :func:`train`.
    workers : int
        Processes to train in.

    Returns
    -------
    dict
        The content of ``stability.json``.
    """
    few = {name: d.first(settings.images, 1) for name, d in data.items()}
    calls = {
        (grid, trial): partial(train, trial, few[trial.dataset])
        for grid, trial in settings.trials()
    }
    rows = [
        {"grid": grid, **row}
        for (grid, _), row in run_all(
            calls, workers, "stability: the curvature along trainings"
        ).items()
    ]
    found = {"settings": dataclasses.asdict(settings), "rows": rows}
    write_results(found, Path(out_dir) / "stability.json", digits=NETWORK_DIGITS)
    return found


def train(trial: Trial, data: Dataset) -> dict[str, Any]:
    """Train, and keep the curvature's course.

    Returns
    -------
    dict
        The trial's fields; ``epoch`` and ``edge``, the curvature over its threshold where it was
        measured, lists of one length; ``train_loss`` there.
    """
    records = [record for record in Training(trial, data, device="cpu") if record.edge is not None]
    row = {name: getattr(trial, name) for name in (*FIELDS, "loss")}
    return row | {
        "epoch": [record.epoch for record in records],
        "edge": [record.edge for record in records],
        "train_loss": [record.train_loss for record in records],
    }
