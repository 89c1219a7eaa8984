"""Derivatives against torch.func's, and what they do without."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.func import grad, hessian, jvp, vjp

from adambias.law.derivatives import derivative, gradient_of, pullback

PLACE = torch.tensor([0.3, -1.2, 0.7], dtype=torch.float64)
OTHER = torch.tensor([1.1, 0.4, -0.6], dtype=torch.float64)
FUNCTIONS = {
    "both": lambda x, y: (x * x + 0.1).sqrt() * y.exp(),
    "first": lambda x, y: x.sin() * x.flip(0),
    "linear": lambda x, y: 2 * x - y,
    "constant": lambda x, y: torch.ones(2, dtype=torch.float64),
    "in place": lambda x, y: (x * x + y * y).sqrt_() * y,
}


def energy(x):
    return (x.sin() * x.flip(0)).sum() + (x**4).sum()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_pullback_and_derivative_are_torchs(name):
    function = FUNCTIONS[name]
    value, transpose = pullback(function, PLACE, OTHER)
    expected, oracle = vjp(function, PLACE, OTHER)
    torch.testing.assert_close(value, expected, rtol=0, atol=0)
    for cotangent in (torch.ones_like(value), torch.linspace(-1, 2, len(value)).double()):
        torch.testing.assert_close(transpose(cotangent), oracle(cotangent), rtol=1e-14, atol=0)
    tangent = (OTHER - PLACE, PLACE.square())
    _, along = jvp(function, (PLACE, OTHER), tangent)
    found = derivative(function, (PLACE, OTHER), tangent)
    torch.testing.assert_close(found, along, rtol=1e-14, atol=1e-15)


def test_a_gradient_is_torchs_and_its_pullback_the_hessian():
    torch.testing.assert_close(gradient_of(energy, PLACE), grad(energy)(PLACE), rtol=1e-14, atol=0)
    g, product = pullback(lambda x: gradient_of(energy, x), PLACE)
    torch.testing.assert_close(g, grad(energy)(PLACE), rtol=1e-14, atol=0)
    expected = hessian(energy)(PLACE) @ OTHER
    torch.testing.assert_close(product(OTHER)[0], expected, rtol=1e-13, atol=0)
    flat, nothing = pullback(lambda x: gradient_of(lambda v: v.sum(), x), PLACE)
    assert (flat == 1).all()
    assert (nothing(OTHER)[0] == 0).all(), "a linear function has no curvature"
    assert (gradient_of(lambda x: torch.tensor(2.0), PLACE) == 0).all()


def test_nothing_that_is_returned_has_a_graph():
    started = PLACE.clone().requires_grad_()
    with torch.no_grad():
        assert not gradient_of(energy, started).requires_grad
    value, transpose = pullback(energy, started)
    found = (value, *transpose(torch.ones_like(value)))
    assert not any(each.requires_grad for each in found)
    assert not derivative(energy, (started,), (OTHER,)).requires_grad


def test_the_law_loads_neither_torchs_compiler_nor_its_symbolic_algebra(tmp_path):
    """They take seconds, before a first correction of a millisecond."""
    code = """
import sys, torch, adambias as ab
loss, rule = ab.losses.bilinear(x=2.0, y=1.5), ab.rules.adam(beta1=0.3, beta2=0.6, epsilon=1e-2)
theta = torch.tensor([2.8, 3.5], dtype=torch.float64)
ab.observed_order(rule, [loss, loss], theta, 0.4, [0.02, 0.01])
ab.correction(rule, loss, theta.expand(3, 2), 0.01)
print({"torch", "torch._dynamo", "sympy"} & set(sys.modules))
"""
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shown.stdout == "{'torch'}\n"
