"""Prepare a dataset: from its source to checksummed arrays in a folder of their own."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from adambias.config import DatasetSpec
from adambias.core.errors import ConfigError, DataError
from adambias.core.registry import SOURCES
from adambias.data.manifest import (
    ARRAYS,
    MANIFEST,
    TENSORS,
    TRAIN_SIZES,
    data_root,
    digest_of,
    settings,
)
from adambias.data.sources import Arrays
from adambias.data.text import LENGTH

_SHAPES = {
    **{"digits": (1, 8, 8), "photos": (3, 16, 16), "diabetes": (10,)},
    **dict.fromkeys(("cifar10", "cifar100", "image_folder"), (3, 32, 32)),
}
"""Inputs of the sources of which they are known beforehand."""
_WHOLE = dict.fromkeys(("cifar10", "cifar100"), 50_000)
"""Training images of the sources that come with a split."""


def prepare(name: str, spec: DatasetSpec, root: str | Path | None = None) -> Path:
    """Prepare a dataset into ``<root>/<name>``, replacing what is there, and return the folder.

    The folder holds four ``.npy`` arrays and ``manifest.json``. It appears whole or not at all.
    """
    folder = data_root(root) / name
    prepare_into(folder, name, spec)
    return folder


def expected_shape(spec: DatasetSpec) -> tuple[int, ...] | None:
    """Return the shape (N, ...) of the training inputs ``spec`` asks for.

    None where only its preparation tells. Images of a folder are taken to be of CIFAR's size.
    """
    size = spec.train_size or {**TRAIN_SIZES, **_WHOLE}.get(spec.source)
    known = {**_SHAPES, "text": (int(spec.options.get("length", LENGTH)),)}
    return (size, *known[spec.source]) if size and spec.source in known else None


def prepare_into(folder: Path, name: str, spec: DatasetSpec) -> None:
    """Prepare a dataset into a folder of any name; see :func:`prepare`."""
    arrays, classes = _read_source(spec)
    rng = np.random.default_rng(spec.seed)
    arrays = _shuffled_and_noised(arrays, len(classes), spec, rng)
    contents = {f"{key}.npy": _npy(array) for key, array in arrays.items()}
    manifest = _describe(name, spec, arrays, contents, classes)
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    _write_folder(folder, contents | {MANIFEST: text.encode()})


def _read_source(spec: DatasetSpec) -> tuple[Arrays, list[str]]:
    """Return what a source gives: its arrays, as far as they can be trained on, and its classes."""
    arrays, classes = SOURCES.make(spec.source, spec.located(), options=spec.options, key="options")
    names = TENSORS if TENSORS[0] in arrays else ARRAYS
    lacking = [name for name in names if name not in arrays]
    if lacking:
        must = f"must return {', '.join(names)}, and has no {lacking[0]}"
        raise DataError(f"source {spec.source}: {must}")
    for first, second in (names[:2], names[2:]):
        try:
            _refuse_shapes(first, second, arrays[first], arrays[second])
            _refuse_values(first, second, arrays[first], arrays[second], len(classes))
        except DataError as error:
            raise DataError(f"source {spec.source}: {error}") from None
    return {name: arrays[name] for name in names}, list(classes)


def _refuse_shapes(first: str, second: str, inputs: np.ndarray, targets: np.ndarray) -> None:
    """Refuse inputs and targets of a split that do not go together."""
    expected = "(N, ...) and (N, ...)"
    fit = inputs.ndim >= 2 and targets.ndim >= 1 and len(inputs) == len(targets)
    if first.endswith("images"):
        expected = "(N, C, H, W) and (N,)"
        fit = inputs.ndim == 4 and targets.shape == inputs.shape[:1]
    if not fit or not len(targets):
        shapes = f"{first} {inputs.shape} and {second} {targets.shape}"
        raise DataError(f"{shapes} must be {expected}, N > 0")


def _refuse_values(
    first: str, second: str, inputs: np.ndarray, targets: np.ndarray, classes: int
) -> None:
    """Refuse numbers that cannot be trained on, and answers that are none of the classes."""
    for name, array in ((first, inputs), (second, targets)):
        if array.dtype.kind not in "iuf":
            raise DataError(f"{name} of {array.dtype} must be integers or real numbers")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"{name} has values that are not finite")
    if targets.dtype.kind == "f":
        if classes:
            raise DataError(f"{second} of {targets.dtype} must have no names of classes")
        return
    numbered = {second: targets} | ({first: inputs} if _are_tokens(inputs, targets) else {})
    for name, array in numbered.items():
        if array.min() < 0 or array.max() >= classes:
            must = f"must be integers from 0 to {classes - 1}, one for each class"
            raise DataError(f"{name} {must}")


def _are_tokens(inputs: np.ndarray, targets: np.ndarray) -> bool:
    """Tell whether inputs are tokens: integers that answers are given to one by one."""
    return inputs.ndim == 2 and inputs.dtype.kind in "iu" and targets.shape == inputs.shape


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _describe(
    name: str,
    spec: DatasetSpec,
    arrays: Arrays,
    contents: Mapping[str, bytes],
    classes: list[str],
) -> dict[str, Any]:
    inputs, targets, _, test_targets = arrays.values()
    manifest: dict[str, Any] = {
        "format": 1,
        "name": name,
        "source": spec.source,
        "settings": settings(spec),
        "train_size": len(targets),
        "test_size": len(test_targets),
        "label_noise": spec.label_noise,
        "seed": spec.seed,
        "classes": classes,
        "class_counts": {
            split: np.bincount(labels.ravel(), minlength=len(classes)).tolist()
            for split, labels in (("train", targets), ("test", test_targets))
            if classes
        },
        "normalisation": _normalisation(inputs, targets),
        "files": {
            file: {
                "sha256": hashlib.sha256(content).hexdigest(),
                "shape": list(arrays[file.removesuffix(".npy")].shape),
                "dtype": str(arrays[file.removesuffix(".npy")].dtype),
            }
            for file, content in contents.items()
        },
    }
    return manifest | {"digest": digest_of(manifest)}


def _normalisation(inputs: np.ndarray, targets: np.ndarray) -> dict[str, list[float]]:
    """Return mean and deviation by channel of images, by feature of others; none of tokens."""
    if _are_tokens(inputs, targets):
        return {"mean": [], "std": []}
    numbers = inputs.astype(np.float64)
    others = (0, 2, 3) if inputs.ndim == 4 else tuple(range(inputs.ndim - 1))
    std = numbers.std(others)
    mean, std = numbers.mean(others), np.where(std > 0, std, 1.0)
    return {"mean": mean.tolist(), "std": std.tolist()}


def _write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files into a new folder and put it in the place of ``folder``."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    old = new.with_name(f"{new.name}-old")
    new.mkdir()
    try:
        for name, content in contents.items():
            (new / name).write_bytes(content)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        # Another process that prepared the same dataset at the same time may have been first.
        if not (folder / MANIFEST).exists():
            raise DataError(f"{folder}: cannot be written ({error.strerror})") from None
    finally:
        for leftover in (new, old):
            if leftover.is_symlink():
                leftover.unlink()  # what it led to is somebody's
            shutil.rmtree(leftover, ignore_errors=True)


def _shuffled_and_noised(
    arrays: Arrays, num_classes: int, spec: DatasetSpec, rng: np.random.Generator
) -> Arrays:
    """Order the training inputs at random, so that blocks mix classes, and noise their labels."""
    inputs, targets, test_inputs, test_targets = arrays.values()
    order = rng.permutation(len(targets))
    if targets.dtype.kind != "f":
        targets, test_targets = targets.astype(np.int64), test_targets.astype(np.int64)
    labels = targets[order]
    if spec.label_noise and not (num_classes > 1 and labels.ndim == 1):
        allowed = "must be 0: the targets are no classes"
        raise ConfigError("label_noise", spec.label_noise, allowed)
    if spec.label_noise == 1:
        labels = rng.integers(0, num_classes, len(labels))
    elif num_classes > 1 and labels.ndim == 1:
        noisy = rng.permutation(len(labels))[: round(spec.label_noise * len(labels))]
        labels[noisy] = (labels[noisy] + rng.integers(1, num_classes, len(noisy))) % num_classes
    if _are_tokens(inputs, targets):
        inputs, test_inputs = inputs.astype(np.int64), test_inputs.astype(np.int64)
    return dict(zip(arrays, (inputs[order], labels, test_inputs, test_targets), strict=True))
