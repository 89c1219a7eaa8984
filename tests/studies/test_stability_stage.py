"""The stage ``stability``: the edge of rules on a small smooth network."""

import json

import pytest

from adambias.config import Grid, Stability
from adambias.core.errors import ConfigError
from adambias.law.stability import stability_threshold
from adambias.studies import stability
from adambias.training.trainer import Training, rule_of


def settings(**changes):
    values = {
        **{"dataset": "digits", "images": 40, "steps": 40, "every": 10},
        "base": {"model": "mlp", "activation": "tanh", "norm": "none", "loss": "mse"},
        "grids": {"slow": Grid(base={"rule": "gradient_descent", "h": 0.05}, axes={"seed": [3]})},
    }
    return Stability(**{**values, **changes})


def test_a_row_is_what_a_training_measures(few_digits, tmp_path):
    found = stability.run(settings(), {"digits": few_digits}, tmp_path)
    (row,) = found["rows"]
    assert row["epoch"] == [0, 10, 20, 30, 40]
    ((_, trial),) = settings().trials()
    assert trial.epochs == 41
    records = list(Training(trial, few_digits.first(40), device="cpu"))
    for epoch, edge, loss in zip(row["epoch"], row["edge"], row["train_loss"], strict=True):
        record = records[epoch]
        assert edge == pytest.approx(record.edge, rel=1e-3)
        assert loss == pytest.approx(record.train_loss, rel=1e-3)
        seen = 0.05 * record.preconditioned_sharpness / stability_threshold(rule_of(trial), epoch)
        assert record.edge == pytest.approx(seen)
    written = json.loads((tmp_path / "stability.json").read_text())
    assert written["rows"][0]["grid"] == "slow"


def test_gradient_descent_comes_to_its_threshold_and_stays_there(few_digits, tmp_path):
    """The classic picture (Cohen and co-authors, 2021), on forty images."""
    large = {"large": Grid(base={"rule": "gradient_descent", "h": 0.15}, axes={"seed": [3]})}
    found = stability.run(
        settings(steps=600, every=50, grids=large), {"digits": few_digits}, tmp_path
    )
    edge = found["rows"][0]["edge"]
    assert edge[0] < 0.9
    assert edge[-1] == pytest.approx(1, abs=0.1)
    assert edge[-2] == pytest.approx(1, abs=0.1)


def test_the_measures_are_the_stages_own():
    grids = {"slow": Grid(base={"h": 0.1, "memory": "forgotten"}, axes={"seed": [0]})}
    with pytest.raises(ConfigError, match=r"grids\.slow\.base\.memory = 'forgotten': must be 'opt"):
        settings(grids=grids)
