"""How near the oscillating flow stays to Adam through the hill of the norm.

    python benchmarks/oscillation.py --root data

ResNet-8 with ReLU and BatchNorm on 200 tiles of `photos`, h = 1e-3, epsilon = 1e-8, 120 epochs,
three pairs of decays. Means over windows of 10 epochs, against Adam's: the loss in percent, the
logarithm of the one-norm of the gradient at the iterates, for a flow at theta + delta and theta -
delta, and of that at the mean of the last 16, in powers of ten. Then, at some epochs, the
preconditioned sharpness, 1 at the edge of a full memory.

"perturbed" is Adam again from a start moved by 0.02 h in each weight: nothing can be predicted
better than that. "periods" are the shares of the gradient's power, over 32 epochs from the 20th and
from the 52nd, at periods above 4 steps, between 8/3 and 4, and below: an oscillation from side to
side has period 2.

Three minutes a pair and seed on one core, four with the moment flow and the sharpness, which are
for the first seed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import click
import numpy as np
import torch
from machine import describe
from torch import Tensor

import adambias as ab
from adambias.data.dataset import Dataset
from adambias.law.integration import advance_by, iterates, places_of, states_of
from adambias.law.stability import stability_threshold
from adambias.training.following import NetworkLoss
from adambias.training.objective import Objective
from adambias.training.sharpness import largest_eigenpairs
from adambias.training.trainer import rule_of

PAIRS = ((0.98, 0.999), (0.9, 0.999), (0.98, 0.9))
EPOCHS, WINDOW, MEAN_OF, SMOOTH_EVERY = 120, 10, 16, 5
EDGES = (20, 50, 80, 110)
SAMPLED, SPAN, SPANS = 2000, 32, (20, 52)


@dataclass
class Run:
    """What is seen of one path: loss and log norm by epoch, the smooth one, the sharpness."""

    loss: list[float] = field(default_factory=list)
    norm: list[float] = field(default_factory=list)
    smooth: list[float] = field(default_factory=list)
    edge: list[float] = field(default_factory=list)
    sample: list[Tensor] = field(default_factory=list)


Places = Iterator[tuple[Tensor, tuple[Tensor, ...], Tensor]]
"""theta, the places where loss and norm are taken, and the average of the gradient's square."""


class Problem:
    """One training, and what follows it."""

    def __init__(self, beta1: float, beta2: float, seed: int, data: Dataset) -> None:
        self.trial = ab.Trial(
            dataset=data.name, h=1e-3, beta1=beta1, beta2=beta2, epochs=EPOCHS, seed=seed
        )
        objective = Objective(self.trial, data, torch.device("cpu"))
        self.loss, self.rule = NetworkLoss(objective), rule_of(self.trial)
        self.start, self.h = objective.theta.detach().clone(), self.trial.h

    def adam(self, moved: float = 0.0) -> Places:
        """Yield Adam's own places, from a start that is moved by so many h."""
        generator = torch.Generator().manual_seed(7)
        drawn = torch.randn(len(self.start), generator=generator)
        start = self.start + moved * self.h * drawn
        for theta, (_, nu) in iterates(self.rule, (self.loss,), start, self.h):
            yield theta, (theta,), nu

    def moment(self) -> Places:
        """Yield those of the moment flow."""
        flow = ab.moment_flow(self.rule, self.loss, self.h)
        for theta, (_, nu) in places_of(flow, self.start, advance_by("rk4", self.h, 1)):
            yield theta, (theta,), nu

    def oscillating(self) -> Places:
        """Yield those of the oscillating flow, whose losses are its two branches'."""
        flow = ab.oscillating_flow(
            self.rule, self.loss, self.h, seed=self.trial.seed, half_step=False
        )
        advance = advance_by("rk4", self.h, flow.substeps)
        for state in states_of(flow, self.start, advance):
            yield state[0], flow.branches(state), flow.estimates(state)[1]

    @torch.no_grad()
    def seen(self, places: Places, edges: bool = False) -> Run:
        """Return what is seen of a path from its first step on."""
        run, past = Run(), []
        order = torch.randperm(len(self.start), generator=torch.Generator().manual_seed(1))
        for n, (theta, branches, nu) in zip(range(1, EPOCHS), places, strict=False):
            fits = [self.fit(each) for each in branches]
            run.loss.append(float(np.mean([loss for loss, _ in fits])))
            run.norm.append(float(np.mean([norm for _, norm in fits])))
            run.sample.append(self.loss.gradient(branches[-1])[order[:SAMPLED]])
            past = [*past[1 - MEAN_OF :], theta]
            if n % SMOOTH_EVERY == 0:
                run.smooth.append(self.fit(torch.stack(past).mean(0))[1])
            if edges and n in EDGES:
                run.edge.append(self.edge(theta, nu))
        return run

    def fit(self, theta: Tensor) -> tuple[float, float]:
        """Return the loss and the logarithm of the one-norm."""
        norm = self.loss.gradient(theta).double().abs().sum()
        return float(self.loss.fit[0]), float(norm.log10())

    def edge(self, theta: Tensor, nu: Tensor) -> float:
        """Return the preconditioned sharpness over the threshold of stability."""
        scale = (nu + self.trial.epsilon).double() ** -0.25
        self.loss.gradient(theta)
        hessian = self.loss.objective.hessian

        def product(vector: np.ndarray) -> np.ndarray:
            with torch.enable_grad():
                along = (scale * torch.from_numpy(vector)).float()
                found = hessian(once=True)(along).double()
            return (scale * found).numpy()

        generator = torch.Generator().manual_seed(self.trial.seed)
        start = torch.randn(len(theta), generator=generator).double().numpy()
        found = largest_eigenpairs(product, start, tolerance=0.05)
        return self.h * float(found.values[0]) / stability_threshold(self.rule)


