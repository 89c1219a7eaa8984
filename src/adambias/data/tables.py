"""Sources of numbers of any shape: files of arrays, and a table that scikit-learn ships."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any, cast

import numpy as np

from adambias.config import DatasetSpec
from adambias.core.errors import ConfigError, DataError, choose_from
from adambias.data.manifest import TENSORS, settings
from adambias.data.sources import Arrays, split, subset


def diabetes(spec: DatasetSpec) -> tuple[Arrays, list[str]]:
    """Return scikit-learn's diabetes table: ten measurements, and how far the disease has gone.

    The target is standardised by the mean and deviation of the training rows.
    """
    from sklearn.datasets import load_diabetes

    table = load_diabetes(scaled=False)
    arrays = _parted(table.data, table.target.astype(np.float64), spec)
    mean, std = arrays["train_targets"].mean(), arrays["train_targets"].std()
    return arrays | {k: (v - mean) / std for k, v in arrays.items() if k.endswith("targets")}, []


def arrays(spec: DatasetSpec, *, target: str = "target") -> tuple[Arrays, list[str]]:
    """Return what a file holds: NumPy's ``.npz``, or a table in Parquet.

    Parameters
    ----------
    spec : DatasetSpec
        Its ``path`` is the file. An ``.npz`` holds ``train_inputs``, ``train_targets``,
        ``test_inputs`` and ``test_targets``; or ``inputs`` and ``targets``, of which ``train_size``
        are drawn for training and the rest are for the test. Integer targets are classes from 0,
        floating-point ones numbers.
    target : str
        Of a table, the column to predict; all others are inputs.

    Raises
    ------
    DataError
        If the file cannot be read, or lacks what is needed.
    """
    path = Path(cast(str, spec.path))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    found = _npz(path, content) if path.suffix == ".npz" else _table(path, content, target)
    if TENSORS[0] in found:
        for key in ("train_size", "test_size"):
            if getattr(spec, key) is not None:
                allowed = f"leave it out: {path} has a split of its own"
                raise ConfigError(key, getattr(spec, key), allowed)
        chosen = {name: found[name] for name in TENSORS if name in found}
        return chosen, _classes(found.get("train_targets"), found.get("test_targets"))
    for name in ("inputs", "targets"):
        if name not in found:
            raise DataError(f"{path}: has no {name}, {', '.join(found)} are there")
    inputs, targets = found["inputs"], found["targets"]
    if spec.train_size is None:
        raise ConfigError("train_size", None, f"{path} has one part, give the rows to train on")
    return _parted(inputs, targets, spec), _classes(targets)


def _npz(path: Path, content: bytes) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in file.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: is no .npz of plain arrays ({error})") from None


def _table(path: Path, content: bytes, target: str) -> dict[str, np.ndarray]:
    import pandas as pd

    try:
        table = pd.read_parquet(io.BytesIO(content))
    except Exception as error:  # pyarrow's, of several kinds
        raise DataError(f"{path}: is neither an .npz nor Parquet ({error})") from None
    if target not in table:
        raise ConfigError("options.target", target, choose_from(map(str, table.columns), target))
    inputs = table.drop(columns=target)
    words = [str(name) for name in inputs if inputs[name].dtype.kind not in "iufb"]
    if words:
        raise DataError(f"{path}: column {words[0]} must hold numbers: encode or drop it")
    return {"inputs": inputs.to_numpy(dtype=np.float64), "targets": table[target].to_numpy()}


def _parted(inputs: np.ndarray, targets: np.ndarray, spec: DatasetSpec) -> Arrays:
    """Draw rows for training and for the test, stratified where targets are classes."""
    rng = np.random.default_rng([spec.seed, 1])
    classes = targets.ndim == 1 and targets.dtype.kind in "iu"
    if classes and targets.min(initial=0) >= 0:
        train, test = split(targets, spec, rng)
    else:
        train, test = _drawn(len(targets), spec, rng)
    parts: dict[str, Any] = dict(zip(TENSORS, (inputs[train], targets[train]), strict=False))
    return parts | {"test_inputs": inputs[test], "test_targets": targets[test]}


def _drawn(rows: int, spec: DatasetSpec, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    size = cast(int, settings(spec)["train_size"])
    if size >= rows:
        raise ConfigError("train_size", size, f"must be below {rows}, all rows")
    order = rng.permutation(rows)
    rest = np.zeros(rows - size, dtype=np.int64)  # one class: any of them will do
    return order[:size], order[size:][subset(rest, spec.test_size, "test_size", rng)]


def _classes(*targets: np.ndarray | None) -> list[str]:
    """Return names for integer targets, none for others."""
    known = [each for each in targets if each is not None and each.size]
    if not known or any(each.dtype.kind not in "iu" for each in known):
        return []
    return [str(i) for i in range(1 + max(int(each.max()) for each in known))]
