"""A dataset in memory, read from its prepared arrays with their checksums verified."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adambias.config import DatasetSpec
from adambias.core.options import Options
from adambias.core.registry import SOURCES
from adambias.data.manifest import (
    MANIFEST,
    TENSORS,
    arrays_of,
    data_root,
    is_prepared_as,
    read_array,
    read_manifest,
    settings,
)
from adambias.data.preparation import prepare_into

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, repr=False)
class Dataset:
    """Inputs and targets of a problem.

    Parameters
    ----------
    name : str
        Name of the dataset, as in :class:`adambias.config.Trial`.
    digest : str
        SHA-256 over everything that determines the data; part of a trial's identity.
    train_inputs, test_inputs : Tensor, shape (N, ...)
        Images (N, C, H, W) with raw pixels, numbers of any other shape, or tokens (N, T), int64.
    train_targets, test_targets : Tensor, shape (N, ...)
        Classes (N,), int64 from 0; numbers (N,) or (N, d), floating point; or tokens (N, T), int64.
    num_classes : int
        Number of classes, or the vocabulary of tokens; 0 where targets are numbers.
    mean, std : tuple of float
        Of each channel of the training images, in the unit of the pixels; of other numbers, of each
        entry of the last dimension. Empty for tokens.

    Examples
    --------
    >>> import tempfile, adambias as ab
    >>> data = ab.load_dataset("digits", train_size=20, test_size=10, root=tempfile.mkdtemp())
    >>> data.input_shape, data.outputs, len(data.first(5).train_inputs)
    ((1, 8, 8), 10, 5)
    """

    name: str
    digest: str
    train_inputs: Tensor
    train_targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __repr__(self) -> str:
        """Return what it is of, in a line."""
        inputs = f"{len(self.train_inputs)} training and {len(self.test_inputs)} test inputs of "
        what = "classes" if self.vocabulary is None else "tokens"
        number = f"{self.num_classes} {what}" if self.num_classes else f"{self.outputs} numbers"
        inputs += str(self.input_shape)
        return f"Dataset({self.name!r}, {inputs}, {number}, digest {self.digest[:12]})"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.train_inputs.shape[1:])

    @property
    def vocabulary(self) -> int | None:
        """Number of tokens where inputs are tokens, else None."""
        return None if self.mean else self.num_classes

    @property
    def outputs(self) -> int:
        """Numbers of an answer: classes, numbers to predict, or the vocabulary."""
        numbers = self.train_targets[0].numel() if len(self.train_targets) else 1
        return self.num_classes or numbers

    def to(self, device: torch.device | str, *, numbers: torch.dtype | None = None) -> Dataset:
        """Return the dataset with its tensors on ``device``, targets that are numbers in a type."""
        moved = {name: getattr(self, name).to(device) for name in TENSORS}
        if numbers is not None and self.train_targets.is_floating_point():
            moved |= {name: moved[name].to(numbers) for name in TENSORS if "targets" in name}
        return dataclasses.replace(self, **moved)

    def first(self, images: int, test_images: int | None = None) -> Dataset:
        """Return the first training inputs, and of the test inputs the first, by default as many.

        Mean and standard deviation stay those of the whole.
        """
        parts = {"train": slice(images), "test": slice(test_images or images)}
        few = {name: getattr(self, name)[parts[name.partition("_")[0]]] for name in TENSORS}
        return dataclasses.replace(self, **few)

    def standardised(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        """Return (inputs - mean) / std in ``dtype``, on the device of ``inputs``; tokens as is."""
        if self.vocabulary is not None:
            return inputs
        mean, std = self.scales(inputs.device, dtype)
        return (inputs.to(dtype) - mean).div_(std)

    def scales(self, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation in a shape that broadcasts against inputs."""
        import torch

        shape = (-1, 1, 1) if len(self.input_shape) == 3 else (-1,)
        mean, std = (
            torch.tensor(s, device=device, dtype=dtype).view(shape) for s in (self.mean, self.std)
        )
        return mean, std


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
    options: Mapping[str, Any] | None = None,
) -> Dataset:
    """Return a dataset, prepared on first use.

    With a name alone, whatever is prepared under this name is read. With settings, a preparation
    that has them is read; if the name is taken by one that has others, the new one goes into a
    folder of its own beside it.

    Parameters
    ----------
    name : str
        ``digits``, ``photos``, ``cifar10``, ``cifar100``, ``diabetes``, ``text``, or any name for
        an ``image_folder`` or another source.
    train_size, test_size : int, optional
        Inputs in a subset of each split, stratified by class; all if not given (``digits``: 400
        for training, the rest for the test; ``photos``: 500 of 2,080 for training).
    label_noise : float
        Fraction of the training labels replaced by another class, drawn uniformly; with 1 each is
        drawn from all classes, so that they say nothing.
    seed : int
        Seed of the choice of images, of their order and of the label noise.
    root : path, optional
        Folder of the prepared datasets: ``ADAMBIAS_DATA``, or ``data``, if not given.
    source : str, optional
        Where the data come from, if it is not the name.
    path : path, optional
        The tree or archive of an ``image_folder``, or the file of another source.
    options : mapping, optional
        Options of the source.

    Raises
    ------
    DataError
        If a file is absent or damaged.

    Examples
    --------
    >>> import tempfile
    >>> data = load_dataset("digits", train_size=400, root=tempfile.mkdtemp())
    >>> tuple(data.train_inputs.shape), len(data.test_inputs)
    ((400, 1, 8, 8), 1397)
    """
    base = data_root(root)
    folder = base / name
    given = (train_size, test_size, source, path)
    asked = given != (None,) * 4 or label_noise or seed or options
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
            options=Options(options),
        )
        return dataset_of(name, spec, base)
    return _read(folder, name)


def dataset_of(name: str, spec: DatasetSpec, root: Path) -> Dataset:
    """Return the dataset that a specification describes, prepared on first use."""
    folder = _folder_for(name, spec, root)
    if not (folder / MANIFEST).exists():
        prepare_into(folder, name, spec)
    return _read(folder, name)


def _folder_for(name: str, spec: DatasetSpec, base: Path) -> Path:
    taken = base / name / MANIFEST
    if not taken.exists() or is_prepared_as(read_manifest(base / name), spec):
        return base / name
    text = json.dumps(settings(spec), sort_keys=True)
    return base / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _read(folder: Path, name: str) -> Dataset:
    import torch

    manifest = read_manifest(folder)
    arrays = [read_array(folder, key, manifest) for key in arrays_of(manifest)]
    return Dataset(
        name=name,
        digest=manifest["digest"],
        num_classes=len(manifest["classes"]),
        mean=tuple(manifest["normalisation"]["mean"]),
        std=tuple(manifest["normalisation"]["std"]),
        **dict(zip(TENSORS, map(torch.from_numpy, arrays), strict=True)),
    )
