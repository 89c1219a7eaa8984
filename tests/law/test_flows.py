"""The law against dense transcriptions, closed forms and the plain mini-batch sum."""

import pytest
import torch
from plain import dense_correction, hessian, labelled_rule, minibatch_drift
from torch import Tensor
from torch.func import grad

import adambias as ab
from adambias.core.errors import ConfigError
from adambias.core.registry import RULES
from adambias.law import cyclic, minibatch, rules
from adambias.law.derivatives import gradient
from adambias.law.flows import MEMORIES
from adambias.law.memory import mean_age

WELLS = ab.losses.double_wells()
THETA = torch.tensor([1.9, 0.4, -1.5, 0.3, 1.6], dtype=torch.float64)
H = 0.01


def close(actual: Tensor, expected: Tensor) -> None:
    """Equal to 1e-10 relative."""
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10 * float(expected.norm()))


@pytest.mark.parametrize("name", [*RULES.names, "adam_outside"])
@pytest.mark.parametrize("n", [0, 1, 7, None])
def test_the_law_with_dense_jacobians(name, n):
    rule = labelled_rule(name, 0.8, 0.95)
    close(ab.correction(rule, WELLS, THETA, H, n=n), H * dense_correction(rule, WELLS, THETA, n))


@pytest.mark.parametrize("name", ["rmsprop", "adam", "adamw", "nadam"])
@pytest.mark.parametrize("n", [0, 7, None])
def test_with_epsilon_outside_a_gradient_of_exactly_zero_is_the_limit_of_small_ones(name, n):
    rule = rules.make_rule(name, beta1=0.3, beta2=0.6, epsilon=0.01, epsilon_placement="outside")
    loss = ab.losses.bilinear()
    # At (0, 1) the second component of the gradient is exactly zero, and its slope is not.
    for place in (0.0, 1e-12, -1e-12):
        theta = torch.tensor([place, 1.0], dtype=torch.float64)
        found = ab.correction(rule, loss, theta, H, n=n)
        if place == 0:
            assert gradient(loss, theta)[1] == 0
            exact = found
        torch.testing.assert_close(found, exact, rtol=1e-8, atol=0)
    assert exact[1] != 0
    start = torch.tensor([0.0, 1.0], dtype=torch.float64)
    path = ab.integrate(ab.modified_flow(rule, loss, H), start, H, 5)
    assert torch.isfinite(path).all()


def test_a_root_passes_numbers_that_are_not_finite_on():
    rule = rules.adam(epsilon_placement="outside")
    one = torch.ones(3)
    assert rule.combine(one, torch.tensor([torch.nan, torch.inf, -1.0]), one).isnan().tolist() == [
        True,
        False,
        True,
    ]


