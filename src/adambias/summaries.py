"""From a trial's history to one row of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
LEAST_ERRORS = 6
"""Standard errors that a hill rises and falls by at least."""
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
        ``hill_rise``, ``hill_fall``, ``hill_epoch`` and ``hill_norm`` are of the :class:`Hill` of
        the norm's excess over the floor, whose hills are those of the norm, undiluted by a
        constant; ``has_hill`` tells that it counts as one, see :meth:`Hill.stands`.
    """
    loss, norm = history["train_loss"], history["perturbed_one_norm"]
    diagnosis = classify(loss, settings.regimes, diverged=trial["status"] == "diverged")
    start = settings.initial_fraction * trial["epochs"]
    late = np.where((history["epoch"] >= start) & np.isfinite(norm), norm, np.nan)
    peak_at = int(np.nanargmax(late)) if np.isfinite(late).any() else None
    peak = float(late[peak_at]) if peak_at is not None else np.nan
    floor = float(trial["parameters"]) * float(np.sqrt(trial["epsilon"]))
    top = find_hill(norm - floor)
    hill = top if top is not None and top.stands(settings.hill_decades) else None
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
        "hill_rise": top.rise if top else np.nan,
        "hill_fall": top.fall if top else np.nan,
        "hill_epoch": int(history["epoch"][hill.row]) if hill else None,
        "hill_norm": floor + hill.height if hill else np.nan,
        "has_hill": hill is not None,
        "best_test_accuracy": _highest(history["test_accuracy"]),
        "final_test_accuracy": _last(history["test_accuracy"]),
        "final_train_accuracy": _last(history["train_accuracy"]),
        "final_train_loss": _last(loss),
        "lowest_train_loss": -_highest(-np.asarray(loss, dtype=float)),
        "not_finite": int(np.count_nonzero(~np.isfinite(loss) | ~np.isfinite(norm))),
    }


@dataclass(frozen=True, kw_only=True)
class Hill:
    """The hill of a curve that falls, rises again and falls until it flattens (section 6).

    Its top is where the smoothed curve stands highest above its lowest point on either side, the
    smaller of the two counting.

    Parameters
    ----------
    rise, fall : float
        Powers of ten from the lowest point before the top, and to the lowest after it; 0 on a side
        on which nothing is lower.
    fell : bool
        Whether the lowest point before the top is below the curve's first value.
    row : int
        Where the top is.
    height : float
        The smoothed curve's value there.
    noise : float
        Standard error of the smoothed curve, in powers of ten.
    """

    rise: float
    fall: float
    fell: bool
    row: int
    height: float
    noise: float

    def stands(self, decades: float) -> bool:
        """Tell whether the curve fell first, and then rose and fell by so many powers of ten.

        Less than :data:`LEAST_ERRORS` standard errors of the curve is no rise, as it would be found
        in noise: the top is chosen among many places.
        """
        least = max(decades, LEAST_ERRORS * self.noise)
        return self.fell and min(self.rise, self.fall) >= least


def find_hill(values: NDArray[np.float64]) -> Hill | None:
    """Return the hill of a curve, None where a value is not finite or all are zero or less.

    The log of the curve is smoothed first, by a running mean over a twentieth of its length, so
    that single oscillations are no hill. Less than a millionth of the highest value counts as that.
    """
    curve = np.asarray(values, dtype=float)
    if curve.size < 3 or not np.isfinite(curve).all() or curve.max() <= 0:
        return None
    logs, width = np.log10(np.maximum(curve, 1e-6 * curve.max())), smoothing_width(curve.size)
    curve = np.convolve(logs, np.full(width, 1 / width), mode="valid")
    off = logs[width // 2 : width // 2 + curve.size] - curve
    noise = 1.4826 * float(np.median(np.abs(off))) / width**0.5
    lowest = np.minimum.accumulate(curve)
    rises, falls = curve - lowest, curve - np.minimum.accumulate(curve[::-1])[::-1]
    top = int(np.argmax(np.minimum(rises, falls)))
    return Hill(
        rise=float(rises[top]),
        fall=float(falls[top]),
        fell=bool(lowest[top] < logs[0]),
        row=top + width // 2,
        height=float(10 ** curve[top]),
        noise=noise,
    )


def smoothing_width(epochs: int) -> int:
    """Return over how many epochs a norm is smoothed before its hill is looked for."""
    return max(1, round(epochs / 20))


def _last(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)] if len(values) else values
    return float(finite[-1]) if len(finite) else np.nan


def _highest(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)] if len(values) else values
    return float(finite.max()) if len(finite) else np.nan
