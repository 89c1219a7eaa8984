"""Properties of the law that hold for all inputs."""

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

import adambias as ab
from adambias.core.registry import RULES
from adambias.law import rules
from adambias.law.derivatives import gradient
from adambias.law.flows import MEMORIES
from adambias.law.moment_flow import FORMS

settings.register_profile("law", max_examples=25, deadline=None, derandomize=True)
settings.load_profile("law")

decays = st.floats(0.0, 0.99)
steps = st.one_of(st.none(), st.integers(0, 200))
names = st.sampled_from(RULES.names)
memories = st.sampled_from(MEMORIES)
forms = st.sampled_from(FORMS)
places = st.lists(st.floats(-2, 2), min_size=4, max_size=4).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


def close(actual: Tensor, expected: Tensor, rtol: float = 1e-9) -> None:
    scale = max(1e-9, float(expected.abs().max()))
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=rtol * scale)


def weighted(weights: Tensor) -> ab.losses.Loss:
    """A loss whose coordinates differ."""
    return lambda theta: (weights * (theta**2 - 1) ** 2).sum() + 0.3 * (theta.sum() ** 2) / 2


def make(name: str, beta1: float, beta2: float) -> ab.UpdateRule:
    return rules.make_rule(name, beta1=beta1, beta2=beta2, epsilon=0.05, weight_decay=0.1)


@given(names, decays, decays, places, st.permutations(range(4)), steps, memories)
def test_permuting_coordinates_permutes_the_flow(name, beta1, beta2, theta, order, n, memory):
    rule, weights = make(name, beta1, beta2), torch.tensor([0.2, 0.5, 1.0, 1.4]).double()
    index = torch.tensor(order)
    flow, permuted = (
        ab.modified_flow(rule, weighted(each), 0.1, n=n, memory=memory)
        for each in (weights, weights[index])
    )
    close(permuted(theta[index]), flow(theta)[index])


@given(names, decays, decays, places, st.permutations(range(4)), forms)
def test_permuting_coordinates_permutes_the_moment_flow(name, beta1, beta2, theta, order, form):
    rule, weights = make(name, beta1, beta2), torch.tensor([0.2, 0.5, 1.0, 1.4]).double()
    index = torch.tensor(order)
    flow, permuted = (
        ab.moment_flow(rule, weighted(each), 0.1, form) for each in (weights, weights[index])
    )
    slopes = flow.velocity(flow.start(theta))
    for one, other in zip(permuted.velocity(permuted.start(theta[index])), slopes, strict=True):
        close(one, other[index] if other.ndim else other)


@given(decays, decays, places, steps, memories)
def test_large_epsilon_recovers_heavy_ball(beta1, beta2, theta, n, memory):
    epsilon, h = 1e14, 0.01
    loss = ab.losses.double_wells()
    adam = rules.adam(beta1=beta1, beta2=beta2, epsilon=epsilon)
    ball = ab.modified_flow(rules.heavy_ball(beta1=beta1), loss, h, n=n, memory=memory)
    scaled = ab.modified_flow(adam, loss, h * epsilon**0.5, n=n, memory=memory)
    close(scaled(theta) * epsilon**0.5, ball(theta), rtol=1e-7)


@given(decays, decays, places, forms)
def test_large_epsilon_makes_the_moment_flow_heavy_balls(beta1, beta2, theta, form):
    epsilon, h, loss = 1e14, 0.01, ab.losses.double_wells()
    adam = rules.adam(beta1=beta1, beta2=beta2, epsilon=epsilon)
    ball = ab.moment_flow(rules.heavy_ball(beta1=beta1), loss, h, form)
    scaled = ab.moment_flow(adam, loss, h * epsilon**0.5, form)
    one, other = (flow.velocity(flow.start(theta))[0] for flow in (scaled, ball))
    close(one * epsilon**0.5, other, rtol=1e-7)


@given(places, steps, memories)
def test_decays_of_zero_forget(theta, n, memory):
    loss, h = ab.losses.double_wells(), 0.01
    descent = ab.modified_flow(rules.gradient_descent(), loss, h, memory=memory)(theta)
    for rule in (rules.heavy_ball(beta1=0.0), rules.nesterov(beta1=0.0)):
        close(ab.modified_flow(rule, loss, h, n=n, memory=memory)(theta), descent)
    g = gradient(loss, theta)
    assume(float(g.abs().min()) > 1e-3)
    for name in ("adam", "nadam", "rmsprop", "signum", "lion"):
        sharp = rules.make_rule(name, beta1=0.0, beta2=0.0, epsilon=1e-16)
        close(-ab.leading_order_flow(sharp, loss)(theta), g.sign())
        rule = rules.make_rule(name, beta1=0.0, beta2=0.0, epsilon=0.05)
        close(
            ab.correction(rule, loss, theta, h, n=n, memory=memory),
            ab.correction(rules.signum(beta1=0.0, epsilon=0.05), loss, theta, h, memory=memory),
            rtol=1e-8,
        )


@given(names, decays, decays, places, steps)
def test_the_correction_is_linear_in_h_and_vanishes_at_zero(name, beta1, beta2, theta, n):
    rule, loss = make(name, beta1, beta2), ab.losses.double_wells()
    for memory in MEMORIES:
        still = ab.correction(rule, loss, theta, 0.0, n=n, memory=memory)
        assert float(still.abs().max()) < 1e-14
    one, two = (ab.correction(rule, loss, theta, h, n=n) for h in (0.01, 0.02))
    close(two, 2 * one)
    leading, modified = ab.leading_order_flow(rule, loss), ab.modified_flow(rule, loss, 0.01, n=n)
    close(modified(theta) - leading(theta), one, rtol=1e-7)


@given(names, decays, decays, places, st.integers(0, 60), st.integers(1, 4), memories)
def test_identical_batches_are_the_full_batch(name, beta1, beta2, theta, n, batches, memory):
    rule, loss = make(name, beta1, beta2), ab.losses.double_wells()
    full, cut = (
        ab.correction(rule, each, theta, 0.01, n=n, memory=memory)
        for each in (loss, [loss] * batches)
    )
    close(cut, full, rtol=1e-8)
    leading = ab.leading_order_flow(rule, [loss] * batches)(theta, n)
    close(leading, ab.leading_order_flow(rule, loss)(theta, n))


@given(names, decays, decays, places, memories, forms)
def test_a_batch_of_trajectories_is_one_each(name, beta1, beta2, theta, memory, form):
    rule, loss = make(name, beta1, beta2), ab.losses.double_wells()
    rows = torch.stack([theta, theta.flip(0), theta + 0.5])
    flow = ab.modified_flow(rule, loss, 0.1, memory=memory)
    close(flow(rows, 3), torch.stack([flow(row, 3) for row in rows]))
    joint = ab.moment_flow(rule, loss, 0.1, form)
    slopes = joint.velocity(joint.start(rows))
    each = zip(*(joint.velocity(joint.start(row)) for row in rows), strict=True)
    for together, apart in zip(slopes, each, strict=True):
        close(together, torch.stack(apart) if together.ndim else apart[0])