def bias_of_adam(beta1: float, beta2: float, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """The law's bias of (2.2), the gradient, and the gradient of the perturbed one-norm."""
    rule = rules.adam(beta1=beta1, beta2=beta2, epsilon=epsilon)
    g = gradient(WELLS, THETA)
    bias = -ab.correction(rule, WELLS, THETA, H) * (g**2 + epsilon).sqrt()
    return bias, g, grad(lambda v: ab.perturbed_one_norm(grad(WELLS)(v), epsilon))(THETA)


@pytest.mark.parametrize(("beta1", "beta2"), [(0.9, 0.5), (0.3, 0.95), (0.0, 0.9), (0.7, 0.7)])
@pytest.mark.parametrize("epsilon", [1e-4, 0.1, 100.0])
def test_equations_2_2_and_2_3(beta1, beta2, epsilon):
    bias, g, norm_gradient = bias_of_adam(beta1, beta2, epsilon)
    first, second = (1 + beta1) / (1 - beta1), (1 + beta2) / (1 - beta2)
    close(bias, H / 2 * (first - second + second * epsilon / (g**2 + epsilon)) * norm_gradient)
    rule = rules.adam(beta1=beta1, beta2=beta2, epsilon=epsilon)
    drift = ab.modified_flow(rule, WELLS, H, n=None)(THETA)
    close(drift, -(g + bias) / (g**2 + epsilon).sqrt())


def test_equation_2_4_and_2_5_for_small_epsilon():
    bias, g, norm_gradient = bias_of_adam(0.9, 0.5, epsilon=1e-14)
    close(bias, H / 2 * (19.0 - 3.0) * norm_gradient)
    penalised = grad(
        lambda v: WELLS(v) + H / 2 * 16.0 * ab.perturbed_one_norm(grad(WELLS)(v), 1e-14)
    )(THETA)
    close(g + bias, penalised)


def test_equations_2_6_and_2_7_for_large_epsilon():
    epsilon = 1e13
    bias, g, norm_gradient = bias_of_adam(0.9, 0.5, epsilon)
    close(bias, H / 2 * 19.0 * norm_gradient)
    squared = grad(lambda v: grad(WELLS)(v).square().sum())(THETA)
    close(bias, H / (4 * epsilon**0.5) * 19.0 * squared)
    rule = rules.adam(beta1=0.9, beta2=0.5, epsilon=epsilon)
    drift = ab.modified_flow(rule, WELLS, H, n=None)(THETA)
    close(drift, -(g + H / (4 * epsilon**0.5) * 19.0 * squared) / epsilon**0.5)


def test_example_2_3_heavy_ball_and_barrett_and_dherin():
    g, second = grad(WELLS)(THETA), hessian(WELLS)(THETA)
    for beta1 in (0.0, 0.8):
        penalised = g + H / 2 * (1 + beta1) / (1 - beta1) * second @ g
        flow = ab.modified_flow(rules.heavy_ball(beta1=beta1), WELLS, H, n=None)
        close(flow(THETA), -penalised)
    flow = ab.modified_flow(rules.gradient_descent(), WELLS, H)
    close(flow(THETA, 3), -grad(lambda v: WELLS(v) + H / 4 * grad(WELLS)(v).square().sum())(THETA))


@pytest.mark.parametrize("n", [0, 5, None])
def test_rmsprop_is_adam_without_memory_of_the_gradient(n):
    pair = rules.rmsprop(beta2=0.9, epsilon=0.1), rules.adam(beta1=0.0, beta2=0.9, epsilon=0.1)
    close(*(ab.correction(rule, WELLS, THETA, H, n=n) for rule in pair))


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9, 0.999, 0.999999])
@pytest.mark.parametrize("n", [0, 1, 10, 1000])
def test_mean_age_is_the_weighted_age_of_the_memory(decay, n):
    k = torch.arange(n + 1, dtype=torch.float64)
    weights = decay**k / (decay**k).sum()
    assert mean_age(decay, n) == pytest.approx(float((weights * k).sum()), abs=1e-9 * (n + 1))


def test_the_memoryless_iteration_keeps_only_memory():
    rule = rules.adamw(beta1=0.8, beta2=0.9, epsilon=0.1, weight_decay=0.2)
    free = rules.adamw(beta1=0.0, beta2=0.0, epsilon=0.1, weight_decay=0.2)
    expected = dense_correction(rule, WELLS, THETA, 4) - dense_correction(free, WELLS, THETA, 4)
    step = ab.integrate(ab.memoryless(rule, WELLS, H, n=4), THETA, H, 1)[1] - THETA
    base = ab.leading_order_flow(rule, WELLS)(THETA)
    close(step - H * base, H**2 * expected)


BATCHES = [
    ab.losses.bilinear(x=x, y=y) for x, y in ((2.0, 1.5), (1.0, 2.0), (1.5, 0.5), (0.7, 1.0))
]
PLACE = torch.tensor([1.2, 0.9], dtype=torch.float64)


@pytest.mark.parametrize(
    "rule",
    [
        rules.adam(beta1=0.6, beta2=0.8, epsilon=0.1),
        rules.adamw(beta1=0.9, beta2=0.97, epsilon=0.1, weight_decay=0.3),
        rules.nadam(beta1=0.5, beta2=0.99, epsilon=0.01),
        rules.lion(beta1=0.5, beta2=0.9, epsilon=0.1, weight_decay=0.1),
        rules.heavy_ball(beta1=0.9),
        rules.gradient_descent(),
    ],
    ids=lambda rule: rule.name,
)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 41, 150])
def test_minibatch_drift_equals_the_plain_sum(rule, n):
    f0, f1 = minibatch_drift(rule, BATCHES[:3], PLACE, n)
    close(ab.leading_order_flow(rule, BATCHES[:3])(PLACE, n), f0)
    close(ab.correction(rule, BATCHES[:3], PLACE, 1.0, n=n), f1)


