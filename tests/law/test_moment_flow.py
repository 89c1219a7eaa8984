"""The moment flow against matrix exponentials, the rules' own paths, and its limits."""

import math

import numpy as np
import pytest
import torch
from plain import dense_correction, hessian, labelled_rule
from scipy.linalg import expm
from torch import Tensor
from torch.func import grad, jacrev

import adambias as ab
from adambias.core.errors import ConfigError
from adambias.core.registry import RULES
from adambias.law import rules
from adambias.law.integration import DivergenceWarning
from adambias.law.moment_flow import _LARGEST_RATE, FORMS, MomentFlow
from adambias.law.rules import identity

WELLS = ab.losses.double_wells()
THETA = torch.tensor([1.9, 0.4, -1.5, 0.3, 1.6], dtype=torch.float64)
LABELS = [*RULES.names, "adam_outside"]
CURVATURE = np.array([[2.0, 0.6, -0.3], [0.6, 1.1, 0.4], [-0.3, 0.4, 0.7]])
START = np.array([1.0, -2.0, 0.5])


def make(label: str, beta1=0.6, beta2=0.8) -> ab.UpdateRule:
    return labelled_rule(label, beta1, beta2)


def close(actual: Tensor, expected: Tensor, rtol: float = 1e-10) -> None:
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=rtol * float(expected.abs().max()))


def bowl(theta: Tensor) -> Tensor:
    return theta @ torch.from_numpy(CURVATURE) @ theta / 2


def along(flow: MomentFlow, theta: Tensor, n_steps: int, **options) -> Tensor:
    """theta, then the moments, side by side: shape (n_steps + 1, ..., (1 + moments) p)."""
    run = ab.integrate(flow, theta, flow.h, n_steps, return_info=True, moments=True, **options)
    return torch.cat([run[0], *run[1].moments], dim=-1)


def law_of_heavy_ball(d: float, h: float, c: float) -> np.ndarray:
    """The matrix of (theta, m)' where the correction is c, for the gradient CURVATURE theta."""
    eye, a, rate = np.eye(3), 1 + d * math.log(d) / (1 - d), -math.log(d) / h
    scale = c + a * (1 - c)
    drift = np.hstack([-a / scale * CURVATURE, -(1 - a) / scale * eye])
    place, moment = np.hstack([eye, 0 * eye]), np.hstack([0 * eye, eye])
    half_back = CURVATURE @ (place - h / 2 * drift)
    velocity = -((1 - a) * moment + a * half_back) / scale
    return np.vstack([velocity, rate * (half_back - moment)])


def magnus(d: float, h: float, n: int, pieces: int = 40) -> np.ndarray:
    """The propagator over [nh, (n+1)h], where c = 1 - d^(t/h), by Magnus' series to order four."""
    product, dt = np.eye(6), h / pieces
    for start in n * h + dt * np.arange(pieces):
        first, second = (
            law_of_heavy_ball(d, h, 1 - d ** ((start + dt * node) / h))
            for node in (0.5 - 3**0.5 / 6, 0.5 + 3**0.5 / 6)
        )
        bracket = second @ first - first @ second
        product = expm(dt / 2 * (first + second) + 3**0.5 / 12 * dt**2 * bracket) @ product
    return product


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("d", "h"), [(0.5, 0.1), (0.9, 0.2), (0.98, 0.1)])
def test_heavy_ball_on_a_quadratic_is_a_product_of_matrix_exponentials(d, h, form):
    flow = ab.moment_flow(rules.heavy_ball(beta1=d), bowl, h, form)
    found = along(flow, torch.from_numpy(START), 12, method="dop853").numpy()
    first = START - h * CURVATURE @ START
    eighth = START + (first - START) / 8
    state = np.hstack([first, (1 - d) * CURVATURE @ eighth])
    for n in range(1, 13):
        expected = np.hstack([state[:3], state[3:] / (1 - d**n)])
        np.testing.assert_allclose(found[n], expected, rtol=0, atol=1e-8)
        state = magnus(d, h, n) @ state


