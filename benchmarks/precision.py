"""Tabulate what each precision profile does to the norm and to 50 epochs of training.

    python benchmarks/precision.py --epochs 50

ResNet-8 on 400 digits, Adam with h = 1e-3, beta1 = 0.9, beta2 = 0.99, epsilon = 1e-8. Everything
is compared with fp64. The CPU has no TF32: there tf32 equals fp32.
"""

from __future__ import annotations

import statistics

import click
import torch
from machine import describe

import adambias as ab
from adambias.training.precision import PROFILES
from adambias.training.record import EpochRecord

COLUMNS = "profile  first norm  hill of norm  norm at the end  final loss  best test  s/epoch"


def run(precision: str, epochs: int, device: str) -> list[EpochRecord]:
    """Return the records of one training."""
    data = ab.load_dataset("digits", train_size=400)
    trial = ab.Trial(h=1e-3, beta2=0.99, epochs=epochs, precision=precision)
    return list(ab.train(trial, data, device=device))


@click.command(help=__doc__)
@click.option("--epochs", default=50)
@click.option("--threads", default=1)
def main(epochs: int, threads: int) -> None:
    """Print a row per profile."""
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(describe(device))
    print(COLUMNS)
    reference = run("fp64", epochs, device)
    for precision in PROFILES:
        records = run(precision, epochs, device)
        norms = [r.perturbed_one_norm for r in records]
        exact = [r.perturbed_one_norm for r in reference]
        first, hill, last = (
            f(norms) / f(exact) - 1
            for f in (lambda n: n[0], lambda n: max(n[epochs // 4 :]), lambda n: n[-1])
        )
        best = max(r.test_accuracy for r in records if r.test_accuracy is not None)
        seconds = statistics.median(r.seconds for r in records if r.test_loss is None)
        print(
            f"{precision:7}  {first:+10.1e}  {hill:+12.1e}  {last:+15.1e}  "
            f"{records[-1].train_loss:10.3e}  {best:9.4f}  {seconds:7.3f}"
        )


if __name__ == "__main__":
    main()