@pytest.mark.parametrize("n", [200, 777, 3000, 20_000, 60_000])
def test_interpolated_memory_equals_the_plain_sum(n):
    rule = rules.adam(beta1=0.9, beta2=0.999, epsilon=0.01)
    grads = torch.stack([grad(loss)(PLACE) for loss in BATCHES])
    weights = [cyclic._weights(torch.arange(n + 1).numpy(), d, 4) for d in rule.decays]
    first, second = (
        torch.from_numpy(w) @ f for w, f in zip(weights, (grads, grads**2), strict=True)
    )
    directions = rule.combine(first, second, PLACE)
    reached = cyclic.past_weights(n, rule.decays, 4)
    for index, d in enumerate(rule.decays):
        age = n - torch.arange(n + 1, dtype=torch.float64)
        w = d**age * (1 - d) / (1 - d ** (n + 1))
        since = directions[:-1].flip(0).cumsum(0).flip(0)
        for batch in range(4):
            plain = (w[:-1, None] * since)[batch::4].sum(0)
            ours = reached.coefficients[index, batch] @ directions[reached.steps]
            torch.testing.assert_close(ours, plain, rtol=1e-9, atol=0)


def linear(*slopes: tuple[float, ...]) -> list[ab.losses.Loss]:
    """Losses of constant gradient and unequal curvature at zero."""

    def one(curvature: float, slope: Tensor) -> ab.losses.Loss:
        return lambda theta: slope @ theta + curvature * theta @ theta / 2

    return [one(1.0 + k, torch.tensor(slope).double()) for k, slope in enumerate(slopes)]


def memory_terms(rule, losses, theta, n):
    """How far back each moment looks to each batch, and over how many steps U was evaluated."""
    batches = minibatch.Batches(rule, losses, theta, n, derivatives=False)
    return batches._displacements(0.0), len(batches._past()[0].steps)


@pytest.mark.parametrize(
    "rule",
    [
        rules.signum(beta1=0.99),
        rules.signum(beta1=0.999, epsilon=1e-12),
        rules.lion(beta1=0.5, beta2=0.997),
        rules.adam(beta1=0.99, beta2=0.0),
    ],
    ids=["signum", "sharp signum", "lion", "adam"],
)
@pytest.mark.parametrize("n", [100, 151, 1000, 9000])
def test_a_moment_that_crosses_zero_is_followed_as_the_plain_sum_does(monkeypatch, rule, n):
    losses = linear((1.0, 1.0, 1.0), (-1.025, -1.003, -1.0003))
    origin = torch.zeros(3).double()
    found, nodes = memory_terms(rule, losses, origin, n)
    cyclic.past_weights.cache_clear()
    monkeypatch.setattr(cyclic, "EXACT_CYCLES", 10**9)
    plain, steps = memory_terms(rule, losses, origin, n)
    cyclic.past_weights.cache_clear()
    assert nodes <= min(steps, 1000)
    torch.testing.assert_close(found, plain, rtol=0, atol=1e-11 * float(plain.abs().max()))


def test_the_correction_of_signum_follows_a_crossing():
    rule, losses = rules.signum(beta1=0.99), linear((1.0,), (-1.025,))
    _, f1 = minibatch_drift(rule, losses, torch.zeros(1).double(), 100)
    close(ab.correction(rule, losses, torch.zeros(1).double(), 1.0, n=100), f1)
    rows = torch.tensor([[0.0], [0.001], [-0.01]]).double()
    each = torch.stack([ab.correction(rule, losses, row, 1.0, n=100) for row in rows])
    close(ab.correction(rule, losses, rows, 1.0, n=100), each)


@pytest.mark.parametrize("rule", [rules.adam(beta2=0.99), rules.signum(beta1=0.9), rules.lion()])
def test_once_settled_the_drift_is_that_of_the_step_that_stands_for_all(rule):
    settled = cyclic.settled_step(rule.decays, 3)
    for n in (settled, settled + 1, settled + 5, settled * 7 + 2):
        stands = cyclic.recurring_step(n, rule.decays, 3)
        assert settled <= stands < settled + 3
        assert (n - stands) % 3 == 0
        one, other = (cyclic.past_weights(step, rule.decays, 3) for step in (n, stands))
        assert torch.equal(one.coefficients, other.coefficients)
        assert torch.equal(one.node_weights, other.node_weights)
        assert torch.equal(*(cyclic.weights(step, rule.decays, 3) for step in (n, stands)))


def test_the_weights_of_the_past_are_the_same_to_the_last_bit():
    first, second = (cyclic.past_weights.__wrapped__(5000, (0.9, 0.999), 3) for _ in range(2))
    assert torch.equal(first.coefficients, second.coefficients)


def test_the_leading_order_flow_needs_no_past(monkeypatch):
    monkeypatch.setattr(cyclic, "past_weights", None)
    flow = ab.leading_order_flow(rules.adam(beta2=0.99), BATCHES)
    assert torch.isfinite(flow(PLACE, 1000)).all()


