"""A dataset in memory, read from its prepared arrays with their checksums verified."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adambias.config import DatasetSpec
from adambias.core.registry import SOURCES
from adambias.data.manifest import ARRAYS, MANIFEST, data_root, read_array, read_manifest, settings
from adambias.data.preparation import prepare_into

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, repr=False)
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

    def __repr__(self) -> str:
        """Return what it is of, in a line."""
        count, *shape = self.train_images.shape
        images = f"{count} training and {len(self.test_images)} test images of {tuple(shape)}"
        classes = f"{self.num_classes} classes"
        return f"Dataset({self.name!r}, {images}, {classes}, digest {self.digest[:12]})"

    def to(self, device: torch.device | str) -> Dataset:
        """Return the dataset with its tensors on ``device``."""
        moved = {name: getattr(self, name).to(device) for name in ARRAYS}
        return dataclasses.replace(self, **moved)

    def first(self, images: int, test_images: int | None = None) -> Dataset:
        """Return the first training images, and of the test images the first, by default as many.

        Mean and standard deviation stay those of the whole.
        """
        parts = {"train": slice(images), "test": slice(test_images or images)}
        few = {name: getattr(self, name)[parts[name.partition("_")[0]]] for name in ARRAYS}
        return dataclasses.replace(self, **few)

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
        ``digits``, ``photos``, ``cifar10``, ``cifar100``, or any name for an ``image_folder``.
    train_size, test_size : int, optional
        Images in a stratified subset of each split; all if not given (``digits``: 400 for
        training, the rest for the test; ``photos``: 500 of 2,080 for training).
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
        if source is None and name not in SOURCES.names:
            source = "image_folder"
        spec = DatasetSpec(
            source=source or name,
            path=None if path is None else str(path),
            train_size=train_size,
            test_size=test_size,
            label_noise=label_noise,
            seed=seed,
        )
        folder = _folder_for(name, spec, base)
        if not (folder / MANIFEST).exists():
            prepare_into(folder, name, spec)
    return _read(folder, name)


def _folder_for(name: str, spec: DatasetSpec, base: Path) -> Path:
    taken = base / name / MANIFEST
    if not taken.exists() or read_manifest(base / name)["settings"] == settings(spec):
        return base / name
    text = json.dumps(settings(spec), sort_keys=True)
    return base / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _read(folder: Path, name: str) -> Dataset:
    import torch

    manifest = read_manifest(folder)
    arrays = {key: read_array(folder, key, manifest) for key in ARRAYS}
    return Dataset(
        name=name,
        digest=manifest["digest"],
        num_classes=len(manifest["classes"]),
        mean=tuple(manifest["normalisation"]["mean"]),
        std=tuple(manifest["normalisation"]["std"]),
        **{key: torch.from_numpy(array) for key, array in arrays.items()},
    )
