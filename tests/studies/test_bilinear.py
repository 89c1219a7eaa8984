"""The stage ``bilinear``: what figures 1 to 3, Table 1 and the atlas are made of."""

from pathlib import Path

import numpy as np
import pytest
import torch

import adambias as ab
from adambias.config import Atlas, FlowCase, GrowingMemory, load_params
from adambias.core.errors import ConfigError
from adambias.core.flows import FLOW_NAMES, LAWS
from adambias.figures.flows import ERRORS
from adambias.law import rules
from adambias.studies import bilinear

ROOT = Path(__file__).parents[2]
SETTINGS = load_params(ROOT / "params.yaml", "laptop").scale.bilinear
FLOWS = list(FLOW_NAMES)


@pytest.mark.parametrize(("beta1", "beta2"), [(0.9, 0.7), (0.5, 0.8), (0.0, 0.8)])
@pytest.mark.parametrize("place", [-1.7, 0.3, 1.1])
def test_figure_1_is_what_the_law_penalises_in_one_dimension(beta1, beta2, place):
    """The bias is (h/2) d/dtheta F(E'(theta)), here with E = theta^4 / 4."""
    epsilon, h, step = 0.5, 0.01, 1e-5
    theta = torch.tensor([place], dtype=torch.float64)
    rule = rules.adam(beta1=beta1, beta2=beta2, epsilon=epsilon)
    change = ab.correction(rule, lambda t: (t**4).sum() / 4, theta, h)
    bias = -change.item() * (place**6 + epsilon) ** 0.5
    sides = np.array([place - step, place + step]) ** 3
    below, above = bilinear.penalty(sides, beta1, beta2, epsilon)
    assert bias == pytest.approx(h / 2 * (above - below) / (2 * step), rel=1e-7)


@pytest.mark.parametrize("name", SETTINGS.fans)
def test_figures_2_and_3_arrive_at_the_minima_in_the_order_of_the_paper(name):
    fan = SETTINGS.fans[name]
    ends = bilinear.arrivals(bilinear.fan_table(SETTINGS, name, fan))
    assert [end[fan.varied] for end in ends] == sorted(getattr(fan, fan.varied))
    assert max(end["loss"] for end in ends) < 1e-9
    factors = [end["norm_factor"] for end in ends]
    falls = name in ("fig2_beta1", "fig3_above")
    assert factors == sorted(set(factors), reverse=falls)


def test_no_minimum_has_a_smaller_norm_than_the_one_marked():
    side = np.linspace(0.2, 4, 1000)
    along = np.abs(side) + np.abs(SETTINGS.y / SETTINGS.x / side)
    marked = bilinear.smallest_norm_point(SETTINGS.x, SETTINGS.y)
    assert marked[0] * marked[1] == pytest.approx(SETTINGS.y / SETTINGS.x)
    assert sum(marked) <= along.min()


def test_the_atlas_is_the_errors_of_single_runs():
    table = bilinear.atlas(Atlas(size=3, largest=0.9, epsilon=0.1, h=0.02, horizon=0.4), SETTINGS)
    assert len(table) == 9
    loss, start = ab.losses.bilinear(), torch.tensor([2.8, 3.5], dtype=torch.float64)
    # The first row is without memory: beta1 = beta2 = 0.
    for row in table.iloc[[0, 1, 4, 7]].itertuples():
        rule = rules.adam(beta1=row.beta1, beta2=row.beta2, epsilon=0.1)
        path = ab.iterate(rule, loss, start, 0.02, 20)
        for name, flow in flows(rule, loss, 0.02).items():
            far = (ab.integrate(flow, start, 0.02, 20) - path).norm(dim=1).max()
            assert getattr(row, f"{name}_error") == pytest.approx(float(far))
        for law in LAWS:
            expected = getattr(row, f"{law}_error") / row.leading_order_error
            assert getattr(row, f"{law}_ratio") == pytest.approx(expected)


def flows(rule, loss, h):
    return {
        "leading_order": ab.leading_order_flow(rule, loss),
        "modified": ab.modified_flow(rule, loss, h),
        "resummed": ab.modified_flow(rule, loss, h, memory="resummed"),
        "moment": ab.moment_flow(rule, loss, h),
    }


def test_a_path_is_followed_by_every_flow():
    case = FlowCase(title="short", beta1=0.9, beta2=0.5, epsilon=0.5, h=0.02, horizon=0.4)
    table = bilinear.path_table(SETTINGS, "short", case)
    assert list(table["kind"].unique()) == ["adam", *FLOWS]
    ends = table[table["n"] == 20].set_index("kind")
    loss, start = ab.losses.bilinear(), torch.tensor([2.8, 3.5], dtype=torch.float64)
    made = flows(rules.adam(beta1=0.9, beta2=0.5, epsilon=0.5), loss, 0.02)
    for kind, flow in zip(FLOWS, made.values(), strict=True):
        end = ab.integrate(flow, start, 0.02, 20)[-1]
        assert ends.loc[kind, ["theta1", "theta2"]].tolist() == pytest.approx(end.tolist())
        away = ends.loc[kind, ["theta1", "theta2"]] - ends.loc["adam", ["theta1", "theta2"]]
        assert ends.loc[kind, "error"] == pytest.approx(np.hypot(*away))
    errors = {row["kind"]: row["error"] for row in bilinear.path_errors(table)}
    assert list(errors) == FLOWS
    assert min(errors, key=errors.get) == "moment"


@pytest.mark.parametrize("name", SETTINGS.orders.growing)
def test_only_the_moment_flow_has_an_order_as_memory_grows(name):
    found = bilinear.growing_memory(SETTINGS, name)
    case = SETTINGS.orders.growing[name]
    for h, decays in zip(found["step_sizes"], found["decays"], strict=True):
        assert [(1 - decay) / h for decay in decays] == pytest.approx(list(case.rates))
    assert found["moment"] == pytest.approx(2, abs=0.15)
    assert max(abs(found[law]) for law in ("leading_order", "modified", "resummed")) < 0.3
    assert max(found["moment_errors"]) < 0.1 * min(found["modified_errors"])


def test_the_errors_along_growing_memory_are_those_of_single_runs():
    found = bilinear.growing_memory(SETTINGS, "bilinear")
    steps, h = SETTINGS.orders.growing["bilinear"].steps[0], found["step_sizes"][0]
    beta1, beta2 = found["decays"][0]
    rule = rules.adam(beta1=beta1, beta2=beta2, epsilon=found["hyperparameters"]["epsilon"])
    loss, start = ab.losses.bilinear(), torch.tensor([2.8, 3.5], dtype=torch.float64)
    path = ab.iterate(rule, loss, start, h, steps)
    for name, flow in flows(rule, loss, h).items():
        far = float((ab.integrate(flow, start, h, steps) - path).norm(dim=1).max())
        assert found[ERRORS[name]][0] == pytest.approx(far)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rates": [10, 41]}, r"rates = \[10.0, 41.0\]: must be at most 40"),
        ({"rates": [10]}, "rates = .*: must have 2 entries"),
        ({"rates": [0, 1]}, "rates = 0.0: must be > 0"),
        ({"steps": [40]}, "steps = .*: must have at least 2 entries"),
    ],
)
def test_memory_that_cannot_grow_so_is_refused(change, said):
    given = {"horizon": 1.0, "steps": [40, 80], "rates": [10, 40], "epsilon": 0.1}
    assert GrowingMemory(**given).decays(1 / 40) == (0.75, 0.0)
    with pytest.raises(ConfigError, match=said):
        GrowingMemory(**given | change)