def test_once_the_correction_has_settled_a_step_is_one_matrix_exponential():
    d, h = 0.2, 0.2
    flow = ab.moment_flow(rules.heavy_ball(beta1=d), bowl, h)
    found = along(flow, torch.from_numpy(START), 30, method="dop853").numpy()
    settled = expm(h * law_of_heavy_ball(d, h, 1.0))
    for n in range(24, 30):
        tolerance = 1e-8 * np.abs(found[n]).max()
        np.testing.assert_allclose(found[n + 1], settled @ found[n], rtol=0, atol=tolerance)


def heavy_ball_iterates(d: float, h: float, n_steps: int) -> np.ndarray:
    """theta^(0), theta^(1), ... by a product of the iteration's own matrices."""
    eye, state = np.eye(3), np.hstack([START, np.zeros(3)])
    path = [START]
    for n in range(n_steps):
        moment = np.hstack([(1 - d) * CURVATURE, d * eye])
        place = np.hstack([eye, 0 * eye]) - h / (1 - d ** (n + 1)) * moment
        state = np.vstack([place, moment]) @ state
        path.append(state[:3])
    return np.stack(path)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("decay", [lambda h: 0.5, lambda h: 0.8, lambda h: 1 - 5 * h])
def test_its_distance_to_heavy_ball_falls_as_the_square_of_h(decay, form):
    """Whether the memory is of a fixed number of steps or of a fixed time."""
    errors, step_sizes = [], (0.0125, 0.00625, 0.003125)
    for h in step_sizes:
        flow = ab.moment_flow(rules.heavy_ball(beta1=decay(h)), bowl, h, form)
        path = ab.integrate(flow, torch.from_numpy(START), h, round(0.5 / h)).numpy()
        errors.append(np.abs(path - heavy_ball_iterates(decay(h), h, round(0.5 / h))).max())
    order = np.polyfit(np.log(step_sizes), np.log(errors), 1)[0]
    assert order == pytest.approx(2, abs=0.1)


def test_along_growing_memory_it_converges_where_the_other_laws_do_not():
    """1 - beta1 = 5 h and 1 - beta2 = 2 h: the memory keeps its length in time."""
    errors, step_sizes = [], (0.005, 0.0025)
    for h in step_sizes:
        rule, n_steps = make("adam", 1 - 5 * h, 1 - 2 * h), round(0.3 / h)
        path = ab.iterate(rule, WELLS, THETA, h, n_steps)
        flows = [ab.moment_flow(rule, WELLS, h)]
        flows += [ab.modified_flow(rule, WELLS, h, memory=m) for m in ("first_order", "resummed")]
        runs = [ab.integrate(flow, THETA, h, n_steps) for flow in flows]
        errors.append([float((run - path).abs().max()) for run in runs])
    moment, first, resummed = np.polyfit(np.log(step_sizes), np.log(errors), 1)[0]
    assert moment == pytest.approx(2, abs=0.15)
    assert max(first, resummed) < 0.5


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("label", LABELS)
def test_with_settled_moments_it_is_the_modified_flow_of_large_n(label, form):
    """On the slow manifold m lags by h/2 + 1/kappa; then theta' is f0 + h f1 up to h squared."""
    rule, errors = make(label), []
    g, second = grad(WELLS)(THETA), hessian(WELLS)(THETA)
    f0 = -rule.combine(*(moment.phi(g) for moment in rule.moments), THETA)
    f1 = dense_correction(rule, WELLS, THETA, None)
    for h in (2e-4, 1e-4):
        moments, corrections = [], []
        for moment in rule.moments:
            if moment.decay:
                lag = h * (0.5 - 1 / math.log(moment.decay))
                past = jacrev(moment.phi)(g) @ (second @ f0)
                moments.append(moment.phi(g) - lag * past)
                corrections.append(torch.tensor(1.0, dtype=torch.float64))
        flow = ab.moment_flow(rule, WELLS, h, form)
        slopes = flow.velocity((THETA, *moments, *corrections))
        errors.append(float((slopes[0] - f0 - h * f1).norm()))
        assert len(slopes) == 1 + 2 * len(moments)
        assert not any(each.any() for each in slopes[1 + len(moments) :])
    if label != "gradient_descent" or form != "hessian":  # which is f0 + h f1
        assert errors[0] / errors[1] == pytest.approx(4, abs=0.1)
    assert errors[0] < 0.05 * 2e-4 * float(f1.norm())


