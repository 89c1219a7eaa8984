"""How much of what memory does to a network's training the law predicts, and where it fails.

:mod:`adambias.memory_correction` measures it at one epoch; here it is charted on the way from a
smooth network in small steps, where the first order in h is exact, to the sweeps' settings.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from adambias.config import NetworkCorrection, Trial
from adambias.data import Dataset
from adambias.training import Training

FIELDS = (
    "model",
    "activation",
    "norm",
    "precision",
    "rule",
    "h",
    "beta1",
    "beta2",
    "epsilon",
)


def chart(settings: NetworkCorrection, data: Dataset) -> pd.DataFrame:
    """Measure the correction at each stop of the way.

    Parameters
    ----------
    settings : NetworkCorrection
        The way.
    data : Dataset
        What the networks are trained on.

    Returns
    -------
    DataFrame
        A row per stop, seed and measured epoch: ``stop`` (from 0), ``change`` in words, ``seed``,
        ``epoch``, ``norm_ratio``, ``length_ratio`` and ``cosine`` as
        :func:`adambias.memory_correction.measure` gives them, and :data:`FIELDS` of the trial.
    """
    rows = []
    for stop, (change, trial) in enumerate(settings.stops()):
        for seed in settings.seeds:
            trial = trial.replace(seed=seed, dataset=data.name, correction_every=settings.every)
            where = {"stop": stop, "change": change, "seed": seed}
            where |= {name: getattr(trial, name) for name in FIELDS}
            rows += [where | measured for measured in _along(trial, data)]
    return pd.DataFrame(rows)


def _along(trial: Trial, data: Dataset) -> list[dict[str, Any]]:
    """Train, and return what was measured on the way, but for epoch 0."""
    training = Training(trial, data)
    return [
        {"epoch": record.epoch, **training.correction}
        for record in training
        if record.epoch and record.correction_cosine is not None
    ]
