"""Time the law: 10,000 trajectories of Adam and its modified flow, single evaluations, the stages.

    python benchmarks/law.py             # trajectories and drifts, under a minute
    python benchmarks/law.py --stages    # also the stages bilinear and netflow at laptop scale

Targets on two cores: Adam 3 s, modified flows 20 s, bilinear 60 s, netflow 90 s.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click
import torch
from machine import describe

import adambias as ab
from adambias.config import load_params
from adambias.studies import bilinear, netflow

TRAJECTORIES, STEPS, H = 10_000, 1_000, 1e-3
REPEATS = 30


def seconds(call: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def trajectories() -> None:
    """Adam over a 100 x 100 grid of decays, then the modified flow of each, RK4, one step per h."""
    axis = torch.linspace(0.0, 0.99, 100, dtype=torch.float64)
    beta1, beta2 = (grid.reshape(-1, 1) for grid in torch.meshgrid(axis, axis, indexing="ij"))
    rule = ab.rules.adam(beta1=beta1, beta2=beta2, epsilon=1e-2)
    loss = ab.losses.bilinear()
    start = torch.tensor([2.8, 3.5], dtype=torch.float64).repeat(TRAJECTORIES, 1)
    taken = seconds(lambda: ab.iterate(rule, loss, start, H, STEPS, every=STEPS))
    print(f"Adam, {TRAJECTORIES:,} trajectories x {STEPS:,} steps: {taken:.2f} s")
    flow = ab.modified_flow(rule, loss, H)
    taken = seconds(lambda: ab.integrate(flow, start, H, STEPS, every=STEPS))
    print(f"their modified flows, RK4, one step per h: {taken:.2f} s")


def drifts() -> None:
    """One evaluation of the modified flow's drift, as RK4 asks for it: four in each step."""
    loss, theta = ab.losses.tanh_mlp()
    rule = ab.rules.adam(beta1=0.9, beta2=0.99, epsilon=1e-2)
    batches = [ab.losses.tanh_mlp(seed=seed)[0] for seed in range(4)]
    cases = [("full batch", loss, 1_000)]
    cases += [("4 mini-batches", batches, n) for n in (100, 1_000, 10_000, 1_000_000)]
    for name, losses, n in cases:
        flow = ab.modified_flow(rule, losses, H)
        flow(theta, n)
        steps = [step for step in range(n, n + 25) for _ in range(4)]
        taken = seconds(lambda flow=flow, steps=steps: [flow(theta, step) for step in steps])
        print(f"drift of a tanh network, {name}, n = {n:,}: {1e3 * taken / len(steps):.2f} ms")


def laws() -> None:
    """One evaluation of each law over one of the first-order law's, on a loss that costs."""
    scale = load_params(Path(__file__).parents[1] / "params.yaml", "laptop").scale
    data = ab.load_dataset(scale.netflow.dataset, train_size=400)
    loss, theta = netflow.network_loss(scale.netflow, data)
    rule = ab.rules.adam(beta1=0.9, beta2=0.99)
    first, resummed = (
        ab.modified_flow(rule, loss, H, memory=memory) for memory in ("first_order", "resummed")
    )
    calls: dict[str, Callable[[], object]] = {
        "first-order law": lambda: first(theta, 20),
        "resummed memory": lambda: resummed(theta, 20),
    }
    for form in ("gradient", "hessian"):
        flow = ab.moment_flow(rule, loss, H, form)
        state = flow.start(theta)
        calls[f"moment flow, {form}"] = lambda flow=flow, state=state: flow.velocity(state)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(REPEATS):  # in turn, so that what else runs slows all alike
        for name, call in calls.items():
            taken[name].append(seconds(call))
    base = median(taken["first-order law"])
    print(f"one evaluation on a network of {theta.numel():,} parameters, float64:")
    for name, times in taken.items():
        print(f"    {name}: {1e3 * median(times):.1f} ms, {median(times) / base:.2f} of the first")


def stages() -> None:
    """Run the two stages at laptop scale, into a temporary folder."""
    scale = load_params(Path(__file__).parents[1] / "params.yaml", "laptop").scale
    data = ab.load_dataset(scale.netflow.dataset, train_size=400)
    with tempfile.TemporaryDirectory() as folder:
        taken = seconds(lambda: bilinear.run(scale.bilinear, folder, workers=2))
        print(f"stage bilinear, in 2 processes: {taken:.1f} s")
        taken = seconds(lambda: netflow.run(scale.netflow, data, folder, workers=2))
        print(f"stage netflow, in 2 processes: {taken:.1f} s")


@click.command(help=__doc__)
@click.option("--stages", "with_stages", is_flag=True, help="Time the stages as well.")
@click.option("--threads", default=1, help="Threads of torch.")
def main(with_stages: bool, threads: int) -> None:
    """Print the timings and the machine."""
    torch.set_num_threads(threads)
    print(describe("cpu"))
    trajectories()
    drifts()
    laws()
    if with_stages:
        stages()


if __name__ == "__main__":
    main()
