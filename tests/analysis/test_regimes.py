import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adambias.analysis.regimes import classify
from adambias.config import Regimes, Trial
from adambias.config.analysis import REGIMES
from adambias.core.errors import ConfigError

LABELLED = json.loads((Path(__file__).parents[1] / "data" / "losses.json").read_text("utf-8"))
"""Losses of real trainings. ``label`` was given by eye, from a plot of the loss with a logarithmic
axis, and ``why`` says what was seen. Curves that two readers might name differently are left out:
most of them have a few lone humps of three to ten times the lowest loss."""

N = np.arange(300)
FALLING = 2.3 * np.exp(-N / 40)


def with_spike(at, height, of=FALLING):
    loss = of.copy()
    loss[at] = height
    return loss


def name(training):
    return "{dataset}({beta1:g},{beta2:g},{h:g},{epochs})".format(**training)


@pytest.mark.parametrize("training", LABELLED, ids=name)
def test_a_real_training_is_what_it_looks_like(training):
    found = classify(training["loss"])
    assert found.regime == training["label"], (found, training["why"])


def test_real_trainings_of_each_regime_and_dataset_are_labelled():
    labels = [training["label"] for training in LABELLED]
    assert all(labels.count(regime) >= 3 for regime in REGIMES)
    assert {training["dataset"] for training in LABELLED} == {"digits", "photos", "cifar10_jpeg"}
    assert all(len(training["loss"]) == training["epochs"] for training in LABELLED)


@pytest.mark.parametrize(
    ("loss", "regime", "spikes"),
    [
        (FALLING, "oscillation", 0),
        (FALLING * (1 + 0.5 * np.sin(2.0 * N)), "oscillation", 0),
        (np.full(300, 0.7), "oscillation", 0),
        (with_spike(200, 1.5), "spike", 1),
        (with_spike([150, 151, 152, 220], 2.0), "spike", 2),
        (with_spike(299, 1.5), "spike", 1),
        (with_spike(3, 40.0), "oscillation", 0),
        (with_spike(250, 0.02), "oscillation", 0),
        (np.linspace(2.3, 2.4, 300), "divergence", 0),
        (2.3 * np.exp(N / 50), "divergence", 1),
        ([2.3], "oscillation", 0),
        ([], "divergence", 0),
        (np.zeros(9), "oscillation", 0),
    ],
    ids=[
        *("smooth", "oscillating", "flat", "one spike", "two spikes, one wide"),
        *("a spike at the end", "start-up", "five times the lowest"),
        *("ends a little higher", "explodes", "one epoch", "no epoch", "nothing to fall from"),
    ],
)
def test_a_series_of_each_kind(loss, regime, spikes):
    found = classify(loss)
    assert (found.regime, found.spikes) == (regime, spikes), found


def test_the_largest_leap_is_over_the_lowest_loss_before_it():
    found = classify([8.0, 2.0, 4.0, 1.0, 20.0, 3.0, 0.5, 6.0])
    assert found.largest_leap == pytest.approx(20)
    assert found.reason == "2 spikes, largest leap 20 times"
    assert classify(FALLING).largest_leap == 1


def test_leaps_without_a_recovery_between_them_are_one_spike():
    loss = with_spike(slice(200, 240), 0.3)
    loss[[210, 220]] = 1.5
    assert classify(loss).spikes == 1
    loss[215] = 1.5 * FALLING[199]
    assert classify(loss).spikes == 2


def test_a_leap_that_stays_up_is_divergence_and_one_that_comes_down_is_a_spike():
    up = with_spike(slice(200, 300), 1.0)
    found = classify(up)
    assert found.regime == "divergence"
    assert found.reason == "ends at 62.9 times its lowest loss and stays there"

    rising = with_spike(slice(200, 300), np.linspace(0.5, 2.0, 100))
    coming_down = with_spike(slice(200, 300), np.linspace(2.0, 0.5, 100))
    assert classify(rising).regime == "divergence"
    assert classify(coming_down).regime == "spike"


