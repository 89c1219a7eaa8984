"""Where datasets come from; each source is a function of a :class:`adambias.config.DatasetSpec`.

It returns the arrays ``train_images``, ``train_labels``, ``test_images`` and ``test_labels``,
images of shape (N, C, H, W) and integer labels of shape (N,), and the names of the classes. What is
no image with a class has ``train_inputs``, ``train_targets``, ``test_inputs`` and ``test_targets``,
see :class:`adambias.data.dataset.Dataset`. Preparation orders the training inputs at random and
noises their labels afterwards.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np

from adambias.config import DatasetSpec
from adambias.core.errors import ConfigError, DataError
from adambias.core.extras import need
from adambias.data.manifest import (
    settings,
)

Arrays: TypeAlias = dict[str, np.ndarray]


def downloads_root(base: str = "") -> Path:
    """Return where torchvision looks: ``ADAMBIAS_DOWNLOADS``, or ``downloads`` in ``base``."""
    return Path(os.environ.get("ADAMBIAS_DOWNLOADS") or Path(base, "downloads"))


def stratified(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return sorted positions of ``size`` labels, each class in proportion to its count.

    Fractional shares are rounded down, and the largest remainders get one more.
    """
    counts = np.bincount(labels)
    shares = counts * (size / len(labels))
    quota = np.floor(shares).astype(int)
    quota[np.argsort(quota - shares, kind="stable")[: size - quota.sum()]] += 1
    chosen = [rng.permutation(np.flatnonzero(labels == c))[:n] for c, n in enumerate(quota)]
    return np.sort(np.concatenate(chosen))


def subset(labels: np.ndarray, size: int | None, key: str, rng: np.random.Generator) -> np.ndarray:
    """Return the positions of a stratified subset, or of all labels; ``key`` names its size."""
    if size is None:
        return np.arange(len(labels))
    if size > len(labels):
        raise ConfigError(key, size, f"must be at most {len(labels)}, the images there are")
    return stratified(labels, size, rng)


def split(
    labels: np.ndarray, spec: DatasetSpec, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Split images that come without a split into a stratified training set and the rest."""
    train_size = cast(int, settings(spec)["train_size"])
    if train_size >= len(labels):
        raise ConfigError("train_size", train_size, f"must be below {len(labels)}, all images")
    train = stratified(labels, train_size, rng)
    rest = np.setdiff1d(np.arange(len(labels)), train)
    return train, rest[subset(labels[rest], spec.test_size, "test_size", rng)]


def digits(spec: DatasetSpec) -> tuple[Arrays, list[str]]:
    """Return scikit-learn's handwritten digits, 8x8 grey pixels from 0 to 16."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[:, None]
    labels = bunch.target
    train, test = split(labels, spec, np.random.default_rng([spec.seed, 1]))
    arrays = {
        "train_images": images[train],
        "train_labels": labels[train],
        "test_images": images[test],
        "test_labels": labels[test],
    }
    return arrays, [str(i) for i in range(10)]


def _cifar(spec: DatasetSpec) -> tuple[Arrays, list[str]]:
    """Read CIFAR through torchvision, whose checksums it has to pass."""
    need("torchvision")
    from torchvision import datasets

    reader = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[spec.source]
    downloads = downloads_root(spec.base)
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
        chosen = subset(labels, size, f"{split}_size", rng)
        arrays[f"{split}_images"] = part.data[chosen].transpose(0, 3, 1, 2)
        arrays[f"{split}_labels"] = labels[chosen]
    return arrays, list(part.classes)


def image_folder(spec: DatasetSpec) -> tuple[Arrays, list[str]]:
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
            part[subset(labels[part], size, f"{split}_size", rng)]
            for part, size, split in zip(parts, sizes, ("train", "test"), strict=True)
        )
    elif spec.train_size is None:
        raise ConfigError("train_size", None, f"{source} has no train and test folders, give one")
    else:
        train, test = split(labels, spec, rng)
    chosen = np.concatenate([train, test])
    images = read_images(source, [files[i] for i in chosen])
    arrays = {
        "train_images": images[: len(train)],
        "train_labels": labels[train],
        "test_images": images[len(train) :],
        "test_labels": labels[test],
    }
    return arrays, classes


cifar10 = cifar100 = _cifar
