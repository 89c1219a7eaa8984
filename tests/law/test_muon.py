"""Muon: its published recursion, its orthogonalisation, and the flows that follow it."""

import math

import pytest
import torch

import adambias as ab
from adambias.core.errors import ConfigError
from adambias.law import rules
from adambias.law.rules import orthogonalised
from adambias.law.stability import stability_threshold
from adambias.training.optimizer import RuleOptimizer

SHAPES = [(6, 4), (5,), (3, 2, 2, 2)]


def gradients(shapes, steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = [
        torch.randn(s, generator=generator, dtype=torch.float64)
        for _ in range(steps)
        for s in shapes
    ]
    return [draw[i : i + len(shapes)] for i in range(0, len(draw), len(shapes))]


def published(grad, steps=5):
    """The iteration of Jordan et al. (2024), one matrix, written out."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = grad / (grad.norm() + 1e-7)
    if grad.shape[0] > grad.shape[1]:
        x = x.T
    for _ in range(steps):
        product = x @ x.T
        x = a * x + (b * product + c * product @ product) @ x
    return x.T if grad.shape[0] > grad.shape[1] else x


@pytest.mark.parametrize("adjust", ["match_rms_adamw", "original"])
@pytest.mark.parametrize("nesterov", [True, False])
def test_matrices_follow_the_published_recursion(adjust, nesterov):
    """Momentum is not corrected for its start there, which the rule has as an option."""
    steps = gradients([(6, 4)], 12)
    start = torch.ones(6, 4, dtype=torch.float64)
    rule = rules.muon(
        beta1=0.9, weight_decay=0.1, nesterov=nesterov, adjust=adjust, bias_correction=False
    )
    parameter = torch.nn.Parameter(start.clone())
    optimizer = RuleOptimizer([parameter], rule, 0.02)
    theta, buffer = start.clone(), torch.zeros_like(start)
    factor = 0.2 * math.sqrt(6) if adjust == "match_rms_adamw" else math.sqrt(6 / 4)
    for (grad,) in steps:
        parameter.grad = grad.clone()
        optimizer.step()
        buffer = 0.9 * buffer + 0.1 * grad
        look = 0.9 * buffer + 0.1 * grad if nesterov else buffer
        theta = theta - 0.02 * (factor * published(look) + 0.1 * theta)
    assert torch.allclose(parameter.detach(), theta, rtol=0, atol=1e-12)


def test_one_vector_of_all_parameters_takes_the_steps_of_each():
    steps = gradients(SHAPES, 8)
    starts = [torch.ones(s, dtype=torch.float64) for s in SHAPES]
    one = torch.nn.Parameter(torch.cat([s.flatten() for s in starts]))
    vector = RuleOptimizer([one], rules.muon(shapes=SHAPES), 0.01)
    parts = [torch.nn.Parameter(s.clone()) for s in starts]
    each = RuleOptimizer(parts, rules.muon(), 0.01)
    for grads in steps:
        one.grad = torch.cat([g.flatten() for g in grads])
        for part, grad in zip(parts, grads, strict=True):
            part.grad = grad.clone()
        vector.step()
        each.step()
    expected = torch.cat([p.detach().flatten() for p in parts])
    assert torch.allclose(one.detach(), expected, rtol=0, atol=1e-13)


def test_what_is_no_matrix_and_the_ends_are_adams():
    (grads,) = gradients(SHAPES, 1)
    theta, grad = (
        torch.zeros(24 + 5 + 24, dtype=torch.float64),
        torch.cat([g.flatten() for g in grads]),
    )
    moments = (grad, grad, grad * grad, theta)
    adam = grad / (grad * grad + 1e-8).sqrt()
    found = rules.muon(shapes=SHAPES).combine(*moments)
    assert torch.equal(found[24:29], adam[24:29])
    assert not torch.allclose(found[:24], adam[:24])
    ends = rules.muon(shapes=SHAPES, adam_first=1, adam_last=1).combine(*moments)
    assert torch.equal(ends, adam)
    last = rules.muon(shapes=SHAPES, adam_last=1).combine(*moments)
    assert torch.equal(last[:24], found[:24])
    assert torch.equal(last[24:], adam[24:])
    for ends in ({"adam_last": 5}, {"adam_first": 9}, {"adam_first": 2, "adam_last": 2}):
        assert torch.equal(rules.muon(shapes=SHAPES, **ends).combine(*moments), adam)


def test_a_batch_of_trajectories_is_no_matrix():
    starts = torch.ones(3, 2, dtype=torch.float64)
    with pytest.raises(ConfigError, match=r"^theta0.shape = \(3, 2\): must be \(p,\) for muon"):
        ab.iterate(rules.muon(), ab.losses.bilinear(), starts, 0.01, 2)


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (5, 5)])
def test_singular_values_come_near_one_and_singular_vectors_stay(shape):
    matrix = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalised(matrix)
    values = torch.linalg.svdvals(found)
    # A singular value below a fiftieth of the largest takes more than five steps.
    assert values[s > s[:, :1] / 50].min() > 0.6
    assert values.max() < 1.3
    diagonal = u.mT @ found @ vh.mT
    off = diagonal - torch.diag_embed(diagonal.diagonal(dim1=-2, dim2=-1))
    assert off.abs().max() < 1e-12
    assert torch.equal(orthogonalised(torch.zeros(*shape)), torch.zeros(*shape))


def test_its_flows_have_their_orders():
    """A linear network of one matrix: Muon is smooth where the gradient is not zero."""
    generator = torch.Generator().manual_seed(3)
    points = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    targets = torch.randn(12, 2, generator=generator, dtype=torch.float64)

    def loss(theta):
        return (
            0.5
            * (torch.tanh(points @ theta[:6].view(2, 3).T + theta[6:]) - targets).square().mean()
        )

    start = torch.randn(8, generator=generator, dtype=torch.float64)
    rule = rules.muon(beta1=0.3, beta2=0.5, epsilon=0.1, iterations=2, shapes=[(2, 3), (2,)])
    report = ab.observed_order(rule, loss, start, 0.3, [0.3 / n for n in (40, 80, 160)])
    assert report.leading_order == pytest.approx(1, abs=0.15)
    assert report.modified == pytest.approx(2, abs=0.15)
    assert report.resummed == pytest.approx(2, abs=0.15)
    assert report.moment == pytest.approx(2, abs=0.15)


def test_it_has_no_diagonal_preconditioner():
    with pytest.raises(ConfigError, match=r"^rule = 'muon': has no diagonal preconditioner"):
        stability_threshold(rules.muon())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"adjust": "rms"}, "rule_options.adjust"),
        ({"iterations": 0}, "rule_options.iterations"),
        ({"adam_first": -1}, "rule_options.adam_first"),
        ({"newton": 3}, r"^rule_options.newton = 3: muon takes no such option, must be one of "),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        rules.make_rule("muon", options=options)
