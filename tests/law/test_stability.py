"""Thresholds of linear stability: closed forms, the companion matrix, and the steps themselves."""

import math

import numpy as np
import pytest
import torch
from plain import COMPONENTWISE

import adambias as ab
from adambias.core.errors import ConfigError
from adambias.law import rules
from adambias.law.rules import Moment, UpdateRule, square
from adambias.law.stability import linear_weights, multipliers, stability_threshold

HUGE = 1e12
"""An epsilon beside which no gradient here counts, so that the preconditioner is its root."""
EVERY = {
    name: {"epsilon": HUGE, "weight_decay": 1e-9 if name == "adamw" else 0.0}
    for name in COMPONENTWISE
}


def rule_of(name, **hyperparameters):
    return rules.make_rule(name, **{**EVERY[name], **hyperparameters})


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.99])
def test_closed_forms(beta):
    averaged = 2 * (1 + beta) / (1 - beta)
    assert stability_threshold(rules.gradient_descent()) == pytest.approx(2)
    assert stability_threshold(rules.rmsprop(beta2=0.99)) == pytest.approx(2)
    assert stability_threshold(rules.heavy_ball(beta1=beta)) == pytest.approx(averaged)
    assert stability_threshold(rules.adam(beta1=beta)) == pytest.approx(averaged)
    assert stability_threshold(rules.signum(beta1=beta)) == pytest.approx(averaged)
    # Of beta m + (1 - beta) g at z = -1.
    nesterov = 2 / (beta * (1 - beta) / (1 + beta) + 1 - beta)
    assert stability_threshold(rules.nesterov(beta1=beta)) == pytest.approx(nesterov)
    assert stability_threshold(rules.nadam(beta1=beta)) == pytest.approx(nesterov)


def test_the_second_moment_does_not_move_adams_threshold():
    assert stability_threshold(rules.adam(beta1=0.9, beta2=0.9)) == pytest.approx(38)
    assert stability_threshold(rules.adam(beta1=0.9, beta2=0.999)) == pytest.approx(38)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("beta1", "beta2"), [(0.9, 0.99), (0.5, 0.9), (0.95, 0.3)])
def test_a_multiplier_leaves_the_unit_circle_at_the_threshold(name, beta1, beta2):
    rule = rule_of(name, beta1=beta1, beta2=beta2)
    mu = stability_threshold(rule)
    assert np.abs(multipliers(rule, mu)).max() == pytest.approx(1, abs=1e-9)
    assert np.abs(multipliers(rule, 1.001 * mu)).max() > 1 + 1e-7
    for share in (0.01, 0.3, 0.7, 0.999):
        assert np.abs(multipliers(rule, share * mu)).max() < 1


@pytest.mark.parametrize("name", EVERY)
def test_the_steps_themselves_shrink_below_the_threshold_and_grow_above(name):
    rule = rule_of(name, beta1=0.8, beta2=0.6)
    one = torch.ones(1, dtype=torch.float64)
    _, inverse = linear_weights(rule, [one for _ in rule.moments], one)
    largest = {}
    for side in (0.95, 1.05):
        # Curvature 1, and the step size at which h D^(-1) is this far from the threshold.
        h = side * stability_threshold(rule) / float(inverse)
        path = ab.iterate(rule, lambda theta: (theta * theta).sum() / 2, one, h, 1200)
        largest[side] = float(path[-100:].abs().max())
    assert largest[0.95] < 1e-3
    assert largest[1.05] > 1e3 or math.isnan(largest[1.05])


def test_a_crossing_may_be_no_oscillation_from_side_to_side():
    """Two averages that almost cancel: their multipliers leave the circle as a complex pair."""
    rule = UpdateRule(
        moments=[Moment(0.95), Moment(0.0)], combine=lambda m, g, theta: 1.9 * m - 0.9 * g
    )
    mu = stability_threshold(rule)
    found = multipliers(rule, mu)
    outermost = found[np.abs(found).argmax()]
    assert abs(outermost) == pytest.approx(1, abs=1e-9)
    assert (
        np.abs(multipliers(rule, 0.99 * mu)).max() < 1 < np.abs(multipliers(rule, 1.01 * mu)).max()
    )


def test_a_moment_is_linear_by_what_it_does_not_by_its_name():
    own = UpdateRule(
        moments=[Moment(0.9, lambda g: 1.0 * g), Moment(0.99, square), Moment(0.5)],
        combine=lambda m, nu, unused, theta: m / (nu + 1).sqrt(),
    )
    assert stability_threshold(own) == pytest.approx(38)
    doubled = UpdateRule([Moment(0.9, lambda g: 2 * g)], lambda m, theta: m / 2)
    assert stability_threshold(doubled) == pytest.approx(38)
    one = torch.ones(1, dtype=torch.float64)
    assert float(linear_weights(doubled, [one], one)[1]) == pytest.approx(1)


def test_weights_and_preconditioner_are_those_of_the_direction():
    nu = torch.tensor([0.04, 4.0], dtype=torch.float64)
    m, theta = torch.tensor([0.3, -0.1], dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    weights, inverse = linear_weights(rules.adam(epsilon=1e-2), [m, nu], theta)
    assert torch.equal(weights, torch.ones(1, 2, dtype=torch.float64))
    torch.testing.assert_close(inverse, 1 / (nu + 1e-2).sqrt())
    weights, inverse = linear_weights(rules.nadam(beta1=0.8, epsilon=1e-2), [m, nu, m], theta)
    torch.testing.assert_close(weights[:, 0], torch.tensor([0.8, 0.2], dtype=torch.float64))
    torch.testing.assert_close(inverse, 1 / (nu + 1e-2).sqrt())


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            UpdateRule([Moment(0.9, square)], lambda m, theta: m),
            "must hold a moment that is linear",
        ),
        (rules.adam(beta1=torch.tensor([[0.9], [0.5]])), "decay = 'a tensor': must be a number"),
    ],
)
def test_what_has_no_threshold_is_refused(rule, said):
    with pytest.raises(ConfigError, match=said):
        stability_threshold(rule)


def test_while_memory_fills_the_threshold_is_lower():
    for n in (0, 3, 50):
        filled = 1 - 0.9 ** (n + 1)
        assert stability_threshold(rules.adam(beta1=0.9), n) == pytest.approx(38 * filled)
        assert stability_threshold(rules.rmsprop(beta2=0.9), n) == pytest.approx(2)
        raw = rules.adam(beta1=0.9, bias_correction=False)
        assert stability_threshold(raw, n) == pytest.approx(38)
    assert stability_threshold(rules.nadam(beta1=0.9), 10_000) == pytest.approx(
        stability_threshold(rules.nadam(beta1=0.9))
    )


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_the_steps_grow_until_that_threshold_is_passed_and_then_shrink(share):
    rule, one = rules.heavy_ball(beta1=0.99), torch.ones(1, dtype=torch.float64)
    h = share * stability_threshold(rule)
    path = ab.iterate(rule, lambda theta: (theta * theta).sum() / 2, one, h, 3000).abs()[:, 0]
    passed = next(n for n in range(3000) if stability_threshold(rule, n) > h)
    top = int(path.argmax())
    assert path[top] > 100
    # The last of the growth is slow, and the swing takes a few steps to turn.
    assert passed / 2 <= top <= passed + 20
    assert path[-50:].max() < 1e-3 * path[top]
