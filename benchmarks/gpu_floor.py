"""Compare a full-batch epoch on a GPU with the least time its operations and bytes allow.

    python benchmarks/gpu_floor.py --model resnet50 --images 50000 --block 1000 --gpu H200

Operations are counted by PyTorch's counter on a forward and backward pass of one block; bytes are
what its kernels must read and write if nothing is fused. Both counts need no GPU. Where CUDA is
available the epoch is timed beside the floor, and the fraction of the bf16 peak is given.
"""

from __future__ import annotations

import statistics
from typing import Any

import click
import torch
from machine import describe, random_images
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

import adambias as ab
from adambias.core.registry import MODELS
from adambias.networks import build as models

PEAKS = {"A100": (312e12, 2.0e12), "H100": (989e12, 3.35e12), "H200": (989e12, 4.8e12)}
"""Dense bf16 operations and bytes of memory per second, by the vendor's data sheets."""


class ByteCounter(TorchDispatchMode):
    """Add up the bytes of every kernel's inputs and outputs; views and allocations are free."""

    total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the kernel and count it."""
        result = func(*args, **(kwargs or {}))
        if not (func.is_view or func.name().startswith(("aten::empty", "aten::detach"))):
            tensors = [t for t in tree_leaves((args, kwargs, result)) if isinstance(t, Tensor)]
            self.total += sum(t.numel() * t.element_size() for t in tensors)
        return result


def count(model: str, block: int) -> tuple[float, float]:
    """Return operations and bytes per image of a forward and backward pass in bf16."""
    with torch.device("meta"):
        network = models.build(model, input_shape=(3, 32, 32), outputs=10).bfloat16()
        images = torch.empty(block, 3, 32, 32, dtype=torch.bfloat16)
        labels = torch.empty(block, dtype=torch.int64)
    counter, flops = ByteCounter(), FlopCounterMode(display=False)
    with flops, counter:
        functional.cross_entropy(network(images), labels, reduction="sum").backward()
    return flops.get_total_flops() / block, counter.total / block


def measure(model: str, images: int, block: int, epochs: int) -> float:
    """Return the seconds of a bf16 epoch without evaluation, after a warm-up."""
    data = random_images(images, 1000)
    trial = ab.Trial(
        dataset=data.name,
        model=model,
        h=1e-4,
        epochs=epochs + 2,
        eval_every=epochs + 2,
        ghost_batch_size=block,
        precision="bf16",
    )
    training = ab.train(trial, data, device="cuda")
    next(training)
    return statistics.median(next(training).seconds for _ in range(epochs))


@click.command(help=__doc__)
@click.option("--model", default="resnet50", type=click.Choice(MODELS.names))
@click.option("--images", default=50_000)
@click.option("--block", default=1000)
@click.option("--epochs", default=3)
@click.option("--gpu", default="H200", type=click.Choice(list(PEAKS)), help="Whose peaks to use.")
def main(model: str, images: int, block: int, epochs: int, gpu: str) -> None:
    """Print the floor and, on a GPU, the measured time."""
    peak, bandwidth = PEAKS[gpu]
    operations, moved = (images * each for each in count(model, block))
    print(f"{model}, {images} images in blocks of {block}, bf16, peaks of {gpu}")
    print(f"  {operations / 1e15:.2f} Pflop: at least {operations / peak:.2f} s")
    print(f"  {moved / 1e12:.2f} TB unfused: {moved / bandwidth:.2f} s")
    if not torch.cuda.is_available():
        print("  measured: not measured, no CUDA device")
        return
    seconds = measure(model, images, block, epochs)
    print(f"  measured {seconds:.2f} s: {operations / seconds / peak:.1%} of the bf16 peak")
    print(f"  {describe('cuda')}")


if __name__ == "__main__":
    main()
