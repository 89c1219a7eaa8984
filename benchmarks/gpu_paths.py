"""Time a full-batch gradient by each way in which a GPU could compute it, and trials side by side.

    python benchmarks/gpu_paths.py --model resnet8 --images 1000 --block 1000 --precision tf32

Block by block; as one recorded graph, the way that trainings go; both without the demand that
sums are deterministic; compiled by torch; and for several trials at once, on streams of their own,
as `resources.trials_per_process` does, and as one program over stacked weights (torch.func.vmap).
Without a GPU the ways that need one are left out.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
import torch
from machine import describe, random_images
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn import functional

import adambias as ab
from adambias.core.registry import MODELS
from adambias.data.dataset import Dataset
from adambias.networks.batchnorm import BlockBatchNorm
from adambias.networks.build import build
from adambias.training.devices import own_stream
from adambias.training.objective import Objective
from adambias.training.precision import PROFILES, Precision
from adambias.training.trainer import Training

CUDA = torch.cuda.is_available()


def seconds(work: Callable[[], object], times: int) -> float:
    """Return the seconds that work takes, after a first time."""
    work()
    if CUDA:
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        work()
    if CUDA:
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / times


@dataclasses.dataclass(frozen=True, kw_only=True)
class Free(Precision):
    """A profile whose sums may be taken in any order."""

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Set TF32 alone."""
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=True, deterministic=False, allow_tf32=self.tf32
        ):
            yield


def gradients(trial: ab.Trial, data: Dataset, times: int, compiled: bool) -> None:
    """Print the time of a gradient by each way."""
    device = torch.device("cuda" if CUDA else "cpu")
    kept = PROFILES[trial.precision]
    for name, profile in {
        "deterministic": kept,
        "in any order": Free(**{f.name: getattr(kept, f.name) for f in dataclasses.fields(kept)}),
    }.items():
        objective = Objective(trial, data, device)
        objective.precision = profile
        # Where trainings compute too: a recording needs a stream that is not the default one.
        with own_stream(device)(), profile.arithmetic():
            both(objective, name, times)
            if compiled and profile is kept:
                objective._replay = None
                objective.model = torch.compile(objective.model)  # type: ignore[assignment]
                both(objective, "compiled", times)


def both(objective: Objective, name: str, times: int) -> None:
    """Print the time of a gradient block by block, and as one graph if it can be recorded."""
    _say(f"block by block, {name}", seconds(objective.gradient, times))
    objective.record()
    if objective._replay is not None:
        _say(f"one graph, {name}", seconds(objective.gradient, times))
    elif CUDA:
        print(f"  one graph, {name}: not recorded, or other numbers")


def side_by_side(trial: ab.Trial, data: Dataset, trials: int, times: int) -> float:
    """Return the seconds of an epoch of a trial, of so many that take turns."""
    trainings: list[Training] = []
    for seed in range(trials):
        epochs = times + 2
        each = trial.replace(seed=seed, epochs=epochs, eval_every=epochs)
        trainings.append(ab.train(each, data, device="cuda" if CUDA else "cpu"))

    def turn() -> None:
        if trials > 1:
            for training in trainings:
                training.start()
        for training in trainings:
            next(training)

    return seconds(turn, times) / trials


def stacked(trial: ab.Trial, data: Dataset, trials: int, times: int) -> float:
    """Return the seconds of a trial's gradient, of so many whose weights are stacked."""
    device = torch.device("cuda" if CUDA else "cpu")
    profile = PROFILES[trial.precision]
    networks = []
    for seed in range(trials):
        network = build(trial.model, input_shape=data.input_shape, outputs=10, seed=seed)
        for layer in network.modules():
            if isinstance(layer, BlockBatchNorm):  # it has no running averages under vmap
                layer.running_mean = layer.running_var = layer.num_batches_tracked = None
        networks.append(network.to(device, profile.dtype))
    weights, _ = stack_module_state(networks)  # type: ignore[arg-type]
    images = data.standardised(data.train_inputs.to(device), profile.dtype)
    targets = data.train_targets.to(device)
    block = trial.ghost_batch_size or len(targets)

    def loss(
        own: dict[str, torch.Tensor], inputs: torch.Tensor, answers: torch.Tensor
    ) -> torch.Tensor:
        with profile.network(device):
            outputs = functional_call(networks[0], (own, {}), (inputs,))
        return functional.cross_entropy(outputs.to(profile.dtype), answers, reduction="sum")

    each = vmap(grad_and_value(loss), in_dims=(0, None, None))

    def gradient() -> None:
        total = None
        for inputs, answers in zip(images.split(block), targets.split(block), strict=True):
            found, _ = each(weights, inputs, answers)
            total = found if total is None else {k: total[k] + found[k] for k in found}

    with profile.arithmetic():
        return seconds(gradient, times) / trials


def _say(what: str, taken: float) -> None:
    print(f"  {what:40} {1e3 * taken:9.3f} ms", flush=True)


@click.command(help=__doc__)
@click.option("--model", default="resnet8", type=click.Choice(MODELS.names))
@click.option("--images", default=1000)
@click.option("--block", default=1000)
@click.option("--side", default=32, help="Height and width of an image.")
@click.option("--precision", default="tf32", type=click.Choice(list(PROFILES)))
@click.option("--trials", default="4,16", help="Numbers of trials at once.")
@click.option("--times", default=20, help="Timed repetitions.")
@click.option("--compiled", is_flag=True, help="Let torch compile the network too: a minute.")
def main(
    model: str,
    images: int,
    block: int,
    side: int,
    precision: str,
    trials: str,
    times: int,
    compiled: bool,
) -> None:
    """Print each way's time."""
    data = random_images(images, 100, shape=(3, side, side))
    trial = ab.Trial(
        dataset=data.name,
        model=model,
        h=1e-3,
        epochs=times,
        ghost_batch_size=min(block, images),
        precision=precision,  # type: ignore[arg-type]
    )
    print(describe("cuda" if CUDA else "cpu"))
    print(f"{model}, {images} images of {side}x{side} in blocks of {block}, {precision}")
    gradients(trial, data, times, compiled)
    alone = side_by_side(trial, data, 1, times)
    _say("an epoch of a trial alone", alone)
    for count in map(int, trials.split(",")):
        turn = side_by_side(trial, data, count, times)
        _say(f"an epoch of one of {count} side by side", turn)
        one = stacked(trial, data, count, times)
        _say(f"a gradient of one of {count} stacked", one)
        print(f"  {count} at once: {alone / turn:.2f} times as fast by streams", flush=True)


if __name__ == "__main__":
    main()