@pytest.mark.parametrize("label", LABELS)
def test_it_begins_with_the_rules_own_step_and_an_eighth_of_the_next_feature(label):
    rule = make(label)
    path, info = ab.iterate(rule, WELLS, THETA, 0.05, 1, return_info=True, moments=True)
    flow = ab.moment_flow(rule, WELLS, 0.05)
    found, ours = ab.integrate(flow, THETA, 0.05, 1, return_info=True, moments=True)
    close(found, path, 1e-14)
    remembered = [moment for moment in rule.moments if moment.decay]
    assert len(ours.moments) == len(info.moments) == len(remembered)
    gradients = [grad(WELLS)(place) for place in path]
    for moment, one, other in zip(remembered, ours.moments, info.moments, strict=True):
        assert one[0].isnan().all()
        assert other[0].isnan().all()
        now, following = map(moment.phi, gradients)
        close(other[1], now, 1e-14)
        close(one[1], (7 * now + following) / 8, 1e-13)


@pytest.mark.parametrize("label", ["nesterov", "nadam", "adam_outside", "lion"])
def test_the_moments_are_the_rules_to_first_order_in_h(label):
    rule, errors = make(label), []
    for h in (0.01, 0.005):
        rows = round(0.2 / h)
        _, info = ab.iterate(rule, WELLS, THETA, h, rows, return_info=True, moments=True)
        flow = ab.moment_flow(rule, WELLS, h)
        _, ours = ab.integrate(flow, THETA, h, rows, return_info=True, moments=True)
        pairs = zip(ours.moments, info.moments, strict=True)
        errors.append([float((one - other)[1:].abs().max()) for one, other in pairs])
    assert len(errors[0]) == sum(d != 0 for d in rule.decays)
    for coarse, fine in zip(*errors, strict=True):
        assert 1.7 < coarse / fine < 4.3


def test_without_a_step_there_are_moments_of_one_row():
    flow = ab.moment_flow(make("adam"), WELLS, 0.01)
    for run in (
        ab.iterate(make("adam"), WELLS, THETA, 0.01, 0, return_info=True, moments=True),
        ab.integrate(flow, THETA, 0.01, 0, return_info=True, moments=True),
    ):
        assert [each.shape for each in run[1].moments] == [(1, 5), (1, 5)]
        assert all(each.isnan().all() for each in run[1].moments)


def test_only_the_rows_asked_for_keep_their_moments():
    flow = ab.moment_flow(make("adam"), WELLS, 0.01)
    full = along(flow, THETA, 12)
    torch.testing.assert_close(along(flow, THETA, 12, every=4), full[::4], equal_nan=True)
    path = ab.integrate(flow, THETA, 0.01, 12, every=4)
    torch.testing.assert_close(path, full[::4, :5])


@pytest.mark.parametrize("form", FORMS)
def test_gradient_descent_has_theta_alone_for_its_state(form):
    """theta' = -g(theta + h g / 2), on a quadratic -A (1 + h A / 2) theta."""
    h, flow = 0.2, ab.moment_flow(rules.gradient_descent(), bowl, 0.2, form)
    state = flow.start(torch.from_numpy(START))
    assert len(state) == 1
    path = ab.integrate(flow, torch.from_numpy(START), h, 10, method="dop853").numpy()
    step = expm(-h * CURVATURE @ (np.eye(3) + h / 2 * CURVATURE))
    first = START - h * CURVATURE @ START
    for n in range(1, 11):
        expected = np.linalg.matrix_power(step, n - 1) @ first
        np.testing.assert_allclose(path[n], expected, rtol=0, atol=1e-9)
    _, info = ab.integrate(flow, torch.from_numpy(START), h, 3, return_info=True, moments=True)
    assert info.moments == ()


@pytest.mark.parametrize("label", ["heavy_ball", "nadam"])
def test_a_decay_that_goes_to_zero_becomes_a_moment_without_memory(label):
    """As the rule itself does, in proportion to the decay."""

    def path(decay: float) -> Tensor:
        flow = ab.moment_flow(make(label, decay, decay), WELLS, 0.02)
        return ab.integrate(flow, THETA, 0.02, 3, substeps=16)

    none = path(0.0)
    largest = float((path(0.1) - none).abs().max())
    assert largest > 1e-4
    for decay in (1e-2, 1e-4, 1e-8):
        assert float((path(decay) - none).abs().max()) < 1.5 * largest * decay / 0.1