def windows(values: list[float], width: int) -> np.ndarray:
    """Return the means over windows of equal width, the first one without the start."""
    ends = range(width, len(values) + 2, width)
    return np.array([np.mean(values[max(0, end - width - 1) : end - 1]) for end in ends])


def periods(run: Run, first: int) -> str:
    """Return the shares of power at periods above 4 steps, from 8/3 to 4, and below."""
    span = torch.stack(run.sample[first - 1 : first - 1 + SPAN]).double()
    window = torch.hann_window(SPAN, periodic=False, dtype=span.dtype)[:, None]
    power = (torch.fft.rfft((span - span.mean(0)) * window, dim=0).abs() ** 2).sum(1)[1:]
    ends = [0, SPAN // 4, 3 * SPAN // 8, SPAN // 2]
    shares = [power[a:b].sum() / power.sum() for a, b in itertools.pairwise(ends)]
    return "/".join(f"{share:.2f}" for share in shares)


def report(name: str, run: Run, adam: Run) -> None:
    """Print how a run differs from Adam, window by window."""
    loss = 100 * (windows(run.loss, WINDOW) / windows(adam.loss, WINDOW) - 1)
    norm = windows(run.norm, WINDOW) - windows(adam.norm, WINDOW)
    width = WINDOW // SMOOTH_EVERY
    smooth = windows(run.smooth, width) - windows(adam.smooth, width)
    print(f"  {name}: loss, %      " + " ".join(f"{each:6.1f}" for each in loss))
    print(f"  {name}: norm         " + " ".join(f"{each:6.2f}" for each in norm))
    print(f"  {name}: smooth norm  " + " ".join(f"{each:6.2f}" for each in smooth))
    if run.edge:
        print(f"  {name}: sharpness    " + " ".join(f"{each:.2f}" for each in run.edge))


def follow(beta1: float, beta2: float, seed: int, data: Dataset, more: bool) -> None:
    """Follow one training and print what is seen."""
    problem = Problem(beta1, beta2, seed, data)
    adam = problem.seen(problem.adam(), more)
    print(f"beta ({beta1:g}, {beta2:g}), seed {seed}")
    print("  Adam: loss              " + " ".join(f"{x:6.3f}" for x in windows(adam.loss, WINDOW)))
    print("  Adam: log10 of norm     " + " ".join(f"{x:6.2f}" for x in windows(adam.norm, WINDOW)))
    print("  Adam: periods           " + "  ".join(periods(adam, first) for first in SPANS))
    if more:
        print("  Adam: sharpness         " + " ".join(f"{each:.2f}" for each in adam.edge))
    paths: dict[str, Callable[[], Places]] = {
        "perturbed  ": lambda: problem.adam(0.02),
        "oscillating": problem.oscillating,
    }
    for name, path in (
        paths.items() if not more else [*paths.items(), ("moment     ", problem.moment)]
    ):
        report(name, problem.seen(path(), more and name != "perturbed  "), adam)


@click.command(help=__doc__)
@click.option("--root", default="data", help="Where data sets are prepared.")
@click.option("--seeds", default=3)
@click.option("--first-seed", default=0)
@click.option("--threads", default=1)
def main(root: str, seeds: int, first_seed: int, threads: int) -> None:
    """Print the machine, then some lines per training."""
    torch.set_num_threads(threads)
    print(describe("cpu"))
    data = ab.load_dataset("photos", train_size=200, root=root)
    for seed in range(first_seed, first_seed + seeds):
        for beta1, beta2 in PAIRS:
            follow(beta1, beta2, seed, data, more=seed == first_seed)


if __name__ == "__main__":
    main()
