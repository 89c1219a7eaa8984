"""Pictures of flows and of observed orders."""

import matplotlib.pyplot as plt
import pytest
import torch

import adambias as ab
from adambias.core.errors import ConfigError

LOSS, RULE = ab.losses.bilinear(), ab.rules.adam(beta1=0.3, beta2=0.6, epsilon=1e-2)
START = torch.tensor([2.8, 3.5], dtype=torch.float64)
FLOWS = {
    "modified": lambda loss: ab.modified_flow(RULE, loss, 0.01),
    "memoryless": lambda loss: ab.memoryless(RULE, loss, 0.01),
    "moment": lambda loss: ab.moment_flow(RULE, loss, 0.01),
    "oscillating": lambda loss: ab.oscillating_flow(RULE, loss, 0.01),
}


@pytest.fixture(autouse=True)
def closed():
    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_is_drawn_beside_its_optimizer(name):
    ax = FLOWS[name](LOSS).plot(START, 20)
    dots, line = ax.lines
    path = ab.iterate(RULE, LOSS, START, 0.01, 20)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["adam", f"{name} flow"]
    assert dots.get_ydata() == pytest.approx([float(LOSS(theta)) for theta in path])
    assert line.get_xdata()[-1] == pytest.approx(0.2)
    assert line.get_ydata() == pytest.approx(dots.get_ydata(), rel=0.05)


def test_of_mini_batches_the_mean_loss_is_drawn():
    losses = [ab.losses.bilinear(), ab.losses.bilinear(x=1.0, y=2.0)]
    _, ax = plt.subplots()
    assert ab.modified_flow(RULE, losses, 0.01).plot(START, 6, ax=ax) is ax
    mean = (float(losses[0](START)) + float(losses[1](START))) / 2
    assert ax.lines[0].get_ydata()[0] == pytest.approx(mean)


def test_a_flow_without_a_step_size_needs_one():
    flow = ab.leading_order_flow(RULE, LOSS)
    with pytest.raises(ConfigError, match=r"^h: is needed to draw"):
        flow.plot(START, 5)
    assert len(flow.plot(START, 5, h=0.01).lines[0].get_xdata()) == 6


def test_a_report_draws_the_errors_of_every_flow_with_its_order():
    report = ab.observed_order(RULE, LOSS, START, 0.4, [0.02, 0.01, 0.005])
    ax = report.plot()
    words = [t.get_text() for t in ax.get_legend().get_texts()]
    assert words[1] == f"modified, order {report.modified:.2f}"
    assert len(ax.lines) == 4
    assert list(ax.lines[0].get_ydata()) == list(report.leading_errors)
    batches = ab.observed_order(RULE, [LOSS, LOSS], START, 0.2, [0.02, 0.01])
    assert len(batches.plot().lines) == 3