def test_decays_and_step_sizes_per_trajectory_are_single_runs():
    first, second, h = (
        torch.tensor(column, dtype=torch.float64).unsqueeze(-1)
        for column in ((0.0, 0.9, 0.3), (0.5, 0.0, 0.99), (0.01, 0.02, 0.03))
    )
    starts = torch.stack([THETA, THETA.flip(0), THETA + 0.1])
    for form in FORMS:
        flow = ab.moment_flow(make("nadam", first, second), WELLS, h, form)
        path = ab.integrate(flow, starts, h, 6, substeps=3)
        assert flow.substeps == 1
        for b in range(3):
            rule = make("nadam", float(first[b]), float(second[b]))
            one = ab.moment_flow(rule, WELLS, float(h[b]), form)
            close(path[:, b], ab.integrate(one, starts[b], float(h[b]), 6, substeps=3), 1e-12)


def test_a_decay_of_zero_in_a_tensor_has_no_moment_that_is_followed():
    rule = rules.heavy_ball(beta1=torch.tensor([[0.0], [0.6]], dtype=torch.float64))
    flow = ab.moment_flow(rule, WELLS, 0.01)
    _, info = ab.integrate(flow, THETA.repeat(2, 1), 0.01, 4, return_info=True, moments=True)
    assert info.moments[0][1:].isnan().all(2).tolist() == [[True, False]] * 4


def test_on_a_quadratic_both_forms_are_one():
    for label in LABELS:
        one, other = (
            along(ab.moment_flow(make(label), bowl, 0.1, form), torch.from_numpy(START), 8)
            for form in FORMS
        )
        close(one[1:], other[1:], 1e-12)


@pytest.mark.parametrize("label", ["adam", "heavy_ball", "gradient_descent"])
def test_elsewhere_the_forms_part_by_the_cube_of_h_in_a_step(label):
    gaps = []
    for h in (0.004, 0.002):
        one, other = (
            ab.integrate(ab.moment_flow(make(label), WELLS, h, form), THETA, h, 2) for form in FORMS
        )
        assert torch.equal(one[1], other[1])
        gaps.append(float((one[2] - other[2]).norm()))
    assert math.log2(gaps[0] / gaps[1]) == pytest.approx(3, abs=0.15)


@pytest.mark.parametrize("label", ["adamw", "adam_outside", "nadam"])
def test_rk4_with_many_steps_is_dop853(label):
    flow = ab.moment_flow(make(label), WELLS, 0.05)
    exact = along(flow, THETA, 8, method="dop853")[1:]
    errors = [float((along(flow, THETA, 8, substeps=k)[1:] - exact).abs().max()) for k in (4, 8)]
    assert errors[1] < 1e-5
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.3)


@pytest.mark.parametrize("decays", [(0.0, 0.0), (0.9, 0.999), (0.3, 0.9), (0.9, 0.2), (1e-8, 0.9)])
def test_short_memory_is_given_shorter_steps(decays):
    flow = ab.moment_flow(make("adam", *decays), WELLS, 0.01)
    fastest = max(-math.log(d or 1) for d in decays)
    assert flow.substeps == max(1, math.ceil(fastest / _LARGEST_RATE))
    path = along(flow, THETA, 4)
    assert torch.equal(path[1:], along(flow, THETA, 4, substeps=flow.substeps)[1:])
    close(path[1:], along(flow, THETA, 4, method="dop853")[1:], 1e-4)


@pytest.mark.parametrize("decays", [(0.3, 0.5), (0.55, 0.3)])
def test_the_error_of_its_integration_falls_at_least_as_its_own(decays):
    """However small h, memory fades as much in a step: an error of the lag would be of order 1."""
    errors = []
    for h in (0.005, 0.0025):
        flow, n_steps = ab.moment_flow(make("adam", *decays), WELLS, h), round(0.05 / h)
        coarse, fine = (
            ab.integrate(flow, THETA, h, n_steps, substeps=k) for k in (1, 6 * flow.substeps)
        )
        errors.append(float((coarse - fine).norm(dim=-1).max()))
    assert math.log2(errors[0] / errors[1]) > 1.8


