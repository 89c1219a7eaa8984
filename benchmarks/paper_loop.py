"""Time an epoch of the paper's own training loop and of this trainer, in turn, in one process.

    git clone https://github.com/borshigida/implicit-bias-of-adam PAPER
    python benchmarks/paper_loop.py PAPER --model resnet50 --images 1000 --block 250

Same model, images, precision and block size; both evaluate the test images every epoch. The images
are random: time does not depend on what they show. The first epoch of each is a warm-up. Besides
wall time the processor time of the process is given, which other programs on the machine disturb
less; of the paper's loop it leaves out the eight workers that load images.
"""

from __future__ import annotations

import importlib
import itertools
import logging
import os
import statistics
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any, TypeAlias

import click
import torch
from machine import describe, random_images
from PIL import Image
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

import adambias as ab
from adambias.data.dataset import Dataset

Times: TypeAlias = tuple[float, float]


def now() -> Times:
    """Return wall time and processor time."""
    return time.perf_counter(), time.process_time()


def medians(stamps: list[Times]) -> Times:
    """Return the median wall and processor time between one stamp and the next."""
    spans = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(stamps)]
    return statistics.median(s[0] for s in spans), statistics.median(s[1] for s in spans)


class _Images(TorchDataset):  # type: ignore[type-arg]
    """The images as the paper's code reads them: PIL, resized, to tensor, normalised."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, data: Dataset) -> None:
        self.images = [Image.fromarray(i.permute(1, 2, 0).numpy()) for i in images]
        self.labels = labels.tolist()
        mean, std = ([s / 255 for s in side] for side in (data.mean, data.std))
        self.transform = transforms.Compose(
            [transforms.Resize((32, 32)), transforms.ToTensor(), transforms.Normalize(mean, std)]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


class _Stopwatch(logging.Handler):
    """Note when the paper's loop says that it starts and that it has finished an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[Times] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg.startswith("Finishing epoch") or "Starting iterations" in record.msg:
            self.times.append(now())


def paper_epochs(clone: Path, model: str, data: Dataset, block: int, epochs: int) -> Times:
    """Return the seconds per epoch of the paper's loop, after the first."""
    sys.path.insert(0, str(clone))
    # Its script imports a ViT package that no ResNet needs.
    sys.modules.setdefault("vit_pytorch", types.SimpleNamespace(SimpleViT=None))  # type: ignore[arg-type]
    script: Any = importlib.import_module("train_on_real_datasets")
    script.PHYSICAL_BATCH_SIZE, script.NUMBER_OF_EPOCHS = block, epochs + 1
    train = _Images(data.train_inputs, data.train_targets, data)
    test = _Images(data.test_inputs, data.test_targets, data)
    script.get_dataset = lambda name, augment: (train, test, data.num_classes)
    stopwatch = _Stopwatch()
    logging.getLogger().addHandler(stopwatch)
    logging.getLogger().setLevel(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        script.train_and_test_adam(
            model,
            "cifar10",
            "adam",
            1e-4,
            0.9,
            0.99,
            1e-8,
            hours_to_run=24,
            histories_dir=os.path.join(folder, "histories"),
            checkpoints_dir=os.path.join(folder, "checkpoints"),
            augment_dataset=False,
        )
    logging.getLogger().removeHandler(stopwatch)
    return medians(stopwatch.times[1:])


def our_epochs(
    model: str, data: Dataset, block: int, epochs: int, precision: str, device: str
) -> Times:
    """Return the seconds per epoch of this trainer, after the first."""
    trial = ab.Trial(
        dataset=data.name,
        model=model,
        h=1e-4,
        beta2=0.99,
        epochs=epochs + 1,
        ghost_batch_size=block,
        eval_every=1,
        precision=precision,
    )
    return medians([now() for _ in ab.train(trial, data, device=device)])


@click.command(help=__doc__)
@click.argument("clone", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="resnet50", type=click.Choice(["resnet50", "resnet101"]))
@click.option("--images", default=1000, help="Training images.")
@click.option("--test-images", default=250, help="Test images, evaluated every epoch.")
@click.option("--block", default=250, help="Images in a block.")
@click.option("--epochs", default=2, help="Timed epochs of each.")
def main(clone: Path, model: str, images: int, test_images: int, block: int, epochs: int) -> None:
    """Print seconds per epoch of both and their ratio."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = random_images(images, test_images)
    print(describe(device))
    # The paper's script leaves TF32 as PyTorch has it: on for convolutions on CUDA.
    profiles = ["tf32", "bf16"] if device == "cuda" else ["fp32"]
    wall, cpu = paper_epochs(clone, model, data, block, epochs)
    print(f"{model}, {images} images, blocks of {block}")
    print(f"  paper's loop: {wall:.2f} s/epoch, processor {cpu:.2f} s", flush=True)
    for precision in profiles:
        ours = our_epochs(model, data, block, epochs, precision, device)
        print(
            f"  this trainer, {precision}: {ours[0]:.2f} s/epoch, processor {ours[1]:.2f} s: "
            f"{wall / ours[0]:.2f} times as fast, {cpu / ours[1]:.2f} by processor time"
        )


if __name__ == "__main__":
    main()
