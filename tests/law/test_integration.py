"""Iterating, integrating, orders of convergence, and what happens when things go wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from plain import COMPONENTWISE

import adambias as ab
from adambias.config import load_params
from adambias.core.errors import ConfigError
from adambias.core.flows import FLOW_NAMES, LAWS
from adambias.core.registry import PROBLEMS
from adambias.law import rules
from adambias.law.integration import DivergenceWarning, PathInfo
from adambias.studies import bilinear

START = torch.tensor([2.8, 3.5], dtype=torch.float64)
LOSS = ab.losses.bilinear()
ADAM = rules.adam(beta1=0.3, beta2=0.6, epsilon=1e-2)
SETTINGS = load_params(Path(__file__).parents[2] / "params.yaml", "laptop").scale.bilinear
CASES = [
    (loss, label)
    for loss, case in SETTINGS.orders.losses.items()
    for label in case.rules or SETTINGS.orders.rules
]


def test_every_rule_is_measured_on_every_loss():
    labels = set(SETTINGS.orders.rules)
    assert set(COMPONENTWISE) <= labels  # muon needs matrices: tests/law/test_muon.py
    assert {loss for loss, _ in CASES} == set(PROBLEMS.names)
    assert len(CASES) == len(labels) * len(PROBLEMS.names)
    assert {label for _, label in SOME} == labels
    assert {loss for loss, _ in SOME} == set(PROBLEMS.names)


SOME = CASES[::3]
"""Cases that a test run has time for: every rule and every loss is among them."""
MORE = [pytest.param(*case, marks=pytest.mark.soak) for case in CASES if case not in SOME]


@pytest.mark.parametrize(("loss", "label"), [*SOME, *MORE])
def test_observed_orders(loss, label):
    report = bilinear.order(SETTINGS, loss, label)
    assert report["leading_order"] == pytest.approx(1, abs=0.15)
    for law in LAWS:
        # No flow of the moments follows mini-batches.
        if law == "moment" and loss == "bilinear_batches":
            assert report[law] is None
        else:
            assert report[law] == pytest.approx(2, abs=0.15), law


def test_order_of_the_memoryless_iteration():
    rule, errors, step_sizes = rules.heavy_ball(beta1=0.5), [], (0.01, 0.005, 0.0025)
    loss, start = ab.losses.tanh_mlp()
    for h in step_sizes:
        n_steps = round(0.4 / h)
        path = ab.iterate(rule, loss, start, h, n_steps)
        errors.append(
            (ab.integrate(ab.memoryless(rule, loss, h), start, h, n_steps) - path).abs().max()
        )
    assert float((errors[0] / errors[1]).log2()) == pytest.approx(2, abs=0.2)
    assert float((errors[1] / errors[2]).log2()) == pytest.approx(2, abs=0.15)


def test_the_contract_example():
    path = ab.iterate(ADAM, LOSS, START, h=0.01, n_steps=80)
    flow = ab.integrate(ab.modified_flow(ADAM, LOSS, h=0.01), START, h=0.01, n_steps=80)
    base = ab.integrate(ab.leading_order_flow(ADAM, LOSS), START, h=0.01, n_steps=80)
    assert path.shape == flow.shape == base.shape == (81, 2)
    far, near = ((each - path).norm(dim=-1).max() for each in (base, flow))
    assert near < far / 20


def test_rk4_has_order_four_and_dop853_agrees():
    rule = rules.heavy_ball(beta1=0.9)
    loss, start = ab.losses.double_wells(), torch.tensor([1.9, -0.4], dtype=torch.float64)
    flow = ab.modified_flow(rule, loss, 0.05)
    exact = ab.integrate(flow, start, 0.05, 10, method="dop853")
    errors = [
        (ab.integrate(flow, start, 0.05, 10, substeps=k) - exact).abs().max() for k in (2, 4, 8)
    ]
    assert errors[2] < 1e-7
    assert float((errors[1] / errors[2]).log2()) == pytest.approx(4, abs=0.2)


def test_dop853_integrates_an_autonomous_flow_of_known_solution():
    curvature = torch.tensor([1.0, 3.0], dtype=torch.float64)
    flow = ab.leading_order_flow(
        rules.gradient_descent(), lambda theta: 0.5 * (curvature * theta * theta).sum()
    )
    start = torch.tensor([[1.0, 2.0], [3.0, -1.0]], dtype=torch.float64)
    path = ab.integrate(flow, start, 0.25, 4, method="dop853")
    decay = torch.exp(-curvature)
    torch.testing.assert_close(path[-1], start * decay, rtol=1e-9, atol=0)


def test_only_the_rows_asked_for_are_kept():
    full = ab.iterate(ADAM, LOSS, START, 0.01, 12)
    torch.testing.assert_close(ab.iterate(ADAM, LOSS, START, 0.01, 12, every=4), full[::4])
    flow = ab.modified_flow(ADAM, LOSS, 0.01)
    thinned = ab.integrate(flow, START, 0.01, 12, every=12)
    torch.testing.assert_close(thinned[-1], ab.integrate(flow, START, 0.01, 12)[-1])


def test_a_trajectory_that_blows_up_says_where():
    rule = rules.gradient_descent()
    path, info = ab.iterate(rule, LOSS, START, 0.5, 30, return_info=True)
    assert info.status == "diverged"
    assert torch.isfinite(path[: info.diverged_at]).all()
    assert torch.isnan(path[info.diverged_at :]).all()
    with pytest.warns(DivergenceWarning, match=f"first at step {info.diverged_at}"):
        ab.iterate(rule, LOSS, START, 0.5, 30)
    assert ab.iterate(ADAM, LOSS, START, 0.01, 5, return_info=True)[1].diverged_at is None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", ["rk4", "dop853"])
def test_a_flow_that_blows_up_says_where(method):
    """theta' = theta^2 / 2 from 1 is 2 / (2 - t), infinite in the step that ends at t = 2."""
    flow = ab.leading_order_flow(rules.gradient_descent(), lambda theta: -(theta**3).sum() / 6)
    start = torch.ones(1, dtype=torch.float64)
    path, info = ab.integrate(flow, start, 0.25, 30, method, return_info=True)
    assert info.status == "diverged"
    assert 8 <= info.diverged_at <= 11
    assert torch.isfinite(path[: info.diverged_at]).all()
    assert torch.isnan(path[info.diverged_at :]).all()


