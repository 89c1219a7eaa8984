"""The recorded speeds are those that a plan of any scale asks for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from adambias.config import load_params, scale_names
from adambias.data.preparation import expected_shape
from adambias.ledger.speed import Rates, kind_of

ROOT = Path(__file__).parents[2]
FILE = ROOT / "benchmarks" / "rates.json"


@pytest.mark.parametrize("scale", scale_names(ROOT / "params.yaml"))
def test_every_trial_of_a_scale_has_a_measured_speed(scale):
    settings = load_params(ROOT / "params.yaml", scale).scale
    shapes = {name: expected_shape(spec) for name, spec in settings.prepare.datasets.items()}
    work = [
        (kind_of(trial, shapes[trial.dataset]), shapes[trial.dataset][0])
        for grid in settings.grids.values()
        for trial in grid.expand(settings.trial)
    ]
    estimate = Rates((), FILE).estimate(work)
    assert estimate.unknown == 0
    assert estimate.hours > 0
    assert all(estimate.machines)


def test_speeds_are_of_a_plausible_size_and_order():
    rates = {row["kind"]: row["seconds_per_image"] for row in json.loads(FILE.read_text())}
    assert all(re.fullmatch(r"\w+/\w+/\w+/\w+/\d+x\d+x\d+", kind) for kind in rates)
    deep = [
        rates[f"{name}/batch/relu/tf32/3x32x32"] for name in ("resnet18", "resnet50", "resnet101")
    ]
    assert 1e-6 < deep[0] < deep[1] < deep[2] < 1
