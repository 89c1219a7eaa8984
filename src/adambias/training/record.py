"""An epoch's record, and records as a table of numbers in a checkpoint."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adambias.config.measures import ACCURACIES, CORRECTION, STANDARD, TEST

_FIRST_COLUMNS = (
    *("epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy"),
    *("perturbed_one_norm", "one_norm", "two_norm", "max_norm", "mean_abs_grad", "seconds"),
    *("correction_norm_ratio", "correction_cosine"),
)
"""Columns of a checkpoint that names none, as those of the first versions."""


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """Everything measured at theta^(n), before step n.

    Every measured column is an attribute: ``record.train_loss``, ``record.perturbed_one_norm``;
    see :mod:`adambias.config.measures`. A column that is not measured at this epoch is None.

    Parameters
    ----------
    epoch : int
        n, from 0.
    seconds : float
        Wall time of the epoch.
    values : mapping
        The measured columns by name: float, or None.

    Examples
    --------
    >>> import adambias as ab
    >>> record = ab.EpochRecord(epoch=3, seconds=0.1, values={"train_loss": 0.5, "test_loss": None})
    >>> record.epoch, record.train_loss, record.test_loss
    (3, 0.5, None)
    """

    epoch: int
    seconds: float
    values: Mapping[str, float | None]

    def __getattr__(self, name: str) -> Any:
        """Return a measured column; those that a trial has not asked for are None."""
        if name in _KNOWN or name in self.__dict__.get("values", {}):
            return self.__dict__["values"].get(name)
        raise AttributeError(f"a record of this trial has no column {name!r}")

    def without(self, columns: Sequence[str]) -> EpochRecord:
        """Return the record as if some columns had not been measured."""
        return dataclasses.replace(self, values={**self.values, **dict.fromkeys(columns)})


_KNOWN = {name for measure in (*STANDARD, CORRECTION) for name in measure.columns}


def to_rows(records: Sequence[EpochRecord], columns: Sequence[str]) -> list[list[float]]:
    """Return records as rows of numbers, NaN for what was not measured."""
    rows = ([getattr(record, name) for name in columns] for record in records)
    return [[math.nan if value is None else float(value) for value in row] for row in rows]


def from_rows(
    rows: Sequence[Sequence[float]], columns: Sequence[str] | None, evaluated: Sequence[bool]
) -> list[EpochRecord]:
    """Return the records that :func:`to_rows` turned into rows.

    Parameters
    ----------
    rows : sequence of sequence of float
        The table.
    columns : sequence of str or None
        Its columns; None are those of a checkpoint of the first versions.
    evaluated : sequence of bool
        Whether each row's test columns were measured: they may be NaN all the same.
    """
    names = [*(columns or _FIRST_COLUMNS)]
    always = {name for measure in STANDARD for name in measure.columns} - {*ACCURACIES}
    records = []
    for n, row in enumerate(rows):
        table = dict(zip(names, row, strict=True))
        epoch = int(table.pop("epoch"))
        seconds = table.pop("seconds")
        absent = set() if evaluated[n] else {*TEST.columns}
        absent |= {name for name, value in table.items() if name not in always and value != value}
        values: dict[str, float | None] = table | dict.fromkeys(absent)
        records.append(EpochRecord(epoch=epoch, seconds=seconds, values=values))
    return records
