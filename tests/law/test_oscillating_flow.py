"""The oscillating flow against multipliers, the rules' own paths, and what central flow says."""

import math

import numpy as np
import pytest
import torch
from plain import labelled_rule
from torch import Tensor

import adambias as ab
from adambias.core.errors import ConfigError
from adambias.core.registry import RULES
from adambias.law import rules
from adambias.law.integration import advance_by, states_of
from adambias.law.stability import multipliers, stability_threshold

WELLS = ab.losses.double_wells()
THETA = torch.tensor([1.9, 0.4, -1.5, 0.3, 1.6], dtype=torch.float64)
LABELS = [*RULES.names, "adam_outside"]
STILL = 1e6
"""An epsilon that keeps the preconditioner where it is."""
LINEAR = {
    "gradient_descent": rules.gradient_descent(),
    "heavy_ball": rules.heavy_ball(beta1=0.8),
    "nesterov": rules.nesterov(beta1=0.8),
    "rmsprop": rules.rmsprop(beta2=0.9, epsilon=STILL),
    "adam": rules.adam(beta1=0.9, beta2=0.99, epsilon=STILL),
}


def error(rule: ab.UpdateRule, n_steps: int) -> float:
    h = 0.4 / n_steps
    path = ab.iterate(rule, WELLS, THETA, h, n_steps)
    # More steps than one of Runge-Kutta's: its own error is not what is looked for.
    found = ab.integrate(ab.oscillating_flow(rule, WELLS, h), THETA, h, n_steps, substeps=2)
    return float((found - path).norm(dim=-1).max())


@pytest.mark.parametrize("label", LABELS)
def test_below_the_edge_it_is_of_second_order(label):
    rule = labelled_rule(label, 0.5, 0.7)
    slope = math.log2(error(rule, 80) / error(rule, 160))
    assert slope == pytest.approx(2, abs=0.25)


