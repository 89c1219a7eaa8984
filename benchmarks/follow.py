"""How near the moment flow stays to Adam on a network, at the settings where people train.

    python benchmarks/follow.py --seeds 3

ResNet-8 with ReLU and BatchNorm on 400 digits, h = 1e-3, epsilon = 1e-8: the largest difference in
loss and in the one-norm of the gradient over all steps until the loss is .01, for three pairs of
decays. About a minute a run on one core.
"""

from __future__ import annotations

import time

import click
import pandas as pd
import torch
from machine import describe

import adambias as ab
from adambias.training.following import OPTIMIZER, follow

PAIRS = ((0.9, 0.99), (0.9, 0.9), (0.5, 0.9))
LOSS = 0.01


def row(beta1: float, beta2: float, seed: int, epochs: int) -> str:
    """Follow one training and return what is seen in one line."""
    data = ab.load_dataset("digits", train_size=400)
    trial = ab.Trial(h=1e-3, beta1=beta1, beta2=beta2, epochs=epochs, seed=seed, eval_every=epochs)
    started = time.perf_counter()
    rows = [each for rows in follow(trial, data, ("moment",)) for each in rows]
    taken = time.perf_counter() - started
    table = pd.DataFrame(rows).set_index(["law", "n"])
    adam, flow = table.loc[OPTIMIZER], table.loc["moment"]
    until = adam.index[adam["train_loss"] >= LOSS].max()
    away = (flow / adam - 1).loc[:until].abs()
    loss, norm = away["train_loss"], away["one_norm"]
    return (
        f"beta ({beta1:g}, {beta2:g}), seed {seed}: {until} steps to a loss of "
        f"{adam['train_loss'][until]:.4f}; loss within {loss.max():.1%}, norm within "
        f"{norm.max():.1%} (mean {norm.mean():.1%}); {taken:.0f} s"
    )


@click.command(help=__doc__)
@click.option("--seeds", default=3)
@click.option("--epochs", default=80)
@click.option("--threads", default=1)
def main(seeds: int, epochs: int, threads: int) -> None:
    """Print a line per training, and the machine."""
    torch.set_num_threads(threads)
    print(describe("cuda" if torch.cuda.is_available() else "cpu"))
    for beta1, beta2 in PAIRS:
        for seed in range(seeds):
            print(row(beta1, beta2, seed, epochs), flush=True)


if __name__ == "__main__":
    main()
