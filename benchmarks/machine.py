"""What the benchmarks share: the machine in words, and images of CIFAR's shape."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

import adambias
from adambias.data import Dataset


def describe(device: str) -> str:
    """Return processor or GPU, threads and versions in one line."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [s for s in cpuinfo.read_text().splitlines() if s.startswith("model name")]
        name = models[0].partition(": ")[2] if models else name
    if device == "cuda":
        name = torch.cuda.get_device_name()
    return (
        f"{name}, {torch.get_num_threads()} threads; torch {torch.__version__}, "
        f"Python {platform.python_version()}, adambias {adambias.__version__}"
    )


def images_like_cifar(train: int, test: int, classes: int = 10) -> Dataset:
    """Return random images of shape (3, 32, 32), the same on every call."""
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> torch.Tensor:
        return torch.randint(0, 256, (count, 3, 32, 32), generator=generator).to(torch.uint8)

    def labels(count: int) -> torch.Tensor:
        return torch.randint(0, classes, (count,), generator=generator)

    return Dataset(
        name="random",
        digest="random",
        train_images=images(train),
        train_labels=labels(train),
        test_images=images(test),
        test_labels=labels(test),
        num_classes=classes,
        mean=(127.5,) * 3,
        std=(73.9,) * 3,
    )