def test_with_long_memory_too():
    rule = rules.adam(beta1=0.9, beta2=0.99, epsilon=1e-4)
    loss, start = ab.losses.bilinear(), torch.tensor([2.8, 3.5], dtype=torch.float64)
    errors = []
    for n_steps in (100, 200):
        flow = ab.oscillating_flow(rule, loss, 2 / n_steps)
        found = ab.integrate(flow, start, 2 / n_steps, n_steps)
        path = ab.iterate(rule, loss, start, 2 / n_steps, n_steps)
        errors.append(float((found - path).norm(dim=-1).max()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.25)


def test_without_noise_it_is_smooth_and_never_begins_to_swing():
    flow = ab.oscillating_flow(labelled_rule("adam", 0.6, 0.8), WELLS, 0.05, noise=0)
    _, info = ab.integrate(flow, THETA, 0.05, 20, return_info=True, moments=True)
    assert not info.amplitude[1:].any()


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_mode_fades_as_in_the_rule_whatever_its_frequency(share):
    """By sqrt(d) in a step; in the moment flow a fast one fades at once."""
    d = 0.9
    rule = rules.heavy_ball(beta1=d)
    mu = share * stability_threshold(rule)
    start = torch.ones(1, dtype=torch.float64)

    def bowl(theta: Tensor) -> Tensor:
        return mu / 2 * (theta**2).sum()

    def kept(flow) -> float:
        path, info = ab.integrate(flow, start, 1.0, 200, substeps=6, return_info=True, moments=True)
        # The bias correction is gone by then, and this energy of an oscillator hardly swings.
        x, m = path[100:, 0], info.moments[0][100:, 0]
        energy = (x**2 + m**2 / (mu * -math.log(d))).log().numpy()
        return math.exp(np.polyfit(np.arange(len(energy)), energy, 1)[0] / 2)

    assert abs(multipliers(rule, mu)).max() == pytest.approx(d**0.5)
    flow = ab.oscillating_flow(rule, bowl, 1.0, noise=0, half_step=False)
    assert kept(flow) == pytest.approx(d**0.5, abs=2e-3)
    assert kept(ab.moment_flow(rule, bowl, 1.0)) < d**0.5 - 0.01


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("share", [0.97, 1.03])
def test_the_amplitude_grows_above_the_threshold_and_decays_below(name, share):
    """By the largest multiplier of the rule, once its memory is full."""
    rule, h = LINEAR[name], 0.01
    scale = STILL**0.5 if name in ("adam", "rmsprop") else 1.0
    mu = share * stability_threshold(rule)
    curvature = mu * scale / h

    def bowl(theta: Tensor) -> Tensor:
        return curvature / 2 * (theta**2).sum()

    start = torch.zeros(1, dtype=torch.float64)
    # While memory fills, steps are longer: what grows then has to stay small against epsilon.
    flow = ab.oscillating_flow(rule, bowl, h, noise=1e-60)
    n_steps = 200
    _, info = ab.integrate(flow, start, h, n_steps, return_info=True, moments=True)
    swing = info.amplitude[120:, 0].abs().clamp_min(1e-300).log().numpy()
    rate = np.polyfit(np.arange(len(swing)), swing, 1)[0]
    expected = math.log(abs(multipliers(rule, mu)).max())
    assert (rate > 0) == (share > 1)
    assert rate == pytest.approx(expected, rel=0.15)


def climbing(theta: Tensor) -> Tensor:
    """A valley whose curvature is the first weight, which its floor sends to 21."""
    return 0.1 * (theta[0] - 21) ** 2 + theta[0] * theta[1] ** 2 / 2


def mean_loss(places: Tensor) -> float:
    return float(torch.stack([climbing(each) for each in places]).mean())


def test_gradient_descent_is_held_at_its_edge_and_its_mean_loss_is_that_of_the_branches():
    """Central flow: curvature 2/h = 20, the swing's square 0.4, which stops it, and a loss of 4.1.

    The floor there has a loss of 0.1.
    """
    h, n_steps, late = 0.1, 700, slice(300, None)
    start = torch.tensor([19.5, 0.05], dtype=torch.float64)
    rule = rules.gradient_descent()
    own = ab.iterate(rule, climbing, start, h, n_steps)[late]
    flow = ab.oscillating_flow(rule, climbing, h, noise=0.5)
    path, info = ab.integrate(flow, start, h, n_steps, return_info=True, moments=True)
    path, swing = path[late], info.amplitude[late]
    assert float(path[:, 0].mean()) == pytest.approx(2 / h, rel=1e-3)
    assert float((swing[:, 1] ** 2).mean()) == pytest.approx(0.4, rel=0.03)
    branches = (mean_loss(path + swing) + mean_loss(path - swing)) / 2
    assert branches == pytest.approx(4.1, rel=0.02)
    assert mean_loss(own) == pytest.approx(branches, rel=0.02)
    assert float(path[:, 1].abs().max()) < 1e-3


def test_rmsprop_is_held_at_its_edge_as_curvature_grows():
    """Central flow: sqrt(nu) = h S / 2, and so a swing of h / 2; S grows by h in a step."""

    def ramp(theta: Tensor) -> Tensor:
        return -theta[0] / 5 + theta[0] * theta[1] ** 2 / 2

    h, n_steps, late = 0.01, 400, slice(200, None)
    rule = rules.rmsprop(beta2=0.9, epsilon=1e-12)
    start = torch.tensor([1.0, 0.1], dtype=torch.float64)
    flow = ab.oscillating_flow(rule, ramp, h, noise=0.1)
    path, info = ab.integrate(flow, start, h, n_steps, return_info=True, moments=True)
    edge = h * path[late, 0] / info.moments[0][late, 1].sqrt()
    assert float(edge.mean()) == pytest.approx(2, rel=0.01)
    own = ab.iterate(rule, ramp, start, h, n_steps)
    swing, own_swing = info.amplitude[late, 1].abs().mean(), own[late, 1].abs().mean()
    assert float(swing) == pytest.approx(h / 2, rel=0.03)
    assert float(own_swing) == pytest.approx(float(swing), rel=0.02)
    assert float(path[-1, 0]) == pytest.approx(float(own[-1, 0]), rel=0.005)


def test_the_branches_are_either_side_of_the_path():
    flow = ab.oscillating_flow(labelled_rule("adam", 0.6, 0.8), WELLS, 0.05)
    states = states_of(flow, THETA, advance_by("rk4", 0.05, 1))
    for _ in range(5):
        state = next(states)
    one, other = flow.branches(state)
    torch.testing.assert_close((one + other) / 2, state[0])
    torch.testing.assert_close((one - other) / 2, flow.estimates(state)[-1])


def test_trajectories_side_by_side_are_single_runs():
    h = torch.tensor([[0.01], [0.02]], dtype=torch.float64)
    rule = labelled_rule("nadam", 0.6, 0.8)
    starts = torch.stack([THETA, THETA.flip(0)])
    path = ab.integrate(ab.oscillating_flow(rule, WELLS, h, noise=0), starts, h, 6)
    for b in range(2):
        one = ab.oscillating_flow(rule, WELLS, float(h[b]), noise=0)
        single = ab.integrate(one, starts[b], float(h[b]), 6)
        torch.testing.assert_close(path[:, b], single)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda r: ab.oscillating_flow(r, [WELLS, WELLS], 0.1), "loss = '2 losses': must be one"),
        (lambda r: ab.oscillating_flow(r, WELLS, 0.0), "h = 0.0: must be > 0"),
        (lambda r: ab.oscillating_flow(r, WELLS, 0.1, noise=-1), "noise = -1: must be a number"),
        (lambda r: ab.oscillating_flow(r, WELLS, 0.1, noise="x"), "noise = 'x': must be a number"),
        (lambda r: ab.oscillating_flow(r, WELLS, 0.1, damping=1), "damping = 1: must be a number"),
        (
            lambda r: ab.oscillating_flow(r, WELLS, 0.1, seed=-1),
            "seed = -1: must be an integer >= 0",
        ),
        (
            lambda r: ab.oscillating_flow(rules.adam(bias_correction=False), WELLS, 0.1),
            "bias_correction = False: must be true",
        ),
        (
            lambda r: ab.oscillating_flow(rules.heavy_ball(beta1=torch.zeros(2, 1)), WELLS, 0.1),
            "decay = 'a tensor': must be a number",
        ),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(ConfigError) as error:
        call(labelled_rule("adam", 0.6, 0.8))
    assert words in str(error.value)
