"""Resummed memory against plain sums over ages, its limits and its bounds."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain import (
    dense_correction,
    labelled_rule,
    minibatch_drift,
    minibatch_resummed,
    resummed_drift,
)
from torch import Tensor

import adambias as ab
from adambias.core.errors import ConfigError
from adambias.core.registry import RULES
from adambias.law import rules
from adambias.law.flows import MEMORIES, Flow
from adambias.law.resummed import averages
from adambias.law.rules import Moment, identity, square

settings.register_profile("law", max_examples=25, deadline=None, derandomize=True)
settings.load_profile("law")

WELLS = ab.losses.double_wells()
THETA = torch.tensor([1.9, 0.4, -1.5, 0.3, 1.6], dtype=torch.float64)
H = 0.05
LABELS = [*RULES.names, "adam_outside"]
LINEAR = ("gradient_descent", "heavy_ball", "nesterov")


def make(label: str, beta1: float = 0.8, beta2: float = 0.95) -> ab.UpdateRule:
    return labelled_rule(label, beta1, beta2)


def close(actual: Tensor, expected: Tensor, rtol: float = 1e-10) -> None:
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=rtol * float(expected.norm()))


def resummed(rule, loss, h, n="step") -> Flow:
    return ab.modified_flow(rule, loss, h, n=n, memory="resummed")


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("n", [0, 1, 7, None])
def test_the_drift_is_the_plain_sum_over_ages(label, n):
    rule = make(label)
    full = resummed_drift(rule, WELLS, THETA, H, n, 0.5)
    close(resummed(rule, WELLS, H, n)(THETA), full)
    leading = ab.leading_order_flow(rule, WELLS)(THETA)
    added = ab.correction(rule, WELLS, THETA, H, n=n, memory="resummed")
    close(added, full - leading)
    iteration = ab.memoryless(rule, WELLS, H, n=n, memory="resummed")
    close(iteration(THETA), resummed_drift(rule, WELLS, THETA, H, n, 0.0))
    step = ab.integrate(iteration, THETA, H, 1)[1] - THETA
    close(step, H * iteration(THETA))


PHIS = {
    "cube": lambda g: g.abs() ** 3,
    "quartic": lambda g: g**4,
    "root": lambda g: (g * g + 1e-4).sqrt(),
}


def own(name: str, beta1: float = 0.8, beta2: float = 0.9) -> ab.UpdateRule:
    moments = [(beta1, identity), (beta2, PHIS[name])]
    return ab.UpdateRule(moments, lambda m, nu, theta: m / (nu + 0.1) ** (1 / 3) + 0.1 * theta)


@pytest.mark.parametrize(("name", "rtol"), [("cube", 1e-10), ("quartic", 1e-13), ("root", 1e-4)])
@pytest.mark.parametrize("n", [0, 1, 7, 30, None])
def test_any_other_phi_is_averaged_by_quadrature(name, rtol, n):
    """A root with a bend at 0.01 is no polynomial, but summed while there are few ages."""
    rtol = 1e-13 if n is not None and n < 8 else rtol
    plain = resummed_drift(own(name), WELLS, THETA, H, n, 0.5, oldest=400)
    close(resummed(own(name), WELLS, H, n)(THETA), plain, rtol)
    error = (ab.modified_flow(own(name), WELLS, H, n=n)(THETA) - plain).norm() / plain.norm()
    assert error > 10 * rtol, "the first-order law would have passed"


@pytest.mark.parametrize("n", [0, 5, 40, None])
def test_quadrature_and_closed_form_agree_on_the_square(n):
    generator = torch.Generator().manual_seed(1)
    g, change = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    pairs = []
    for phi in (identity, square):
        exact, summed = (
            averages(ab.UpdateRule([Moment(0.97, each)], lambda m, theta: m), g, change, n, 0.5)
            for each in (phi, lambda x, phi=phi: phi(x))
        )
        close(summed[0], exact[0], 1e-12)
        pairs.append(exact[0])
    assert (pairs[1] >= pairs[0] ** 2).all(), "a variance is the difference"


numbers = st.floats(-1e3, 1e3)


@given(numbers, numbers, st.floats(0, 0.9999), st.one_of(st.none(), st.integers(0, 3000)))
def test_the_average_of_a_square_is_never_negative(g, change, decay, n):
    rule = ab.UpdateRule([(decay, square)], lambda nu, theta: nu)
    pair = [torch.tensor([each], dtype=torch.float64) for each in (g, change)]
    for shift in (0.0, 0.5):
        assert averages(rule, *pair, n, shift)[0].item() >= 0


def own_bound(beta1: float, beta2: float, n: int) -> float:
    """The most that m_hat / sqrt(nu_hat) can be whatever the gradients, by Cauchy and Schwarz."""
    k = torch.arange(n + 1, dtype=torch.float64)
    first, second = (d**k / (d**k).sum() for d in (beta1, beta2))
    return math.sqrt(float((first**2 / second).sum()))


@pytest.mark.parametrize(("beta1", "beta2"), [(0.9, 0.999), (0.9, 0.99), (0.5, 0.9), (0.9, 0.7)])
@pytest.mark.parametrize("h", [1e-3, 0.1, 10.0, 1e4])
def test_the_step_is_bounded_as_the_rules_own_is_and_the_first_order_law_is_not(beta1, beta2, h):
    rule, n = rules.adam(beta1=beta1, beta2=beta2, epsilon=1e-8), 100
    bound = own_bound(beta1, beta2, n)
    assert resummed(rule, WELLS, h, n)(THETA).abs().max() <= bound * (1 + 1e-12)
    if h >= 10:
        assert ab.modified_flow(rule, WELLS, h, n=n)(THETA).abs().max() > bound


def test_on_a_line_the_largest_step_of_adam_is_reached():
    """With s = t - (lambda_2 + 1/2), Phi is (s + L) / sqrt(s^2 + V), largest at s = V / L.

    L is the difference of the mean ages, V the variance of the older memory.
    """
    beta1, beta2 = 0.9, 0.999
    rule = rules.adam(beta1=beta1, beta2=beta2, epsilon=1e-20)
    lead = beta2 / (1 - beta2) - beta1 / (1 - beta1)
    variance = beta2 / (1 - beta2) ** 2
    largest = math.sqrt(1 + lead**2 / variance)
    ratio = torch.linspace(0, 5000, 20_001, dtype=torch.float64)  # g / (h c)
    steps = rule.combine(*averages(rule, ratio, torch.ones_like(ratio), None, 0.5), ratio)
    assert float(steps.max()) == pytest.approx(largest, rel=1e-6)
    assert largest < own_bound(beta1, beta2, 10_000)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("n", [0, 3, None])
def test_as_h_falls_it_becomes_the_first_order_law(label, n):
    rule, errors = make(label, 0.6, 0.8), []
    expected = dense_correction(rule, WELLS, THETA, n)
    for h in (2e-4, 1e-4):
        added = ab.correction(rule, WELLS, THETA, h, n=n, memory="resummed") / h
        errors.append(float((added - expected).norm()))
    if label in LINEAR:
        assert max(errors) < 1e-9 * float(expected.norm())
    else:
        assert errors[0] / errors[1] == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("label", LINEAR)
@pytest.mark.parametrize("n", [0, 4, None])
def test_where_phi_is_linear_there_is_nothing_to_resum(label, n):
    rule = make(label)
    for half in (ab.modified_flow, ab.memoryless):
        for losses in (WELLS, [WELLS, ab.losses.double_wells(coupling=2.0)]):
            first, other = (half(rule, losses, 0.3, n=n, memory=m) for m in MEMORIES)
            close(other(THETA), first(THETA), 1e-12)


BATCHES = [ab.losses.bilinear(x=x, y=y) for x, y in ((2.0, 1.5), (1.0, 2.0), (1.5, 0.5))]
PLACE = torch.tensor([1.2, 0.9], dtype=torch.float64)
BATCH_RULES = {
    "adam": rules.adam(beta1=0.6, beta2=0.8, epsilon=0.1),
    "adam_outside": rules.adam(beta1=0.6, beta2=0.8, epsilon=0.1, epsilon_placement="outside"),
    "adamw": rules.adamw(beta1=0.9, beta2=0.97, epsilon=0.1, weight_decay=0.3),
    "nadam": rules.nadam(beta1=0.5, beta2=0.99, epsilon=0.01),
    "rmsprop": rules.rmsprop(beta2=0.9, epsilon=0.1),
    "lion": rules.lion(beta1=0.5, beta2=0.9, epsilon=0.1, weight_decay=0.1),
    "signum": rules.signum(beta1=0.9, epsilon=0.1),
    "heavy_ball": rules.heavy_ball(beta1=0.9),
    "own": own("quartic"),
}
NO_SQUARES = ("lion", "signum", "heavy_ball")


@pytest.mark.parametrize("name", NO_SQUARES)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 41])
def test_with_batches_and_phi_the_identity_it_is_the_plain_double_sum(name, n):
    rule = BATCH_RULES[name]
    plain = minibatch_resummed(rule, BATCHES, PLACE, H, n, 0.5)
    close(resummed(rule, BATCHES, H, n)(PLACE), plain)
    iteration = ab.memoryless(rule, BATCHES, H, n=n, memory="resummed")
    close(iteration(PLACE), minibatch_resummed(rule, BATCHES, PLACE, H, n, 0.0))


def tilted(*curvatures: float) -> list[ab.losses.Loss]:
    """Batches that have the same gradient at 0, but not the same curvature."""
    slope = torch.tensor([1.0, -0.4], dtype=torch.float64)
    shape = torch.tensor([[1.0, 0.3], [0.3, 0.5]], dtype=torch.float64)
    return [lambda x, c=c: slope @ x + c / 2 * x @ shape @ x for c in curvatures]


@pytest.mark.parametrize("name", BATCH_RULES)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 41])
def test_where_the_way_back_is_straight_it_is_the_plain_double_sum(name, n):
    """Equal gradients make every U^(j) the same, so that V_k = (n - k + half) U on the nose."""
    rule, losses, origin = BATCH_RULES[name], tilted(1.0, -2.0, 4.0), torch.zeros(2).double()
    plain = minibatch_resummed(rule, losses, origin, H, n, 0.5)
    close(resummed(rule, losses, H, n)(origin), plain)
    iteration = ab.memoryless(rule, losses, H, n=n, memory="resummed")
    close(iteration(origin), minibatch_resummed(rule, losses, origin, H, n, 0.0))


@pytest.mark.parametrize("name", [name for name in BATCH_RULES if name not in NO_SQUARES])
@pytest.mark.parametrize("n", [1, 4, 30])
def test_elsewhere_it_is_the_double_sum_up_to_the_square_of_h(name, n):
    """The mean way back of each batch is right, and so is the first order; the bend is not."""
    rule, errors = BATCH_RULES[name], []
    for h in (2e-3, 1e-3):
        plain = minibatch_resummed(rule, BATCHES, PLACE, h, n, 0.5)
        errors.append(float((resummed(rule, BATCHES, h, n)(PLACE) - plain).norm()))
    if n < len(BATCHES):
        assert max(errors) < 1e-13, "no batch has come twice"
    else:
        assert errors[1] > 1e-12
        assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize("name", BATCH_RULES)
@pytest.mark.parametrize("n", [0, 4, 30])
def test_with_batches_its_first_order_is_theorem_3_1(name, n):
    rule, errors = BATCH_RULES[name], []
    f0, f1 = minibatch_drift(rule, BATCHES, PLACE, n)
    for h in (2e-5, 1e-5):
        added = (resummed(rule, BATCHES, h, n)(PLACE) - f0) / h
        errors.append(float((added - f1).norm()))
    if name == "heavy_ball":
        assert max(errors) < 1e-8 * float(f1.norm())
    else:
        assert errors[0] / errors[1] == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("n", [50_000, 10**6])
@pytest.mark.parametrize("name", ["adam", "signum", "own"])
def test_once_settled_a_batch_flow_recurs(name, n):
    flow = resummed(BATCH_RULES[name], BATCHES, H)
    close(flow(PLACE, n), flow(PLACE, n + 3 * 1000), 1e-12)
    assert (flow(PLACE, n) - flow(PLACE, n + 1)).norm() > 1e-5


def test_with_a_phi_of_its_own_the_order_is_two():
    start = torch.tensor([1.6, 0.7, -1.2], dtype=torch.float64)
    report = ab.observed_order(own("cube", 0.3, 0.5), WELLS, start, 0.2, [0.01, 0.005, 0.0025])
    for name in ("modified", "resummed", "moment"):
        assert getattr(report, name) == pytest.approx(2, abs=0.15), name


def test_beyond_small_steps_it_stays_near_adam_where_the_first_order_law_does_not():
    """The bilinear model with memory of a hundred steps, h as large as sqrt(epsilon)."""
    rule, loss = rules.adam(beta1=0.9, beta2=0.99, epsilon=1e-4), ab.losses.bilinear()
    start, h, n_steps = torch.tensor([2.8, 3.5], dtype=torch.float64), 0.01, 200
    path = ab.iterate(rule, loss, start, h, n_steps)
    first, other = (
        (ab.integrate(ab.modified_flow(rule, loss, h, memory=m), start, h, n_steps) - path)
        for m in MEMORIES
    )
    assert other.norm(dim=-1).max() < first.norm(dim=-1).max() / 5


@pytest.mark.parametrize("make_law", [ab.modified_flow, ab.memoryless])
def test_an_unknown_memory_is_refused(make_law):
    for call in (
        lambda: make_law(rules.adam(), WELLS, H, memory="resumed"),
        lambda: ab.correction(rules.adam(), WELLS, THETA, H, memory="resumed"),
    ):
        with pytest.raises(ConfigError, match=r"^memory = 'resumed': .*resummed") as error:
            call()
        assert "\n" not in str(error.value)


def test_decays_per_trajectory_go_with_squares_but_not_with_a_phi_of_ones_own():
    pair = torch.tensor([[0.0], [0.9]], dtype=torch.float64)
    rows = THETA.repeat(2, 1)
    both = resummed(make("adam", pair, pair / 2), WELLS, H)(rows, 5)
    single = [resummed(make("adam", b, b / 2), WELLS, H)(THETA, 5) for b in (0.0, 0.9)]
    close(both, torch.stack(single))
    with pytest.raises(ConfigError, match=r"^decay = 'a tensor': must be a number") as error:
        resummed(own("cube", beta2=pair), WELLS, H)
    assert "\n" not in str(error.value)
