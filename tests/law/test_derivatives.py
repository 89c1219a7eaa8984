"""Derivatives against torch.func's, and what they do without."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.func import grad, hessian, jvp, vjp

import adambias as ab
from adambias.core.errors import ConfigError
from adambias.law.derivatives import OwnDerivatives, Product, derivative, gradient_of, pullback
from adambias.law.flows import MEMORIES
from adambias.law.moment_flow import FORMS

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


class Analytic(OwnDerivatives):
    """sum (x^2 - 1)^2 / 4 by hand: autograd sees nothing of it."""

    def __init__(self) -> None:
        self.gradients = self.slopes = 0

    def __call__(self, theta: Tensor) -> Tensor:
        return plain(theta.detach())

    def gradient(self, theta: Tensor) -> Tensor:
        self.gradients += 1
        return theta**3 - theta

    def slope(self, theta: Tensor) -> tuple[Tensor, Product]:
        self.slopes += 1
        return theta**3 - theta, lambda vector: (3 * theta**2 - 1) * vector


def plain(theta: Tensor) -> Tensor:
    return ((theta * theta - 1) ** 2).sum() / 4


RULE = ab.rules.adam(beta1=0.6, beta2=0.8, epsilon=0.1)
H = 0.02
LAWS = {
    "leading": lambda loss: ab.leading_order_flow(RULE, loss),
    **{m: lambda loss, m=m: ab.modified_flow(RULE, loss, H, memory=m) for m in MEMORIES},
    **{
        f"memoryless, {m}": lambda loss, m=m: ab.memoryless(RULE, loss, H, memory=m)
        for m in MEMORIES
    },
    **{form: lambda loss, form=form: ab.moment_flow(RULE, loss, H, form) for form in FORMS},
}


@pytest.mark.parametrize("law", LAWS)
def test_a_loss_that_brings_its_derivatives_is_followed_by_them(law):
    own = Analytic()
    found, expected = (ab.integrate(LAWS[law](each), PLACE, H, 5) for each in (own, plain))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    assert own.gradients + own.slopes >= 5


def test_an_iteration_takes_one_gradient_of_its_own_a_step():
    own = Analytic()
    found, expected = (ab.iterate(RULE, each, PLACE, H, 5) for each in (own, plain))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    assert (own.gradients, own.slopes) == (5, 0)


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_correction_takes_one_slope(memory):
    own = Analytic()
    found, expected = (ab.correction(RULE, e, PLACE, H, memory=memory) for e in (own, plain))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    assert (own.gradients, own.slopes) == (0, 1)


@pytest.mark.parametrize("law", [None, *LAWS])
def test_a_loss_that_takes_one_vector_refuses_a_batch_of_trajectories(law):
    def run() -> Tensor:
        starts = PLACE.repeat(2, 1)
        if law is None:
            return ab.iterate(RULE, Analytic(), starts, H, 2)
        return ab.integrate(LAWS[law](Analytic()), starts, H, 2)

    with pytest.raises(ConfigError, match=r"^theta0.shape = \(2, 3\): must be \(p,\)") as error:
        run()
    assert "\n" not in str(error.value)


def test_several_losses_that_bring_their_derivatives_are_iterated_but_have_no_flow():
    """The flows of mini-batches differentiate the sum of the losses, which autograd cannot here."""
    several = [Analytic(), Analytic()]
    found, expected = (ab.iterate(RULE, each, PLACE, H, 5) for each in (several, [plain, plain]))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    assert [loss.gradients for loss in several] == [3, 2]
    for call in (*LAWS.values(), lambda losses: ab.correction(RULE, losses, PLACE, H, n=3)):
        with pytest.raises(ConfigError, match=r"^loss = '2 losses': must be one loss") as error:
            call(several)
        assert "\n" not in str(error.value)
