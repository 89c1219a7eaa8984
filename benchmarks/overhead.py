"""Measure what training costs beyond the forward and backward passes.

    python benchmarks/overhead.py --model resnet8 --epochs 100

One network is trained twice in turn, epoch by epoch: by the trainer, with optimizer, norms, records
and a checkpoint every 25 epochs; and bare, with a forward and a backward pass and nothing else.
Neither evaluates, and the probe of the first epoch does not count. All is measured in processor
time, which other programs on the machine disturb less.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import click
import torch
from machine import describe
from torch.nn import functional

import adambias as ab
from adambias.core.registry import MODELS
from adambias.data.dataset import Dataset
from adambias.networks import build as models
from adambias.training import checkpoint

CHECKPOINT_EVERY = 25


def bare_epoch(model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the processor seconds of one forward and one backward pass."""
    started = time.process_time()
    functional.cross_entropy(model(images), labels, reduction="sum").backward()
    return time.process_time() - started


def bare_model(name: str, data: Dataset) -> torch.nn.Module:
    """Return the network in the layout that the trainer uses."""
    model = models.build(name, input_shape=data.input_shape, outputs=data.outputs, seed=0)
    return model.to(memory_format=torch.channels_last)


def measure(name: str, data: Dataset, epochs: int) -> tuple[list[float], list[float], list[float]]:
    """Return the seconds of the trainer's epochs, of bare epochs in turn, and of checkpoints."""
    trial = ab.Trial(model=name, h=1e-3, beta2=0.99, epochs=epochs + 2, eval_every=epochs + 2)
    training = ab.train(trial, data, device="cpu")
    next(training)
    model = bare_model(name, data)
    images = data.standardised(data.train_inputs, torch.float32)
    images = images.contiguous(memory_format=torch.channels_last)
    ours, bare, saves = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for epoch in range(1, epochs + 1):
            started = time.process_time()
            next(training)
            ours.append(time.process_time() - started)
            bare.append(bare_epoch(model, images, data.train_targets))
            if epoch % CHECKPOINT_EVERY == 0:
                started = time.process_time()
                checkpoint.save(Path(folder) / "checkpoint.pt", training.state_dict())
                saves.append(time.process_time() - started)
    return ours, bare, saves


@click.command(help=__doc__)
@click.option("--model", default="resnet8", type=click.Choice(MODELS.names))
@click.option("--epochs", default=200)
@click.option("--threads", default=1)
def main(model: str, epochs: int, threads: int) -> None:
    """Print seconds per epoch of both and the overhead."""
    torch.set_num_threads(threads)
    data = ab.load_dataset("digits", train_size=400)
    ours, bare, saves = measure(model, data, epochs)
    epoch, passes = statistics.median(ours), statistics.median(bare)
    saving = statistics.median(saves) / CHECKPOINT_EVERY
    print(describe("cpu"))
    print(f"{model} on 400 digits, medians of {epochs} epochs:")
    print(f"  forward and backward {1e3 * passes:.2f} ms, the trainer {1e3 * epoch:.2f} ms")
    print(f"  checkpoints {1e3 * saving:.2f} ms per epoch")
    print(f"  overhead {(epoch + saving) / passes - 1:.1%}")


if __name__ == "__main__":
    main()