@pytest.mark.parametrize(
    ("low", "high", "regime"),
    [
        (1e-7, 0.05355, "spike"),
        (1e-7, 0.0024, "spike"),
        (1e-7, 0.0022, "oscillation"),
        (1e-9, 5e-8, "oscillation"),
        (0.0, 1e-8, "oscillation"),
        (0.0, 0.05, "spike"),
    ],
)
def test_a_leap_comes_up_to_a_thousandth_of_the_start(low, high, regime):
    loss = 2.3 * np.exp(-N / 4)
    loss[loss < low + 1e-12] = low
    found = classify(with_spike(250, high, of=loss))
    assert found.regime == regime
    assert np.isfinite(found.largest_leap)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_has_diverged(bad):
    assert classify(with_spike(299, bad)).regime == "divergence"


def test_a_trial_that_the_trainer_stopped_has_diverged_whatever_its_record_says():
    assert classify(FALLING, diverged=True).regime == "divergence"


@pytest.mark.parametrize(
    ("change", "regime"),
    [
        ({"spike_factor": 40.0}, "oscillation"),
        ({"spike_level": 0.3}, "oscillation"),
        ({"spikes": 2}, "oscillation"),
        ({"settle_fraction": 0.7}, "oscillation"),
        ({"divergence_level": 0.0005}, "divergence"),
        ({}, "spike"),
    ],
)
def test_every_threshold_counts(change, regime):
    loss = with_spike(200, 30 * FALLING[200])
    settings = dataclasses.replace(Regimes(), **change)
    assert classify(loss, settings).regime == regime


def test_divergence_level_is_a_multiple_of_the_start():
    loss = np.linspace(2.3, 4.0, 300)
    assert classify(loss).regime == "divergence"
    assert classify(loss, Regimes(divergence_level=2.0)).regime == "oscillation"


def test_the_last_part_tells_divergence():
    loss = with_spike(slice(260, 300), 1.0)
    assert classify(loss, Regimes(tail_fraction=0.1)).regime == "divergence"
    assert classify(loss, Regimes(tail_fraction=0.2)).regime == "spike"


@given(
    st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=60),
    st.floats(1e-3, 1e3),
)
def test_the_unit_of_the_loss_does_not_matter(loss, scale):
    first, second = classify(loss), classify(np.array(loss) * scale)
    assert first.regime in REGIMES
    assert (first.regime, first.spikes) == (second.regime, second.spikes)


@pytest.mark.parametrize("scale", [0.1, 0.3, 7.0])
def test_nor_does_it_where_a_leap_just_meets_its_thresholds(scale):
    loss = np.array([3.0, 1.0, 10.0, 1.0, 1.0])
    assert classify(loss * scale).regime == "spike"


@pytest.mark.parametrize(
    ("values", "said"),
    [({"spike_factor": 1}, "spike_factor = 1"), ({"spike_level": 0}, "spike_level = 0")],
)
def test_thresholds_out_of_range_are_refused(values, said):
    with pytest.raises(ConfigError, match=said):
        Regimes(**values)


@pytest.mark.parametrize(
    ("h", "beta1", "beta2", "regime"),
    [
        (1e-3, 0.9, 0.99, "oscillation"),
        (1e-2, 0.9, 0.5, "spike"),
        (0.3, 0.99, 0.1, "divergence"),
    ],
)
def test_real_trainings(h, beta1, beta2, regime, tmp_path):
    from adambias import load_dataset, train

    torch.set_num_threads(1)
    trial = Trial(h=h, beta1=beta1, beta2=beta2, epochs=60, epsilon=1e-8, eval_every=60)
    training = train(trial, load_dataset("digits", train_size=100, root=tmp_path))
    losses = [record.train_loss for record in training]
    assert classify(losses, diverged=training.status == "diverged").regime == regime