def test_a_loss_that_turns_nan_on_the_way_stops_the_path():
    def half_a_loss(theta):
        return (theta - 1).sqrt().sum()

    start = torch.tensor([1.1], dtype=torch.float64)
    path, info = ab.iterate(rules.gradient_descent(), half_a_loss, start, 0.1, 20, return_info=True)
    assert info == PathInfo(status="diverged", diverged_at=2)
    assert path[1] < 1


def test_in_a_batch_the_others_go_on():
    starts = torch.stack([START, torch.tensor([0.6, 0.9], dtype=torch.float64)])
    rule = rules.gradient_descent()
    path, info = ab.iterate(rule, LOSS, starts, 0.1, 60, return_info=True)
    assert info.diverged_at[0] > 0
    assert info.diverged_at[1] == -1
    torch.testing.assert_close(path[:, 1], ab.iterate(rule, LOSS, starts[1], 0.1, 60))


@pytest.mark.parametrize("method", ["rk4", "dop853"])
def test_a_start_that_requires_grad_leaves_no_graph(method):
    start = START.clone().requires_grad_()
    h = torch.full((2, 1), 0.01, dtype=torch.float64, requires_grad=True)
    flow = ab.modified_flow(ADAM, LOSS, 0.01)
    for path in (
        ab.iterate(ADAM, LOSS, start, 0.01, 5),
        ab.iterate(ADAM, LOSS, start.repeat(2, 1), h, 5),
        ab.integrate(flow, start, 0.01, 5, method),
        ab.correction(ADAM, LOSS, start, 0.01),
    ):
        assert not path.requires_grad
    torch.testing.assert_close(
        ab.integrate(flow, start, 0.01, 5, method), ab.integrate(flow, START, 0.01, 5, method)
    )


