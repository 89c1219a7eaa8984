"""The law on a network flattened to one vector."""

from pathlib import Path

import pytest
import torch

import adambias as ab
from adambias.config import load_params
from adambias.studies import netflow

SETTINGS = load_params(Path(__file__).parents[2] / "params.yaml", "laptop").scale.netflow


def test_a_network_as_a_function_of_one_vector(digits):
    images = digits.standardised(digits.train_images[:8], torch.float64)
    labels = digits.train_labels[:8]
    module = netflow.build(SETTINGS, images.shape[1], 10)
    loss = ab.losses.network(module, images, labels)
    theta = ab.losses.parameter_vector(module)
    plain = torch.nn.functional.cross_entropy(module(images), labels)
    plain.backward()
    gradient = torch.cat([p.grad.reshape(-1) for p in module.parameters()])
    torch.testing.assert_close(loss(theta), plain)
    torch.testing.assert_close(torch.func.grad(loss)(theta), gradient, rtol=1e-10, atol=1e-14)


class _Attention(torch.nn.Module):
    """Attention over the rows of an image, by torch's function or written out."""

    def __init__(self, *, written_out: bool) -> None:
        super().__init__()
        self.mix, self.head = torch.nn.Linear(8, 24), torch.nn.Linear(8, 10)
        self.written_out = written_out

    def forward(self, images):
        query, key, value = self.mix(images).chunk(3, dim=-1)
        if self.written_out:
            attended = torch.softmax(query @ key.mT / 8**0.5, -1) @ value
        else:
            attended = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        return self.head(attended.squeeze(1).mean(-2))


def test_a_flow_passes_through_torchs_attention(digits):
    images, labels = digits.standardised(digits.train_images[:8], torch.float64), range(8)
    found = []
    for written_out in (False, True):
        torch.manual_seed(0)
        module = _Attention(written_out=written_out)
        loss = ab.losses.network(module, images, torch.tensor(labels))
        theta = ab.losses.parameter_vector(module)
        found.append(ab.correction(ab.rules.adam(epsilon=1e-2), loss, theta, 0.1))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


@pytest.mark.soak
def test_observed_orders_on_the_network(digits):
    reports = [netflow.order(SETTINGS, digits, label) for label in SETTINGS.orders]
    assert {report["rule"] for report in reports} >= {"adam", "heavy_ball", "lion"}
    for report in reports:
        assert report["modified"] >= 1.85
        assert report["leading_order"] == pytest.approx(1, abs=0.15)
