"""Datasets prepared once, verified by every reader, resident in memory as arrays."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np

from adambias.config import DatasetSpec
from adambias.errors import ConfigError, DataError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MANIFEST = "manifest.json"
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
DIGITS_TRAIN_SIZE = 400
Source: TypeAlias = Literal["digits", "cifar10", "cifar100", "image_folder"]
Arrays: TypeAlias = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images and labels of a classification problem.

    Parameters
    ----------
    name : str
        Name of the dataset, as in :class:`adambias.config.Trial`.
    digest : str
        SHA-256 over everything that determines the data; part of a trial's identity.
    train_images, test_images : Tensor, shape (N, C, H, W)
        Raw pixels, uint8 or floating point.
    train_labels, test_labels : Tensor, shape (N,), int64
        Classes, from 0.
    num_classes : int
        Number of classes.
    mean, std : tuple of float
        Of each channel of the training images, in the unit of the pixels.
    """

    name: str
    digest: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to(self, device: torch.device | str) -> Dataset:
        """Return the dataset with its tensors on ``device``."""
        moved = {name: getattr(self, name).to(device) for name in ARRAYS}
        return dataclasses.replace(self, **moved)

    def standardised(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        """Return (pixels - mean) / std per channel, in ``dtype``, on the device of ``images``."""
        pixels = images.to(dtype)
        mean, std = (pixels.new_tensor(s).view(-1, 1, 1) for s in (self.mean, self.std))
        return pixels.sub_(mean).div_(std) if pixels is not images else (pixels - mean) / std


def load_dataset(
    name: str,
    *,
    train_size: int | None = None,
    test_size: int | None = None,
    label_noise: float = 0.0,
    seed: int = 0,
    root: str | Path | None = None,
    source: str | None = None,
    path: str | Path | None = None,
) -> Dataset:
    """Return a dataset, prepared on first use.

    With a name alone, whatever is prepared under this name is read. With settings, a preparation
    that has them is read; if the name is taken by one that has others, the new one goes into a
    folder of its own beside it.

    Parameters
    ----------
    name : str
        ``digits``, ``cifar10``, ``cifar100``, or any name for an ``image_folder``.
    train_size, test_size : int, optional
        Images in a stratified subset of each split; all if not given (``digits``: 400 for
        training, the rest for the test).
    label_noise : float
        Fraction of the training labels replaced by another class, drawn uniformly.
    seed : int
        Seed of the choice of images, of their order and of the label noise.
    root : path, optional
        Folder of the prepared datasets: ``ADAMBIAS_DATA``, or ``data``, if not given.
    source : str, optional
        Where the images come from, if it is not the name.
    path : path, optional
        The tree or archive of an ``image_folder``.

    Raises
    ------
    DataError
        If a file is absent or damaged.

    Examples
    --------
    >>> import tempfile
    >>> data = load_dataset("digits", train_size=400, root=tempfile.mkdtemp())
    >>> tuple(data.train_images.shape), len(data.test_images)
    ((400, 1, 8, 8), 1397)
    """
    base = data_root(root)
    folder = base / name
    asked = (train_size, test_size, source, path) != (None,) * 4 or label_noise or seed
    if asked or not (folder / MANIFEST).exists():
        if source is None and name not in ("digits", "cifar10", "cifar100"):
            source = "image_folder"
        spec = DatasetSpec(
            source=cast(Source, source or name),
            path=None if path is None else str(path),
            train_size=train_size,
            test_size=test_size,
            label_noise=label_noise,
            seed=seed,
        )
        folder = _folder_for(name, spec, base)
        if not (folder / MANIFEST).exists():
            _prepare_into(folder, name, spec)
    return _read(folder, name)


def prepare(name: str, spec: DatasetSpec, root: str | Path | None = None) -> Path:
    """Prepare a dataset into ``<root>/<name>``, replacing what is there, and return the folder.

    The folder holds four ``.npy`` arrays and ``manifest.json``. It appears whole or not at all.
    """
    folder = data_root(root) / name
    _prepare_into(folder, name, spec)
    return folder


def read_manifest(root: str | Path | None, name: str) -> dict[str, Any]:
    """Return the manifest of the dataset prepared at ``<root>/<name>``.

    Raises
    ------
    DataError
        If it is absent or damaged.
    """
    return _manifest(data_root(root) / name)


def prepared_digest(name: str, spec: DatasetSpec, root: str | Path | None = None) -> str:
    """Return the digest of the dataset at ``<root>/<name>``, prepared as ``spec`` asks.

    Raises
    ------
    DataError
        If it is absent, damaged, or prepared with other settings.
    """
    folder = data_root(root) / name
    if not (folder / MANIFEST).exists():
        raise DataError(f"{folder}: is not prepared: run dvc repro prepare")
    manifest = _manifest(folder)
    if manifest["settings"] != settings(spec):
        raise DataError(
            f"{folder}: was prepared with other settings than the scale's: run dvc repro prepare"
        )
    return cast(str, manifest["digest"])


def check_arrays(name: str, root: str | Path | None = None) -> None:
    """Compare the arrays at ``<root>/<name>`` with the checksums of their manifest.

    Raises
    ------
    DataError
        If one is absent or damaged.
    """
    folder = data_root(root) / name
    manifest = _manifest(folder)
    for key in ARRAYS:
        _read_array(folder, key, manifest)


def expected_shape(spec: DatasetSpec) -> tuple[int, ...]:
    """Return the shape (N, C, H, W) of the training images ``spec`` asks for.

    An ``image_folder`` is taken to be of CIFAR's shape until it is prepared.
    """
    whole = {"digits": (DIGITS_TRAIN_SIZE, 1, 8, 8)}.get(spec.source, (50_000, 3, 32, 32))
    return (spec.train_size or whole[0], *whole[1:])


def data_root(root: str | Path | None = None) -> Path:
    """Return ``root``, or ``ADAMBIAS_DATA``, or ``data``."""
    return Path(root or os.environ.get("ADAMBIAS_DATA") or "data")


def downloads_root() -> Path:
    """Return where torchvision's own files lie: ``ADAMBIAS_DOWNLOADS``, or ``downloads``."""
    return Path(os.environ.get("ADAMBIAS_DOWNLOADS") or "downloads")


def settings(spec: DatasetSpec) -> dict[str, Any]:
    """Return what identifies a preparation, with the defaults of ``digits`` filled in."""
    values = dataclasses.asdict(spec)
    if spec.source == "digits" and spec.train_size is None:
        values["train_size"] = DIGITS_TRAIN_SIZE
    return values


def _folder_for(name: str, spec: DatasetSpec, base: Path) -> Path:
    taken = base / name / MANIFEST
    if not taken.exists() or _manifest(base / name)["settings"] == settings(spec):
        return base / name
    text = json.dumps(settings(spec), sort_keys=True)
    return base / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _manifest(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        sound = manifest["digest"] == _digest(manifest)
    except FileNotFoundError:
        raise DataError(f"{file}: is missing; run dvc repro prepare") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _damaged(file, "a manifest in JSON") from None
    if not sound:
        raise _damaged(file, "contents that match its digest")
    return cast("dict[str, Any]", manifest)


def _damaged(file: Path, expected: str) -> DataError:
    return DataError(
        f"{file}: is damaged, expected {expected}; delete {file.parent} and run dvc repro prepare"
    )


def _digest(manifest: Mapping[str, Any]) -> str:
    """Return one SHA-256 over the arrays and their normalisation."""
    keys = ("format", "classes", "normalisation")
    content = {key: manifest[key] for key in keys}
    content["files"] = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _read(folder: Path, name: str) -> Dataset:
    import torch

    manifest = _manifest(folder)
    arrays = {key: _read_array(folder, key, manifest) for key in ARRAYS}
    return Dataset(
        name=name,
        digest=manifest["digest"],
        num_classes=len(manifest["classes"]),
        mean=tuple(manifest["normalisation"]["mean"]),
        std=tuple(manifest["normalisation"]["std"]),
        **{key: torch.from_numpy(array) for key, array in arrays.items()},
    )


def _read_array(folder: Path, key: str, manifest: Mapping[str, Any]) -> np.ndarray:
    file = folder / f"{key}.npy"
    expected = manifest["files"].get(file.name, {}).get("sha256")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read ({error.strerror}); delete {folder} and run dvc repro prepare"
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise _damaged(file, f"SHA-256 {str(expected)[:12]}… and found {found[:12]}…")
    return cast(np.ndarray, np.load(io.BytesIO(content), allow_pickle=False))


def _prepare_into(folder: Path, name: str, spec: DatasetSpec) -> None:
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
    return manifest | {"digest": _digest(manifest)}


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
    from adambias.images import list_images, read_images

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