@pytest.mark.parametrize("h", [0.02, 0.1, 0.3])
def test_an_average_of_squares_stays_above_zero_where_the_gradient_falls_to_nothing(h):
    """Runge-Kutta's own stages would take it below, and its root would be NaN."""
    rule = rules.adam(beta1=0.5, beta2=0.3, epsilon=1e-10)
    flow = ab.moment_flow(rule, WELLS, h)
    path, info = ab.integrate(flow, THETA, h, 10, return_info=True, moments=True)
    assert info.status == "finished"
    assert torch.isfinite(path).all()
    assert (info.moments[1][1:] > 0).all()


def test_as_h_falls_it_is_the_leading_order_flow():
    rule, speeds = make("adamw"), []
    f0 = ab.leading_order_flow(rule, WELLS)(THETA)
    for h in (1e-3, 5e-4):
        flow = ab.moment_flow(rule, WELLS, h)
        g = grad(WELLS)(THETA)
        one = torch.tensor(1.0, dtype=torch.float64)
        moved = flow.velocity((THETA, g, g * g, one, one))[0]
        speeds.append(float((moved - f0).norm()))
    assert speeds[0] / speeds[1] == pytest.approx(2, abs=0.02)


def test_beyond_small_steps_it_is_ten_times_as_near_as_the_first_order_law():
    rule, h, n_steps = rules.adam(beta1=0.9, beta2=0.99, epsilon=1e-4), 0.0025, 200
    loss, start = ab.losses.tanh_mlp()
    path = ab.iterate(rule, loss, start, h, n_steps)

    def error(flow) -> float:
        return float((ab.integrate(flow, start, h, n_steps) - path).norm(dim=-1).max())

    first, found = error(ab.modified_flow(rule, loss, h)), error(ab.moment_flow(rule, loss, h))
    assert found < first / 1000
    assert found < 5e-4


def skewed(theta: Tensor) -> Tensor:
    """Half a step back from far out lies beyond zero, where the gradient pushes outwards again."""
    return -(theta**3).sum() / 6


def ending(theta: Tensor) -> Tensor:
    """A loss that pushes theta to 2, from where on it is NaN."""
    return (2 - theta).sqrt().sum()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("loss", "start", "method"),
    [(skewed, 20.0, "rk4"), (ending, 1.0, "rk4"), (ending, 1.0, "dop853")],
)
def test_a_moment_flow_that_blows_up_says_where(loss, start, method):
    flow = ab.moment_flow(rules.heavy_ball(beta1=0.5), loss, 0.25)
    start = torch.tensor([start], dtype=torch.float64)
    path, info = ab.integrate(flow, start, 0.25, 20, method, return_info=True, moments=True)
    assert info.status == "diverged"
    assert 2 <= info.diverged_at <= 10
    assert torch.isfinite(path[: info.diverged_at]).all()
    assert torch.isnan(path[info.diverged_at :]).all()
    assert torch.isfinite(info.moments[0][1 : info.diverged_at]).all()
    assert torch.isnan(info.moments[0][info.diverged_at + 1 :]).all()


def test_without_an_info_a_moment_flow_that_blows_up_warns():
    flow = ab.moment_flow(rules.heavy_ball(beta1=0.5), skewed, 0.25)
    start = torch.tensor([20.0], dtype=torch.float64)
    with pytest.warns(DivergenceWarning, match="1 of 1 trajectories diverged, first at step 3"):
        path = ab.integrate(flow, start, 0.25, 8)
    assert path.isfinite().flatten().tolist() == [True] * 3 + [False] * 6


def test_in_a_batch_the_others_go_on():
    flow = ab.moment_flow(rules.heavy_ball(beta1=0.5), skewed, 0.25)
    starts = torch.tensor([[20.0], [-1.0]], dtype=torch.float64)
    path, info = ab.integrate(flow, starts, 0.25, 8, return_info=True, moments=True)
    assert info.diverged_at[0] > 0
    assert info.diverged_at[1] == -1
    assert torch.isnan(path[info.diverged_at[0] :, 0]).all()
    alone = along(flow, starts[1], 8)
    torch.testing.assert_close(path[:, 1], alone[:, :1])
    torch.testing.assert_close(info.moments[0][:, 1], alone[:, 1:], equal_nan=True)


def test_no_path_and_no_moment_has_a_graph():
    start = THETA.clone().requires_grad_()
    h = torch.full((2, 1), 0.01, dtype=torch.float64, requires_grad=True)
    for form in FORMS:
        flow = ab.moment_flow(make("adam"), WELLS, h, form)
        assert not along(flow, start.repeat(2, 1), 3).requires_grad


