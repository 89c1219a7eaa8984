"""The stage ``bilinear``: what figures 1 to 3, Table 1 and the atlas are made of."""

from pathlib import Path

import numpy as np
import pytest
import torch

import adambias as ab
from adambias.config import Atlas, load_params
from adambias.law import rules
from adambias.studies import bilinear

ROOT = Path(__file__).parents[2]
SETTINGS = load_params(ROOT / "params.yaml", "laptop").scale.bilinear


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
    for row in table.iloc[1::3].itertuples():
        rule = rules.adam(beta1=row.beta1, beta2=row.beta2, epsilon=0.1)
        path = ab.iterate(rule, loss, start, 0.02, 20)
        flow = ab.integrate(ab.modified_flow(rule, loss, 0.02), start, 0.02, 20)
        assert row.modified_error == pytest.approx(float((flow - path).norm(dim=1).max()))
        assert row.ratio == pytest.approx(row.modified_error / row.leading_error)
