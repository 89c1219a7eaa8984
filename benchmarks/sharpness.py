"""What the measures of the edge of stability cost: a training with each, over one without.

python benchmarks/sharpness.py              # ResNet-8 on 400 digits and 200 photos, a few minutes
"""

from __future__ import annotations

import tempfile
import time

import torch
from machine import describe

import adambias as ab

EPOCHS = 60
MEASURES = ("smooth_norm", "smooth_norms", "sharpness", "preconditioned_sharpness")


def seconds(trial: ab.Trial, data: ab.Dataset) -> float:
    """Return how long a training takes, on one thread."""
    start = time.perf_counter()
    for _ in ab.train(trial, data, device="cpu"):
        pass
    return time.perf_counter() - start


def main() -> None:
    """Train in turn, without and with, and print the ratios."""
    torch.set_num_threads(1)
    print(describe("cpu"))
    with tempfile.TemporaryDirectory() as root:
        for name, size in (("digits", 400), ("photos", 200)):
            data = ab.load_dataset(name, train_size=size, root=root)
            trial = ab.Trial(dataset=data.name, h=1e-3, epochs=EPOCHS, eval_every=EPOCHS)
            seconds(trial.replace(epochs=5), data)
            for measure in MEASURES:
                without = seconds(trial, data)
                taken = seconds(trial.replace(measures=(measure,)), data)
                print(f"{size} {name}, {measure}: {without:.1f} s, with {taken:.1f} s, "
                      f"ratio {taken / without:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