def test_a_settled_flow_looks_the_past_up():
    flow = ab.modified_flow(rules.adam(beta2=0.99), BATCHES[:3], H)
    cyclic.past_weights.cache_clear()
    for n in range(10**6, 10**6 + 30):
        flow(PLACE, n)
    assert cyclic.past_weights.cache_info().misses == 3


def test_minibatch_cost_does_not_grow_with_n():
    for decays, settled in (((0.9, 0.99), 20_000), ((0.9, 0.999), 200_000)):
        nodes = [len(cyclic.past_weights(n, decays, 3).steps) for n in (100, 2000, 5000, 30_000)]
        assert max(nodes) < 600
        assert len(cyclic.past_weights(settled, decays, 3).steps) == 3


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("n", [2, 60, 5000, 10**6])
def test_each_batch_is_differentiated_once_per_drift_whatever_n(n, memory):
    calls = [0, 0, 0]

    def counted(batch):
        def loss(theta):
            calls[batch] += 1
            return BATCHES[batch](theta)

        return loss

    rule = rules.adam(beta1=0.9, beta2=0.99, epsilon=0.01)
    flow = ab.modified_flow(rule, [counted(batch) for batch in range(3)], H, memory=memory)
    assert torch.isfinite(flow(PLACE, n)).all()
    assert calls == [1, 1, 1]


class _Counted(torch.autograd.Function):
    """The identity, counting its gradient and the gradient of its gradient."""

    counts: dict[str, int] = {"loss": 0, "gradient": 0, "second": 0}  # noqa: RUF012
    generate_vmap_rule = True

    @staticmethod
    def forward(theta):
        return theta.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, cotangent):
        _Counted.counts["gradient"] += 1
        return _CountedBack.apply(cotangent)


class _CountedBack(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(cotangent):
        return cotangent.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, cotangent):
        _Counted.counts["second"] += 1
        return cotangent.clone()


def counted_wells(theta):
    _Counted.counts["loss"] += 1
    return WELLS(_Counted.apply(theta))


# The Hessian-vector product passes once more through the gradient's own backward.
ONE_AND_A_PRODUCT = {"loss": 1, "gradient": 2, "second": 1}
TWO_GRADIENTS = {"loss": 2, "gradient": 2, "second": 0}


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("name", RULES.names)
def test_one_gradient_and_one_hessian_product_per_drift(name, memory):
    flow = ab.modified_flow(rules.make_rule(name), counted_wells, H, memory=memory)
    _Counted.counts = {"loss": 0, "gradient": 0, "second": 0}
    flow(THETA, 3)
    assert _Counted.counts == ONE_AND_A_PRODUCT


@pytest.mark.parametrize(
    ("form", "counts"), [("gradient", TWO_GRADIENTS), ("hessian", ONE_AND_A_PRODUCT)]
)
@pytest.mark.parametrize("name", RULES.names)
def test_the_moment_flow_costs_two_gradients_or_one_and_a_product(name, form, counts):
    flow = ab.moment_flow(rules.make_rule(name), counted_wells, H, form)
    state = flow.start(THETA)
    _Counted.counts = {"loss": 0, "gradient": 0, "second": 0}
    flow.velocity(state)
    assert _Counted.counts == counts


def test_flows_refuse_what_the_law_does_not_cover():
    raw = rules.adam(bias_correction=False)
    for make in (
        lambda: ab.leading_order_flow(raw, WELLS),
        lambda: ab.modified_flow(raw, WELLS, H),
        lambda: ab.memoryless(raw, WELLS, H),
        lambda: ab.correction(raw, WELLS, THETA, H),
    ):
        with pytest.raises(ConfigError, match="bias_correction = False"):
            make()
    adam = rules.adam()
    with pytest.raises(ConfigError, match="h = -1"):
        ab.modified_flow(adam, WELLS, -1.0)
    with pytest.raises(ConfigError, match="must be an integer for mini-batches"):
        ab.correction(adam, [WELLS, WELLS], THETA, H)
    with pytest.raises(ConfigError, match="a function, or a list of functions"):
        ab.leading_order_flow(adam, [])
    with pytest.raises(ConfigError, match="must be an UpdateRule"):
        ab.leading_order_flow("adam", WELLS)
    tensors = rules.adam(beta1=torch.tensor([[0.5]]))
    with pytest.raises(ConfigError, match="must be a number for mini-batches"):
        ab.modified_flow(tensors, [WELLS, WELLS], H)
