"""What the benchmarks share: the machine in words, and random images."""

from __future__ import annotations

import platform

import torch

import adambias
from adambias.data.dataset import Dataset
from adambias.ledger.ledger import machine

CLASSES = 10


def describe(device: str) -> str:
    """Return processor or GPU, threads and versions in one line."""
    name = torch.cuda.get_device_name() if device == "cuda" else machine()
    return (
        f"{name}, {torch.get_num_threads()} threads; torch {torch.__version__}, "
        f"Python {platform.python_version()}, adambias {adambias.__version__}"
    )


def random_images(train: int, test: int, shape: tuple[int, int, int] = (3, 32, 32)) -> Dataset:
    """Return random images, by default of CIFAR's shape, the same on every call."""
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> torch.Tensor:
        return torch.randint(0, 256, (count, *shape), generator=generator).to(torch.uint8)

    def labels(count: int) -> torch.Tensor:
        return torch.randint(0, CLASSES, (count,), generator=generator)

    return Dataset(
        name="random",
        digest="random",
        train_inputs=images(train),
        train_targets=labels(train),
        test_inputs=images(test),
        test_targets=labels(test),
        num_classes=CLASSES,
        mean=(127.5,) * shape[0],
        std=(73.9,) * shape[0],
    )
