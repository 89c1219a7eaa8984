"""Columns of a record beyond the standard ones, and code of one's own in a training."""

from __future__ import annotations

import math

import pytest
import torch

import adambias as ab
from adambias.config.measures import COLUMNS, CORRECTION, CURVES, columns_of, curves_of
from adambias.core.errors import ConfigError
from adambias.training import checkpoint

OWN = """
import torch
from torch import nn
from adambias.training import Measure


def largest():
    return Measure(
        columns=("largest_weight", "epoch_again"),
        compute=lambda at: torch.stack([at.theta.abs().max().double(), at.fit[0] * 0 + at.epoch]),
        when=lambda trial, epoch: epoch % 2 == 1,
        curves=("largest_weight",),
    )


def taken():
    return Measure(columns=("one_norm",), compute=lambda at: at.fit[:1])


def worded():
    return Measure(columns=("my measure",), compute=lambda at: at.fit[:1])


def linear(style):
    pixels = style.in_channels * style.image_size**2
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, style.num_classes))


def twice():
    return lambda logits, labels: 2 * nn.functional.cross_entropy(logits, labels, reduction="sum")


def number(*arguments):
    return 1
"""


@pytest.fixture
def own(importable) -> str:
    return importable("own_of_training", OWN)


def test_a_measure_is_a_column_at_its_epochs_and_changes_nothing(few_digits, quick, own):
    trial = quick(measures=[f"{own}:largest", "weight_norm"])
    training = ab.train(trial, few_digits, device="cpu")
    records = list(training)
    plain = list(ab.train(quick(), few_digits, device="cpu"))

    assert columns_of(trial) == (*COLUMNS, "largest_weight", "epoch_again", "weight_norm")
    assert curves_of(trial) == (*CURVES, "largest_weight", "weight_norm")
    assert [r.epoch_again for r in records] == [None, 1.0, None, 3.0, None, 5.0]
    assert all(0 < r.largest_weight < r.weight_norm for r in records[1::2])
    assert [r.train_loss for r in records] == [r.train_loss for r in plain]
    history = training.history()
    assert list(history.columns) == list(columns_of(trial))
    assert history["largest_weight"].isna().tolist() == [True, False] * 3


def test_a_column_that_no_trial_asked_for_is_no_attribute(few_digits, quick):
    record = next(ab.train(quick(), few_digits, device="cpu"))

    assert record.correction_cosine is None
    with pytest.raises(AttributeError, match="no column 'weight_nrom'"):
        _ = record.weight_nrom


def test_a_training_goes_on_with_its_measures(few_digits, quick, own):
    trial = quick(measures=[f"{own}:largest"])
    whole = list(ab.train(trial, few_digits, device="cpu"))
    first = ab.train(trial, few_digits, device="cpu")
    for _ in range(3):
        next(first)
    state = checkpoint.loads(checkpoint.dumps(first.state_dict()), trial=trial)

    rest = ab.train(trial, few_digits, state=state, device="cpu")

    list(rest)
    assert [r.values for r in rest.records] == [r.values for r in whole]


def test_a_checkpoint_of_the_first_versions_is_gone_on_with(few_digits, quick):
    """It named no columns and held the two of the correction, measured or not."""
    trial = quick()
    whole = list(ab.train(trial, few_digits, device="cpu"))
    first = ab.train(trial, few_digits, device="cpu")
    for _ in range(3):
        next(first)
    state = first.state_dict()
    del state["columns"]
    nothing = torch.full((3, len(CORRECTION.columns)), math.nan, dtype=torch.float64)
    state["history"] = torch.cat([state["history"], nothing], dim=1)

    rest = ab.train(trial, few_digits, state=state, device="cpu")

    list(rest)
    columns = [name for name in COLUMNS if name != "seconds"]
    assert [[getattr(r, c) for c in columns] for r in rest.records] == [
        [getattr(r, c) for c in columns] for r in whole
    ]


def test_a_network_and_a_loss_of_ones_own_are_trained(few_digits, quick, own):
    plain, twice = (
        list(ab.train(quick(model=f"{own}:linear", loss=loss), few_digits, device="cpu"))
        for loss in ("cross_entropy", f"{own}:twice")
    )

    assert twice[0].train_loss == pytest.approx(2 * plain[0].train_loss, rel=1e-6)
    assert twice[0].one_norm == pytest.approx(2 * plain[0].one_norm, rel=1e-5)
    assert plain[-1].train_loss < plain[0].train_loss


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"measures": ["weight_nrom"]},
            r"^measures = 'weight_nrom': must be one of weight_norm, smooth_norms",
        ),
        ({"measures": ["weight_norm"] * 2}, r"^measures = \[.*\]: must name each measure once$"),
        ({"measures": ["own_of_training:taken"]}, r"its column one_norm is there already$"),
        (
            {"measures": ["own_of_training:worded"]},
            r"^measures own_of_training:worded column = 'my measure': a name must be letters,",
        ),
        ({"measures": ["own_of_training:number"]}, r"must name a function that returns a Measure"),
        ({"model": "own_of_training:number"}, r"that returns a torch\.nn\.Module, not int$"),
        ({"loss": "own_of_training:number"}, r"a function of outputs and targets, not int$"),
        (
            {"loss": "own_of_training:nothing"},
            r"^loss = 'own_of_training:nothing': own_of_training has no",
        ),
    ],
)
def test_what_is_no_measure_network_or_loss_is_refused(few_digits, quick, own, changes, message):
    with pytest.raises(ConfigError, match=message):
        next(ab.train(quick(**changes), few_digits, device="cpu"))
