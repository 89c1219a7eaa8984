"""From a trial's history to one row of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from adambias.config import Analyse
from adambias.regimes import classify

Columns = Mapping[str, NDArray[Any]]
NEEDED = ("trial", "epoch", "train_loss", "train_accuracy", "test_accuracy", "perturbed_one_norm")
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


def summarise(trial: Mapping[str, Any], history: Columns, settings: Analyse) -> dict[str, Any]:
    """Return a trial's regime and summaries.

    Parameters
    ----------
    trial : mapping
        The trial's row: ``epochs``, ``epsilon``, ``parameters`` and ``status`` are used.
    history : mapping of arrays, shape (rows,)
        The columns :data:`NEEDED`.
    settings : Analyse
        The initial fraction of epochs to leave out, and the thresholds of the regimes.

    Returns
    -------
    dict
        ``norm_floor`` is p√ε, the least the perturbed one-norm can be;
        ``peak_perturbed_one_norm`` its highest value after the initial fraction of the epochs
        that were planned, at ``peak_epoch``; ``peak_at_edge`` tells that this is the first epoch
        looked at, so that there the norm was falling and has no hill; ``excess`` is the peak less
        the floor;
        ``hill_rise`` and ``hill_fall`` are in powers of ten, see :func:`hill`, and ``has_hill``
        tells that both are at least ``hill_decades``.
    """
    loss, norm = history["train_loss"], history["perturbed_one_norm"]
    diagnosis = classify(loss, settings.regimes, diverged=trial["status"] == "diverged")
    start = settings.initial_fraction * trial["epochs"]
    late = np.where((history["epoch"] >= start) & np.isfinite(norm), norm, np.nan)
    peak_at = int(np.nanargmax(late)) if np.isfinite(late).any() else None
    peak = float(late[peak_at]) if peak_at is not None else np.nan
    floor = float(trial["parameters"]) * float(np.sqrt(trial["epsilon"]))
    rise, fall = hill(norm)
    return {
        "regime": diagnosis.regime,
        "regime_reason": diagnosis.reason,
        "spikes": diagnosis.spikes,
        "largest_leap": diagnosis.largest_leap,
        "norm_floor": floor,
        "peak_perturbed_one_norm": peak,
        "peak_epoch": int(history["epoch"][peak_at]) if peak_at is not None else None,
        "peak_at_edge": peak_at is not None and not np.isfinite(late[:peak_at]).any(),
        "excess": peak - floor,
        "final_perturbed_one_norm": _last(norm),
        "hill_rise": rise,
        "hill_fall": fall,
        "has_hill": min(rise, fall) >= settings.hill_decades,
        "best_test_accuracy": _highest(history["test_accuracy"]),
        "final_test_accuracy": _last(history["test_accuracy"]),
        "final_train_accuracy": _last(history["train_accuracy"]),
        "final_train_loss": _last(loss),
        "lowest_train_loss": -_highest(-np.asarray(loss, dtype=float)),
        "not_finite": int(np.count_nonzero(~np.isfinite(loss) | ~np.isfinite(norm))),
    }


def hill(norm: NDArray[np.float64]) -> tuple[float, float]:
    """Return by how many powers of ten the norm rises to its hill, and falls after it.

    The norm falls, rises again and falls until it flattens (section 6). The log of the curve is
    smoothed first, by a running mean over a fiftieth of its length, so that single oscillations
    are no hill. The hill is the top that stands highest above the lower of its two sides.

    Returns
    -------
    rise : float
        From the lowest point before the top; 0 for a curve that only falls.
    fall : float
        To the lowest point after it; 0 for a curve that only rises.
    """
    values = np.asarray(norm, dtype=float)
    if values.size < 3 or not np.isfinite(values).all() or (values <= 0).any():
        return np.nan, np.nan
    width = max(1, values.size // 50)
    curve = np.convolve(np.log10(values), np.full(width, 1 / width), mode="valid")
    rises = curve - np.minimum.accumulate(curve)
    falls = curve - np.minimum.accumulate(curve[::-1])[::-1]
    top = int(np.argmax(np.minimum(rises, falls)))
    return float(rises[top]), float(falls[top])


def _last(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)] if len(values) else values
    return float(finite[-1]) if len(finite) else np.nan


def _highest(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)] if len(values) else values
    return float(finite.max()) if len(finite) else np.nan
