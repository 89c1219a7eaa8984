"""Tabulate the peak memory of a gradient by model and block size.

    python benchmarks/memory.py resnet8:500 resnet50:50 resnet50:250

CIFAR-sized random images, fp32 on the CPU, bf16 on CUDA. On the CPU each pair runs in a process of
its own and the growth of its resident memory counts; on CUDA it is the memory of PyTorch's tensors.
"""

from __future__ import annotations

import resource
import subprocess
import sys

import click
import torch
from machine import describe, random_images

import adambias as ab
from adambias.training.objective import Objective


def gradient(model: str, block: int, device: str) -> tuple[int, int]:
    """Take two gradients over one block; return the parameters and the peak in bytes."""
    data = random_images(block, 1)
    precision = "bf16" if device == "cuda" else "fp32"
    trial = ab.Trial(dataset=data.name, model=model, h=1e-4, epochs=1, precision=precision)
    before = _peak(device)
    objective = Objective(trial, data, torch.device(device))
    for _ in range(2):
        objective.gradient()
    return objective.parameters, _peak(device) - before


def _peak(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@click.command(help=__doc__)
@click.argument("pairs", nargs=-1, required=True)
@click.option("--alone", is_flag=True, help="Print one pair's numbers only.")
def main(pairs: tuple[str, ...], alone: bool) -> None:
    """Print a row per pair of model and block size."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if alone:
        model, _, block = pairs[0].partition(":")
        print(*gradient(model, int(block), device))
        return
    print(describe(device))
    for pair in pairs:
        model, _, block = pair.partition(":")
        command = [sys.executable, __file__, pair, "--alone"]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        parameters, peak = map(int, run.stdout.split())
        print(
            f"{model:10} {parameters:>11,} parameters, blocks of {block:>4}: "
            f"{peak / 2**30:6.2f} GiB, {peak / int(block) / 2**20:6.1f} MiB per image"
        )


if __name__ == "__main__":
    main()