def _integrate(**options):
    return ab.integrate(ab.moment_flow(make("adam"), WELLS, 0.1), THETA, 0.1, 4, **options)


def _modified(**options):
    return ab.integrate(ab.modified_flow(make("adam"), WELLS, 0.1), THETA, 0.1, 4, **options)


PAIR = torch.full((2, 1), 0.1, dtype=torch.float64)
RAW = rules.adam(bias_correction=False)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ab.moment_flow(make("adam"), [WELLS, WELLS], 0.1), "loss = '2 losses': must be"),
        (lambda: ab.moment_flow(make("adam"), None, 0.1), "loss = None: must be a function"),
        (lambda: ab.moment_flow(make("adam"), WELLS, 0.1, "hessain"), "form = 'hessain': "),
        (lambda: ab.moment_flow(make("adam"), WELLS, 0.1, None), "form = None: "),
        (lambda: ab.moment_flow(RAW, WELLS, 0.1), "bias_correction = False: must be true"),
        (lambda: ab.moment_flow(rules.adam, WELLS, 0.1), "must be an UpdateRule"),
        (lambda: ab.moment_flow(make("adam"), WELLS, 0.0), "h = 0.0: must be > 0"),
        (lambda: ab.moment_flow(make("adam"), WELLS, -0.1), "h = -0.1: must be > 0"),
        (lambda: ab.moment_flow(make("adam"), WELLS, "0.1"), "h = '0.1': must be a number"),
        (lambda: ab.moment_flow(make("adam"), WELLS, PAIR[:, 0]), "h.shape = (2,): must be (B, 1)"),
        (lambda: _integrate(moments=True), "moments = True: must come with return_info=True"),
        (lambda: _modified(moments=True), "moments = True: must come with return_info=True"),
        (
            lambda: ab.iterate(make("adam"), WELLS, THETA, 0.1, 4, moments=True),
            "moments = True: must come with return_info=True",
        ),
        (
            lambda: _modified(moments=True, return_info=True),
            "moments = True: must be false: a modified flow has none",
        ),
        (lambda: _integrate(method="dop853", substeps=2), "substeps = 2: must be 1 for dop853"),
        (lambda: _integrate(substeps=0), "substeps = 0"),
        (
            lambda: ab.integrate(ab.moment_flow(make("adam"), WELLS, 0.1), THETA, 0.2, 4),
            "h = 0.2: must be the step size the flow was made for, 0.1",
        ),
        (
            lambda: ab.integrate(ab.moment_flow(make("adam"), WELLS, PAIR), THETA, 0.1, 4),
            "h.shape = (2, 1): does not go with theta0 (5,)",
        ),
        (
            lambda: ab.integrate(
                ab.moment_flow(make("adam"), WELLS, PAIR), THETA.repeat(2, 1), PAIR, 4, "dop853"
            ),
            "h = 'a tensor': must be a number for dop853",
        ),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(ConfigError) as error:
        call()
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_phi_of_ones_own_is_followed_as_any_other():
    """On the path of a rule with a cube, by a scalar recursion in plain Python."""
    h, d1, d2, n_steps = 0.005, 0.7, 0.8, 60
    rule = ab.UpdateRule(
        [(d1, identity), (d2, lambda g: g.abs() ** 3)],
        lambda m, nu, theta: m / (nu + 0.1) ** (1 / 3) + 0.2 * theta,
    )
    x, first, second, path = 1.7, 0.0, 0.0, [1.7]
    for n in range(n_steps):
        g = x**3 - x
        first = d1 * first + (1 - d1) * g
        second = d2 * second + (1 - d2) * abs(g) ** 3
        m, nu = first / (1 - d1 ** (n + 1)), second / (1 - d2 ** (n + 1))
        x -= h * (m / (nu + 0.1) ** (1 / 3) + 0.2 * x)
        path.append(x)
    start = torch.tensor([1.7], dtype=torch.float64)
    for form in FORMS:
        flow = ab.moment_flow(rule, lambda t: ((t * t - 1) ** 2).sum() / 4, h, form)
        found = ab.integrate(flow, start, h, n_steps)[:, 0]
        assert np.abs(found.numpy() - path).max() < 2e-5
