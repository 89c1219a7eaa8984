"""From a source to a folder of arrays: subsets, label noise, and the manifest."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from adambias.config import DatasetSpec
from adambias.core.errors import ConfigError, DataError
from adambias.data.manifest import (
    ARRAYS,
    DIGITS_TRAIN_SIZE,
    MANIFEST,
    data_root,
    digest_of,
    settings,
)

Arrays: TypeAlias = dict[str, np.ndarray]


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
    whole = {"digits": (DIGITS_TRAIN_SIZE, 1, 8, 8)}.get(spec.source, (50_000, 3, 32, 32))
    return (spec.train_size or whole[0], *whole[1:])


def downloads_root() -> Path:
    """Return where torchvision's own files lie: ``ADAMBIAS_DOWNLOADS``, or ``downloads``."""
    return Path(os.environ.get("ADAMBIAS_DOWNLOADS") or "downloads")


def prepare_into(folder: Path, name: str, spec: DatasetSpec) -> None:
    """Prepare a dataset into a folder of any name; see :func:`prepare`."""
    arrays, classes = _SOURCES[spec.source](spec)
    rng = np.random.default_rng(spec.seed)
    arrays = _shuffled_and_noised(arrays, len(classes), spec, rng)
    contents = {f"{key}.npy": _npy(arrays[key]) for key in ARRAYS}
    manifest = _describe(name, spec, arrays, contents, classes)
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    _write_folder(folder, contents | {MANIFEST: text.encode()})


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


def _stratified(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return sorted positions of ``size`` labels, each class in proportion to its count.

    Fractional shares are rounded down, and the largest remainders get one more.
    """
    counts = np.bincount(labels)
    shares = counts * (size / len(labels))
    quota = np.floor(shares).astype(int)
    quota[np.argsort(quota - shares, kind="stable")[: size - quota.sum()]] += 1
    chosen = [rng.permutation(np.flatnonzero(labels == c))[:n] for c, n in enumerate(quota)]
    return np.sort(np.concatenate(chosen))


def _subset(labels: np.ndarray, size: int | None, key: str, rng: np.random.Generator) -> np.ndarray:
    if size is None:
        return np.arange(len(labels))
    if size > len(labels):
        raise ConfigError(key, size, f"must be at most {len(labels)}, the images there are")
    return _stratified(labels, size, rng)


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


def _split(
    labels: np.ndarray, spec: DatasetSpec, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Split images that come without a split into a stratified training set and the rest."""
    train_size = cast(int, settings(spec)["train_size"])
    if train_size >= len(labels):
        raise ConfigError("train_size", train_size, f"must be below {len(labels)}, all images")
    train = _stratified(labels, train_size, rng)
    rest = np.setdiff1d(np.arange(len(labels)), train)
    return train, rest[_subset(labels[rest], spec.test_size, "test_size", rng)]


def _digits(spec: DatasetSpec) -> tuple[Arrays, list[str]]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[:, None]
    labels = bunch.target
    train, test = _split(labels, spec, np.random.default_rng([spec.seed, 1]))
    arrays = {
        "train_images": images[train],
        "train_labels": labels[train],
        "test_images": images[test],
        "test_labels": labels[test],
    }
    return arrays, [str(i) for i in range(10)]


def _cifar(spec: DatasetSpec) -> tuple[Arrays, list[str]]:
    """Read CIFAR through torchvision, whose checksums it has to pass."""
    from torchvision import datasets

    reader = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[spec.source]
    downloads = downloads_root()
    rng = np.random.default_rng([spec.seed, 1])
    arrays: Arrays = {}
    for split, size in (("train", spec.train_size), ("test", spec.test_size)):
        try:
            part = reader(str(downloads), train=split == "train", download=True)
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"{downloads}: {spec.source} is not there and cannot be downloaded ({error}); "
                "put torchvision's files there, or use source image_folder"
            ) from None
        labels = np.asarray(part.targets)
        chosen = _subset(labels, size, f"{split}_size", rng)
        arrays[f"{split}_images"] = part.data[chosen].transpose(0, 3, 1, 2)
        arrays[f"{split}_labels"] = labels[chosen]
    return arrays, list(part.classes)


def _image_folder(spec: DatasetSpec) -> tuple[Arrays, list[str]]:
    """Read a class-per-folder tree or archive, with or without ``train`` and ``test`` folders."""
    from adambias.data.archives import list_images, read_images

    source = Path(cast(str, spec.path))
    files = list_images(source)
    classes = sorted({file.label for file in files})
    labels = np.array([classes.index(file.label) for file in files])
    splits = np.array([file.split for file in files])
    rng = np.random.default_rng([spec.seed, 1])
    if {"train", "test"} <= set(splits):
        parts = [np.flatnonzero(splits == split) for split in ("train", "test")]
        sizes = (spec.train_size, spec.test_size)
        train, test = (
            part[_subset(labels[part], size, f"{split}_size", rng)]
            for part, size, split in zip(parts, sizes, ("train", "test"), strict=True)
        )
    elif spec.train_size is None:
        raise ConfigError("train_size", None, f"{source} has no train and test folders, give one")
    else:
        train, test = _split(labels, spec, rng)
    chosen = np.concatenate([train, test])
    images = read_images(source, [files[i] for i in chosen])
    arrays = {
        "train_images": images[: len(train)],
        "train_labels": labels[train],
        "test_images": images[len(train) :],
        "test_labels": labels[test],
    }
    return arrays, classes


_SOURCES = {
    "digits": _digits,
    "cifar10": _cifar,
    "cifar100": _cifar,
    "image_folder": _image_folder,
}
