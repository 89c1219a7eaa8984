"""The law under a schedule of the step size: its orders, its memory, and what it refuses."""

import math

import numpy as np
import pytest
import torch
from plain import labelled_rule

import adambias as ab
from adambias.core.errors import ConfigError
from adambias.law import losses
from adambias.law.memory import mean_age, scheduled_age

HORIZON = 0.5


def cosine(n_steps):
    """A warm-up over a fifth of the steps, then half a cosine."""
    first = n_steps // 5

    def factor(n):
        if n < first:
            return (n + 1) / (first + 1)
        return 0.5 + 0.5 * math.cos(math.pi * (n - first) / max(n_steps - 1 - first, 1))

    return factor


def drop(n_steps):
    """A tenth of h from the middle on."""
    return lambda n: 1.0 if n < n_steps // 2 else 0.1


def errors(label, loss, start, shape, steps, make):
    rule = labelled_rule(label, 0.3, 0.5)
    found = []
    for n_steps in steps:
        h, schedule = HORIZON / n_steps, shape(n_steps)
        path = ab.iterate(rule, loss, start, h, n_steps, schedule=schedule)
        flow = ab.integrate(make(rule, loss, h, schedule), start, h, n_steps)
        found.append(float((path - flow).norm(dim=-1).max()))
    return found


def order(found, steps):
    return float(np.polyfit(np.log([HORIZON / n for n in steps]), np.log(found), 1)[0])


FLOWS = {
    1: lambda rule, loss, h, s: ab.leading_order_flow(rule, loss, schedule=s),
    2: lambda rule, loss, h, s: ab.modified_flow(rule, loss, h, schedule=s),
}


@pytest.mark.parametrize("shape", [cosine, drop])
@pytest.mark.parametrize("label", ["adam", "heavy_ball", "nesterov", "nadam", "lion", "adamw"])
def test_flows_keep_their_orders_under_a_schedule(label, shape):
    loss, start = losses.tanh_mlp()
    steps = (40, 80, 160)
    for expected, make in FLOWS.items():
        found = errors(label, loss, start, shape, steps, make)
        assert order(found, steps) == pytest.approx(expected, abs=0.15), (expected, found)


def test_the_memoryless_iteration_does_too():
    loss, start = losses.tanh_mlp()
    steps = (40, 80, 160)

    def make(rule, loss, h, s):
        return ab.memoryless(rule, loss, h, schedule=s)

    assert order(errors("adam", loss, start, cosine, steps, make), steps) == pytest.approx(
        2, abs=0.15
    )


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9])
def test_scheduled_ages(decay):
    for n in (0, 1, 7):
        assert scheduled_age(decay, n, lambda k: 1.0) == pytest.approx(
            mean_age(decay, n), abs=1e-12
        )
    factors = [1.0, 0.5, 0.25, 2.0]
    weights = [decay**k * (1 - decay) / (1 - decay**5) for k in range(5)]
    expected = sum(w * sum(factors[4 - k : 4]) for k, w in enumerate(weights))
    assert scheduled_age(decay, 4, lambda k: factors[k]) == pytest.approx(expected)


def test_without_change_it_is_the_flow_without_a_schedule():
    loss, start = losses.tanh_mlp()
    rule = labelled_rule("adam", 0.9, 0.99)
    plain = ab.modified_flow(rule, loss, 0.01)
    scheduled = ab.modified_flow(rule, loss, 0.01, schedule=lambda n: 1.0)
    for n in (0, 3, 40):
        assert torch.allclose(scheduled(start, n), plain(start, n), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"memory": "resummed"}, "memory = 'resummed': must be 'first_order' under a schedule"),
        ({"n": None}, "n = None: must be 'step' under a schedule"),
        ({"n": 4}, "n = 4: must be 'step' under a schedule"),
    ],
)
def test_what_is_not_known_is_refused(options, words):
    loss, _ = losses.tanh_mlp()
    with pytest.raises(ConfigError, match=words):
        ab.modified_flow(
            labelled_rule("adam", 0.9, 0.9), loss, 0.1, schedule=lambda n: 1, **options
        )


def test_mini_batches_and_what_is_no_schedule_are_refused():
    loss, _ = losses.tanh_mlp()
    rule = labelled_rule("adam", 0.9, 0.9)
    with pytest.raises(ConfigError, match="must be one loss under a schedule"):
        ab.leading_order_flow(rule, [loss, loss], schedule=lambda n: 1)
    with pytest.raises(ConfigError, match="must be a function from a step"):
        ab.leading_order_flow(rule, loss, schedule=0.5)
