"""Histories read one trial at a time, so that a table of any length fits into memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from adambias.config.measures import COLUMNS, CORRECTION

Columns = Mapping[str, NDArray[Any]]
_ROWS_AT_ONCE = 250_000


def histories(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each trial's key and columns, reading a bounded number of rows at a time.

    A trial's rows stand together in the file, in the order of the epochs.
    """
    pending: list[dict[str, Any]] = []
    current: str | None = None
    for key, piece in _pieces(path, columns):
        if current is not None and key != current:
            yield current, _join(pending)
            pending = []
        current = key
        pending.append(piece)
    if current is not None:
        yield current, _join(pending)


def further_columns(path: Path) -> tuple[str, ...]:
    """Return the columns that some trial measured besides what every trial does."""
    known = {"trial", "grid", *COLUMNS, *CORRECTION.columns}
    return tuple(name for name in pq.read_schema(path).names if name not in known)


def _pieces(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    names = [name for name in columns if name != "trial"]
    for batch in pq.ParquetFile(path).iter_batches(_ROWS_AT_ONCE, columns=["trial", *names]):
        keys = batch.column("trial")
        if not pa.types.is_dictionary(keys.type):
            keys = keys.dictionary_encode()
        codes = keys.indices.to_numpy(zero_copy_only=False)
        arrays = {name: batch.column(name).to_numpy(zero_copy_only=False) for name in names}
        edges = np.flatnonzero(np.diff(codes)) + 1
        for start, stop in zip([0, *edges], [*edges, len(codes)], strict=True):
            if stop > start:
                key = keys.dictionary[int(codes[start])].as_py()
                yield key, {name: values[start:stop] for name, values in arrays.items()}


def _join(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
