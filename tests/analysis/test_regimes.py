import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adambias.analysis.regimes import classify
from adambias.config import Regimes, Trial
from adambias.config.analysis import REGIMES
from adambias.core.errors import ConfigError

N = np.arange(300)
FALLING = 2.3 * np.exp(-N / 40)


def with_spike(at, height, of=FALLING):
    loss = of.copy()
    loss[at] = height
    return loss


@pytest.mark.parametrize(
    ("loss", "regime", "spikes"),
    [
        (FALLING, "oscillation", 0),
        (FALLING * (1 + 0.5 * np.sin(2.0 * N)), "oscillation", 0),
        (np.full(300, 0.7), "oscillation", 0),
        (with_spike(200, 1.5), "spike", 1),
        (with_spike([150, 151, 152, 220], 2.0), "spike", 2),
        (with_spike(3, 40.0), "oscillation", 0),
        (with_spike(250, 0.02), "oscillation", 0),
        (np.linspace(2.3, 2.4, 300), "divergence", 0),
        (2.3 * np.exp(N / 50), "divergence", 0),
        ([2.3], "oscillation", 0),
        ([], "divergence", 0),
    ],
    ids=[
        *("smooth", "oscillating", "flat", "one spike", "two spikes, one wide"),
        *("start-up", "small against the start", "ends a little higher", "explodes"),
        *("one epoch", "no epoch"),
    ],
)
def test_a_series_of_each_kind(loss, regime, spikes):
    found = classify(loss)
    assert (found.regime, found.spikes) == (regime, spikes), found


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_has_diverged(bad):
    assert classify(with_spike(299, bad)).regime == "divergence"


def test_a_trial_that_the_trainer_stopped_has_diverged_whatever_its_record_says():
    assert classify(FALLING, diverged=True).regime == "divergence"


@pytest.mark.parametrize(
    ("change", "regime"),
    [
        ({"spike_factor": 100.0}, "oscillation"),
        ({"spike_level": 0.5}, "oscillation"),
        ({"spikes": 2}, "oscillation"),
        ({"settle_fraction": 0.7}, "oscillation"),
        ({}, "spike"),
    ],
)
def test_every_threshold_counts(change, regime):
    loss = with_spike(200, 30 * FALLING[200])
    settings = dataclasses.replace(Regimes(spike_level=0.05), **change)
    assert classify(loss, settings).regime == regime


def test_divergence_level_is_a_multiple_of_the_start():
    loss = np.linspace(2.3, 4.0, 300)
    assert classify(loss, Regimes(divergence_level=2.0)).regime == "oscillation"


@given(
    st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=60),
    st.floats(1e-3, 1e3),
)
def test_the_unit_of_the_loss_does_not_matter(loss, scale):
    first, second = classify(loss), classify(np.array(loss) * scale)
    assert first.regime in REGIMES
    assert (first.regime, first.spikes) == (second.regime, second.spikes)


def test_thresholds_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="spike_factor = 1"):
        Regimes(spike_factor=1)


@pytest.mark.parametrize(
    ("h", "beta1", "beta2", "regime"),
    [
        (1e-3, 0.9, 0.99, "oscillation"),
        (1e-2, 0.9, 0.5, "spike"),
        (0.3, 0.99, 0.1, "divergence"),
    ],
)
def test_real_trainings(h, beta1, beta2, regime):
    from adambias import load_dataset, train

    torch.set_num_threads(1)
    trial = Trial(h=h, beta1=beta1, beta2=beta2, epochs=60, epsilon=1e-8, eval_every=60)
    training = train(trial, load_dataset("digits", train_size=100))
    losses = [record.train_loss for record in training]
    assert classify(losses, diverged=training.status == "diverged").regime == regime
