"""Stage ``network_correction``: where the law predicts what memory does to a network's steps.

:mod:`adambias.training.correction` compares prediction and step at one epoch. Here this is done for
many networks and hyperparameters, from a smooth network with small steps, where the first-order law
is exact, to the settings of the sweeps.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from adambias.config import NetworkCorrection, Trial
from adambias.core.files import write_parquet
from adambias.core.processes import run_all
from adambias.data.dataset import Dataset
from adambias.training.trainer import Training

FIELDS = (
    *("model", "activation", "norm", "precision", "rule"),
    *("h", "beta1", "beta2", "epsilon", "seed"),
)


def run(
    settings: NetworkCorrection, data: Dataset, out_dir: str | Path, *, workers: int = 1
) -> None:
    """Write ``network_correction.parquet``, the :func:`chart`, into ``out_dir``."""
    write_parquet(chart(settings, data, workers), Path(out_dir) / "network_correction.parquet")


def chart(settings: NetworkCorrection, data: Dataset, workers: int = 1) -> pd.DataFrame:
    """Measure the correction along each training.

    Parameters
    ----------
    settings : NetworkCorrection
        The trainings.
    data : Dataset
        What the networks are trained on.
    workers : int
        Processes to train in.

    Returns
    -------
    DataFrame
        A row per training and measured epoch: :data:`FIELDS` of the trial, ``epoch``, and
        ``norm_ratio``, ``length_ratio`` and ``cosine`` as
        :func:`adambias.training.correction.measure` gives them.
    """
    few = data.first(settings.images)
    calls = {trial: partial(_along, trial, few) for trial in settings.trials()}
    return pd.DataFrame(
        [
            row
            for rows in run_all(
                calls, workers, "network_correction: the memory correction along trainings"
            ).values()
            for row in rows
        ]
    )


def _along(trial: Trial, data: Dataset) -> list[dict[str, Any]]:
    """Train, and return what was measured on the way, without epoch 0, which has no memory yet."""
    fields = {name: getattr(trial, name) for name in FIELDS}
    training = Training(trial, data, device="cpu")
    return [
        fields | {"epoch": record.epoch} | training.correction
        for record in training
        if record.epoch and record.correction_cosine is not None
    ]
