import math

import pytest
import torch
from plain import COMPONENTWISE

from adambias.core.errors import ConfigError
from adambias.law import rules
from adambias.training.optimizer import RuleOptimizer

HYPER = {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3, "weight_decay": 0.1}


def _gradients(shapes, steps, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return [
        [torch.randn(s, generator=generator, dtype=dtype) for s in shapes] for _ in range(steps)
    ]


def _run(rule, starts, gradients, lr):
    parameters = [torch.nn.Parameter(start.clone()) for start in starts]
    optimizer = RuleOptimizer(parameters, rule, lr)
    for step in gradients:
        for parameter, grad in zip(parameters, step, strict=True):
            parameter.grad = grad.clone()
        optimizer.step()
    return [p.detach() for p in parameters]


def _root(x, placement):
    return math.sqrt(x + HYPER["epsilon"]) if placement == "inside" else x**0.5 + HYPER["epsilon"]


def _sign(x):
    return x / math.sqrt(x * x + HYPER["epsilon"])


DIRECTIONS = {
    "gradient_descent": lambda m, root, g, mix, theta: g,
    "heavy_ball": lambda m, root, g, mix, theta: m,
    "nesterov": lambda m, root, g, mix, theta: mix,
    "rmsprop": lambda m, root, g, mix, theta: g / root,
    "adam": lambda m, root, g, mix, theta: m / root,
    "adamw": lambda m, root, g, mix, theta: m / root + HYPER["weight_decay"] * theta,
    "nadam": lambda m, root, g, mix, theta: mix / root,
    "lion": lambda m, root, g, mix, theta: _sign(mix) + HYPER["weight_decay"] * theta,
    "signum": lambda m, root, g, mix, theta: _sign(m),
}


def _scalar_recursion(name, theta, gradients, lr, *, correct, placement):
    """One parameter, in plain Python, from the formulas of the theory's table."""
    beta1, beta2 = HYPER["beta1"], HYPER["beta2"]
    decay = beta2 if name == "lion" else beta1
    m = nu = 0.0
    for n, g in enumerate(gradients):
        m = decay * m + (1 - decay) * g
        nu = beta2 * nu + (1 - beta2) * g * g
        m_hat = m / (1 - decay ** (n + 1)) if correct else m
        nu_hat = nu / (1 - beta2 ** (n + 1)) if correct else nu
        mix = beta1 * m_hat + (1 - beta1) * g
        theta -= lr * DIRECTIONS[name](m_hat, _root(nu_hat, placement), g, mix, theta)
    return theta


@pytest.mark.parametrize("placement", ["inside", "outside"])
@pytest.mark.parametrize("correct", [True, False])
@pytest.mark.parametrize("name", COMPONENTWISE)
def test_every_rule_follows_its_scalar_recursion(name, correct, placement):
    gradients = _gradients([(3,)], 25)
    start = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    rule = rules.make_rule(name, **HYPER, bias_correction=correct, epsilon_placement=placement)
    (found,) = _run(rule, [start], gradients, 0.01)
    expected = [
        _scalar_recursion(
            name,
            start[j].item(),
            [g[0][j].item() for g in gradients],
            0.01,
            correct=correct,
            placement=placement,
        )
        for j in range(3)
    ]
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-13)


def test_adam_with_epsilon_outside_is_pytorchs_adam():
    shapes = [(4, 3), (7,), ()]
    gradients = _gradients(shapes, 40)
    starts = [torch.ones(s, dtype=torch.float64) for s in shapes]
    rule = rules.adam(beta1=0.9, beta2=0.99, epsilon=1e-6, epsilon_placement="outside")
    ours = _run(rule, starts, gradients, 1e-2)
    theirs = [torch.nn.Parameter(s.clone()) for s in starts]
    optimizer = torch.optim.Adam(theirs, lr=1e-2, betas=(0.9, 0.99), eps=1e-6)
    for step in gradients:
        for parameter, grad in zip(theirs, step, strict=True):
            parameter.grad = grad.clone()
        optimizer.step()
    for mine, yours in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, yours.detach(), rtol=0, atol=1e-13)


def test_parameters_may_differ_in_dtype_and_join_late():
    first = torch.nn.Parameter(torch.ones(2))
    second = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = RuleOptimizer([first, second], rules.adam(beta1=0.5, beta2=0.5), 0.1)
    first.grad = torch.full_like(first, 2.0)
    optimizer.step()
    assert torch.equal(second, torch.ones(3, dtype=torch.float64))
    second.grad = torch.full_like(second, 2.0)
    optimizer.step()
    # A first step of Adam has the length lr, whatever the gradient.
    assert torch.allclose(second, torch.full_like(second, 0.9), atol=1e-8)
    assert optimizer.state[first]["step"] == 2
    assert optimizer.state[second]["step"] == 1


def test_state_dict_goes_on_where_it_was():
    gradients = _gradients([(5,)], 20)
    start = torch.zeros(5, dtype=torch.float64)
    rule = rules.nadam(beta1=0.9, beta2=0.99, epsilon=1e-4)
    (whole,) = _run(rule, [start], gradients, 0.1)
    parameter = torch.nn.Parameter(start.clone())
    optimizer = RuleOptimizer([parameter], rule, 0.1)
    for n, (grad,) in enumerate(gradients):
        if n == 10:
            state = optimizer.state_dict()
            optimizer = RuleOptimizer([parameter], rule, 0.1)
            optimizer.load_state_dict(state)
        parameter.grad = grad
        optimizer.step()
    assert torch.equal(parameter.detach(), whole)


def test_next_estimates_are_those_of_the_next_step():
    seen = []

    def combine(m, nu, theta):
        seen.append((m.clone(), nu.clone()))
        return m / (nu + 1e-3).sqrt()

    rule = rules.UpdateRule(
        moments=[(0.9, rules.identity), (0.99, rules.square)], combine=combine, name="watched"
    )
    parameter = torch.nn.Parameter(torch.zeros(4, dtype=torch.float64))
    optimizer = RuleOptimizer([parameter], rule, 0.1)
    for (grad,) in _gradients([(4,)], 5):
        parameter.grad = grad
        expected = optimizer.next_estimates(parameter)
        optimizer.step()
        for one, other in zip(expected, seen[-1], strict=True):
            assert torch.allclose(one, other, rtol=1e-14)


def test_a_closure_and_a_negative_step_size():
    parameter = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = RuleOptimizer([parameter], rules.gradient_descent(), 0.25)

    def closure():
        optimizer.zero_grad()
        loss = (parameter**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1.0
    assert parameter.item() == 0.5
    with pytest.raises(ConfigError, match="lr = -1"):
        RuleOptimizer([parameter], rules.gradient_descent(), -1)


@pytest.mark.parametrize("rule", ["adam", rules.adam, None])
def test_what_is_no_rule_is_refused(rule):
    with pytest.raises(ConfigError, match=r"^rule = .*: must be an UpdateRule"):
        RuleOptimizer([torch.nn.Parameter(torch.ones(1))], rule, 0.01)
