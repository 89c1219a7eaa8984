"""Measure how long an image takes in an epoch, for ``adambias plan`` to estimate with.

    python benchmarks/rates.py                          # every kind of training the scales ask for
    python benchmarks/rates.py resnet50/batch/relu/fp32/3x32x32 --threads 2
    python benchmarks/rates.py --scale gpu --scale paper --images 1000    # of some scales

A kind is model/norm/activation/precision/channels x height x width. An epoch is timed without
evaluation, after a first one, on random images in one block. ``benchmarks/rates.json`` gets the
seconds per image with the device and the machine's name; what is not measured now keeps its row. A
finished trial's own speed comes before these.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path

import click
import torch
from machine import describe, random_images

import adambias as ab
from adambias.config import load_params, scale_names
from adambias.core.files import write_json
from adambias.data.preparation import expected_shape
from adambias.ledger.ledger import machine
from adambias.ledger.speed import kind_of

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "benchmarks" / "rates.json"


def kinds_of(scales: tuple[str, ...]) -> Iterator[str]:
    """Yield the kind of every trial of some scales, or of all."""
    for chosen in scales or scale_names(ROOT / "params.yaml"):
        scale = load_params(ROOT / "params.yaml", chosen).scale
        shapes = {name: expected_shape(spec) for name, spec in scale.prepare.datasets.items()}
        for grid in scale.grids.values():
            for trial in grid.expand(scale.trial):
                yield kind_of(trial, shapes[trial.dataset])


def seconds_per_image(kind: str, images: int, epochs: int) -> float:
    """Return the median over some epochs, after a first one."""
    model, norm, activation, precision, shape = kind.split("/")
    channels, height, width = map(int, shape.split("x"))
    data = random_images(images, 1, shape=(channels, height, width))
    trial = ab.Trial(
        dataset=data.name,
        model=model,
        norm=norm,  # type: ignore[arg-type]
        activation=activation,  # type: ignore[arg-type]
        precision=precision,  # type: ignore[arg-type]
        h=1e-4,
        epochs=epochs + 2,
        eval_every=epochs + 2,
    )
    training = ab.train(trial, data)
    next(training)
    return statistics.median(next(training).seconds for _ in range(epochs)) / images


def record(kind: str, rate: float, device: str, where: str) -> None:
    """Put a kind's row into the file, in place of an older one of the same device."""
    rows = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else []
    table = {(row["kind"], row["device"]): row for row in rows}
    measured = {"seconds_per_image": float(f"{rate:.3g}"), "machine": where}
    table[kind, device] = {"kind": kind, "device": device, **measured}
    write_json([table[name] for name in sorted(table)], FILE)


@click.command(help=__doc__)
@click.argument("kinds", nargs=-1)
@click.option("--scale", "scales", multiple=True, help="Only kinds of this scale.")
@click.option("--images", default=100, help="Images in the one block of an epoch.")
@click.option("--epochs", default=3, help="Timed epochs.")
@click.option("--threads", default=1, help="Threads, as many as a trial of the sweep has CPUs.")
def main(
    kinds: tuple[str, ...], scales: tuple[str, ...], images: int, epochs: int, threads: int
) -> None:
    """Measure, print and record each kind."""
    torch.set_num_threads(threads)
    cuda = torch.cuda.is_available()
    device = "cuda" if cuda else "cpu"
    where = torch.cuda.get_device_name() if cuda else f"{machine()}, {threads} used"
    print(describe(device))
    for kind in dict.fromkeys(kinds or kinds_of(scales)):
        rate = seconds_per_image(kind, images, epochs)
        print(f"{kind:45} {1e3 * rate:9.3f} ms per image", flush=True)
        record(kind, rate, device, where)


if __name__ == "__main__":
    main()