def test_numpys_integers_count_as_well():
    path = ab.iterate(ADAM, LOSS, START, 0.01, np.int64(4), every=np.int64(2))
    torch.testing.assert_close(path, ab.iterate(ADAM, LOSS, START, 0.01, 4, every=2))
    flow = ab.modified_flow(ADAM, LOSS, 0.01, n=np.int64(3))
    assert ab.integrate(flow, START, 0.01, np.int64(2), substeps=np.int64(2)).shape == (3, 2)


def _order(loss=LOSS, start=START, step_sizes=(0.01, 0.005), horizon=0.1):
    return ab.observed_order(ADAM, loss, start, horizon, list(step_sizes))


def test_a_report_on_orders_prints_as_a_table_with_the_orders():
    report = _order()
    head, *rows, last = [line.split() for line in str(report).splitlines()]
    assert head == ["h", *FLOW_NAMES]
    assert [row[0] for row in rows] == ["0.01", "0.005"]
    assert float(rows[1][4]) == pytest.approx(report.moment_errors[1], rel=1e-2)
    assert last == ["order", *(f"{getattr(report, name):.2f}" for name in FLOW_NAMES)]
    batches = str(_order(loss=[LOSS, ab.losses.bilinear(x=1.0)]))
    assert batches.splitlines()[0].split() == ["h", *list(FLOW_NAMES)[:3]]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: _order(loss=lambda t: t * t), "must be a scalar tensor"),
        (lambda: _order(loss=lambda t: (t * torch.nan).sum()), "loss(theta0) = nan"),
        (lambda: _order(loss=lambda t: 1.0), "must be a scalar tensor"),
        (lambda: _order(start=START.float()), "must be float64"),
        (lambda: _order(start=START.repeat(2, 1)), "must be (p,)"),
        (lambda: _order(step_sizes=()), "step_sizes = []"),
        (lambda: _order(step_sizes=(0.01,)), "at least two"),
        (lambda: _order(step_sizes=(0.01, -0.01)), "must be > 0"),
        (lambda: _order(step_sizes=(0.03, 0.01)), "must divide the horizon"),
        (lambda: ab.iterate(ADAM, LOSS, START, 0.0, 5), "h = 0.0"),
        (lambda: ab.iterate(ADAM, LOSS, START, torch.tensor([[torch.inf]]), 5), "h = tensor"),
        (lambda: ab.modified_flow(ADAM, LOSS, torch.tensor([[torch.inf]])), "h = tensor"),
        (lambda: ab.iterate(ADAM, LOSS, START, 0.1, -5), "n_steps = -5"),
        (lambda: ab.iterate(ADAM, LOSS, START, 0.1, 5, every=2), "must divide n_steps"),
        (lambda: ab.iterate(ADAM, LOSS, torch.tensor([1, 2]), 0.1, 5), "floating-point"),
        (lambda: ab.iterate(ADAM, LOSS, START[0], 0.1, 5), "theta0.shape"),
        (
            lambda: ab.integrate(ab.leading_order_flow(ADAM, LOSS), START, 0.1, 5, method="rk45"),
            "method = 'rk45'",
        ),
        (
            lambda: ab.integrate(ab.memoryless(ADAM, LOSS, 0.1), START, 0.1, 5, method="rk4"),
            "must be euler",
        ),
        (
            lambda: ab.integrate(ab.modified_flow(ADAM, LOSS, 0.1), START, 0.2, 5),
            "the step size the flow was made for, 0.1",
        ),
        (
            lambda: ab.integrate(ab.leading_order_flow(ADAM, LOSS), START, 0.1, 5, substeps=0),
            "substeps = 0",
        ),
        (
            lambda: ab.observed_order(rules.gradient_descent(), LOSS, START, 10.0, [0.5, 0.25]),
            "diverged at step",
        ),
        (lambda: _order(step_sizes=(0.01, 0.01)), "[0.01, 0.01]: must differ from one another"),
        (lambda: _order(horizon=torch.nan), "horizon = nan: must be > 0 and finite"),
        (lambda: _order(horizon=torch.inf), "horizon = inf: must be > 0 and finite"),
        (lambda: _order(horizon=0.0), "horizon = 0.0: must be > 0 and finite"),
        (lambda: ab.iterate(ADAM, LOSS, START, 0.1, 2.0), "n_steps = 2.0: must be an integer"),
        (lambda: ab.iterate(ADAM, LOSS, START, 0.1, True), "n_steps = True: must be an integer"),
        (lambda: ab.iterate(ADAM, LOSS, START, 0.1, 4, every=2.0), "every = 2.0: must be an int"),
        (lambda: ab.iterate(ADAM, LOSS, START, 0.1, 4, every=0), "every = 0: must be an integer"),
        (lambda: ab.iterate(ADAM, LOSS, START, "0.1", 4), "h = '0.1': must be a number"),
        (lambda: ab.iterate(rules.adam, LOSS, START, 0.1, 4), "must be an UpdateRule"),
        (lambda: ab.iterate(ADAM, None, START, 0.1, 4), "loss = None: must be a function"),
        (lambda: ab.integrate(LOSS, START, 0.1, 4), "must be a flow"),
        (lambda: _integrate(substeps=1.5), "substeps = 1.5: must be an integer"),
        (lambda: _integrate(substeps=2, method="dop853"), "substeps = 2: must be 1 for dop853"),
        (
            lambda: ab.integrate(ab.memoryless(ADAM, LOSS, 0.1), START, 0.1, 5, substeps=4),
            "substeps = 4: must be 1 for the memoryless iteration",
        ),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(ConfigError) as error:
        call()
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def _integrate(**options):
    return ab.integrate(ab.modified_flow(ADAM, LOSS, 0.1), START, 0.1, 5, **options)


