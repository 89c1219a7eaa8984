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
from adambias.core.errors import DataError
from adambias.core.registry import SOURCES
from adambias.data.manifest import (
    ARRAYS,
    MANIFEST,
    TRAIN_SIZES,
    data_root,
    digest_of,
    settings,
)
from adambias.data.sources import Arrays


def prepare(name: str, spec: DatasetSpec, root: str | Path | None = None) -> Path:
    """Prepare a dataset into ``<root>/<name>``, replacing what is there, and return the folder.

    The folder holds four ``.npy`` arrays and ``manifest.json``. It appears whole or not at all.
    """
    folder = data_root(root) / name
    prepare_into(folder, name, spec)
    return folder


def expected_shape(spec: DatasetSpec) -> tuple[int, ...]:
    """Return the shape (N, C, H, W) of the training images ``spec`` asks for.

    An ``image_folder`` is taken to be of CIFAR's shape until it is prepared.
    """
    size = spec.train_size or TRAIN_SIZES.get(spec.source, 50_000)
    image = {"digits": (1, 8, 8), "photos": (3, 16, 16)}.get(spec.source, (3, 32, 32))
    return (size, *image)


def prepare_into(folder: Path, name: str, spec: DatasetSpec) -> None:
    """Prepare a dataset into a folder of any name; see :func:`prepare`."""
    arrays, classes = _read_source(spec)
    rng = np.random.default_rng(spec.seed)
    arrays = _shuffled_and_noised(arrays, len(classes), spec, rng)
    contents = {f"{key}.npy": _npy(arrays[key]) for key in ARRAYS}
    manifest = _describe(name, spec, arrays, contents, classes)
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    _write_folder(folder, contents | {MANIFEST: text.encode()})


def _read_source(spec: DatasetSpec) -> tuple[Arrays, list[str]]:
    """Return what a source gives: its arrays, as far as they can be trained on, and its classes."""
    arrays, classes = SOURCES.factory(spec.source)(spec)
    for split in ("train", "test"):
        images, labels = (arrays.get(f"{split}_{what}") for what in ("images", "labels"))
        if images is None or labels is None:
            raise DataError(f"source {spec.source}: must return {', '.join(ARRAYS)}")
        if images.ndim != 4 or labels.shape != images.shape[:1] or not len(labels):
            raise DataError(
                f"source {spec.source}: {split}_images {images.shape} and {split}_labels "
                f"{labels.shape} must be (N, C, H, W) and (N,), N > 0"
            )
        if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= len(classes):
            raise DataError(
                f"source {spec.source}: {split}_labels must be integers from 0 to "
                f"{len(classes) - 1}, one for each class"
            )
    return arrays, list(classes)


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
    pixels = arrays["train_images"].astype(np.float64)
    std = pixels.std((0, 2, 3))
    manifest: dict[str, Any] = {
        "format": 1,
        "name": name,
        "source": spec.source,
        "settings": settings(spec),
        "train_size": len(arrays["train_labels"]),
        "test_size": len(arrays["test_labels"]),
        "label_noise": spec.label_noise,
        "seed": spec.seed,
        "classes": classes,
        "class_counts": {
            split: np.bincount(arrays[f"{split}_labels"], minlength=len(classes)).tolist()
            for split in ("train", "test")
        },
        "normalisation": {
            "mean": pixels.mean((0, 2, 3)).tolist(),
            "std": np.where(std > 0, std, 1.0).tolist(),
        },
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
            shutil.rmtree(leftover, ignore_errors=True)


def _shuffled_and_noised(
    arrays: Arrays, num_classes: int, spec: DatasetSpec, rng: np.random.Generator
) -> Arrays:
    """Order the training images at random, so that blocks mix classes, and noise their labels."""
    order = rng.permutation(len(arrays["train_labels"]))
    labels = arrays["train_labels"][order].astype(np.int64)
    noisy = rng.permutation(len(labels))[: round(spec.label_noise * len(labels))]
    labels[noisy] = (labels[noisy] + rng.integers(1, num_classes, len(noisy))) % num_classes
    return {
        "train_images": arrays["train_images"][order],
        "train_labels": labels,
        "test_images": arrays["test_images"],
        "test_labels": arrays["test_labels"].astype(np.int64),
    }
