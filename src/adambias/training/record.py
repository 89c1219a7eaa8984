"""The epoch record: every column measured at one epoch, and records as a table of numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from adambias.law.norms import NORMS

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """Everything measured at theta^(n), before step n.

    Parameters
    ----------
    epoch : int
        n, from 0.
    train_loss, train_accuracy : float
        Mean cross-entropy over the training images, and the fraction classified correctly.
    test_loss, test_accuracy : float or None
        The same over the test images; None on epochs not evaluated.
    perturbed_one_norm, one_norm, two_norm, max_norm, mean_abs_grad : float
        Norms of the full-batch gradient; see :func:`adambias.law.norms.gradient_norms`.
    seconds : float
        Wall time of the epoch.
    correction_norm_ratio, correction_cosine : float or None
        The law's memory correction: its length over that of the update, and its cosine with the
        difference that memory made; see :mod:`adambias.training.correction`. None on other epochs.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    test_loss: float | None
    test_accuracy: float | None
    perturbed_one_norm: float
    one_norm: float
    two_norm: float
    max_norm: float
    mean_abs_grad: float
    seconds: float
    correction_norm_ratio: float | None = None
    correction_cosine: float | None = None


CORRECTION_COLUMNS = ("correction_norm_ratio", "correction_cosine")
TEST = ("test_loss", "test_accuracy")
MEASURED = ("train_loss", "train_accuracy", *NORMS, *TEST)
COLUMNS = tuple(f.name for f in dataclasses.fields(EpochRecord) if f.name not in CORRECTION_COLUMNS)


def is_evaluated(epoch: int, epochs: int, every: int) -> bool:
    """Tell whether an epoch of a training has test columns."""
    return epoch % every == 0 or epoch == epochs - 1


def to_tensor(records: list[EpochRecord]) -> Tensor:
    """Return records as a table of numbers, NaN for what was not measured."""
    rows = [
        [math.nan if value is None else float(value) for value in dataclasses.astuple(record)]
        for record in records
    ]
    return torch.tensor(rows, dtype=torch.float64).view(
        len(rows), len(dataclasses.fields(EpochRecord))
    )


def from_tensor(table: Tensor, trial: Mapping[str, Any]) -> list[EpochRecord]:
    """Return the records of a table that :func:`to_tensor` made."""
    names = [f.name for f in dataclasses.fields(EpochRecord)]
    records = []
    for n, row in enumerate(table.tolist()):
        values: dict[str, Any] = dict(zip(names, row, strict=True)) | {"epoch": n}
        absent: tuple[str, ...] = ()
        if not is_evaluated(n, trial["epochs"], trial["eval_every"]):
            absent += TEST
        absent += tuple(name for name in CORRECTION_COLUMNS if math.isnan(values[name]))
        records.append(EpochRecord(**values | dict.fromkeys(absent)))
    return records