@pytest.mark.parametrize("n", [-1, -5, 2.5, "steps", True])
def test_a_step_that_is_none_is_refused(n):
    for make in (
        lambda: ab.correction(ADAM, LOSS, START, 0.1, n=n),
        lambda: ab.modified_flow(ADAM, LOSS, 0.1, n=n),
        lambda: ab.memoryless(ADAM, [LOSS, LOSS], 0.1, n=n),
    ):
        with pytest.raises(ConfigError, match=rf"^n = {n!r}: must be an integer >= 0"):
            make()


PAIR, TRIPLE = (torch.full((b, 1), 0.1, dtype=torch.float64) for b in (2, 3))
STARTS = START.repeat(2, 1)


@pytest.mark.parametrize(
    ("rule", "start", "h", "words"),
    [
        (ADAM, STARTS, PAIR[:, 0], "h.shape = (2,): must be (B, 1)"),
        (ADAM, START, PAIR[:, 0], "h.shape = (2,): must be (B, 1)"),
        (ADAM, START, PAIR.T, "h.shape = (1, 2): must be (B, 1)"),
        (ADAM, START, PAIR, "h.shape = (2, 1): does not go with theta0 (2,)"),
        (ADAM, STARTS, TRIPLE, "h.shape = (3, 1): does not go with theta0 (2, 2)"),
        (rules.adam(beta1=TRIPLE), START, 0.1, "decay.shape = (3, 1): does not go with theta0"),
        (rules.adam(beta2=TRIPLE), STARTS, 0.1, "decay.shape = (3, 1): does not go with theta0"),
        (rules.adam(epsilon=TRIPLE), START, 0.1, "rule = 'adam': does not go with theta0 (2,)"),
        (rules.adam(epsilon=TRIPLE), STARTS, 0.1, "rule = 'adam': does not go with theta0"),
    ],
)
def test_a_shape_that_goes_with_no_trajectory_is_refused(rule, start, h, words):
    for call in (
        lambda: ab.iterate(rule, LOSS, start, h, 2),
        lambda: ab.integrate(ab.leading_order_flow(rule, LOSS), start, h, 2),
        lambda: ab.integrate(ab.modified_flow(rule, LOSS, h), start, 0.1, 2),
        lambda: ab.correction(rule, LOSS, start, h),
    ):
        with pytest.raises(ConfigError) as error:
            call()
        assert words in str(error.value)
        assert "\n" not in str(error.value)


def test_a_step_size_may_be_a_tensor_of_one_number():
    one = torch.tensor(0.1, dtype=torch.float64)
    torch.testing.assert_close(
        ab.iterate(ADAM, LOSS, START, one, 3), ab.iterate(ADAM, LOSS, START, 0.1, 3)
    )
