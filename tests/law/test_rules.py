"""Update rules against scalar recursions written out by hand, and their bad input."""

import math
import subprocess
import sys

import pytest
import torch
from plain import COMPONENTWISE

import adambias as ab
from adambias.core.errors import ConfigError
from adambias.law import rules

H, STEPS = 0.05, 12
BETA1, BETA2, EPSILON, DECAY = 0.8, 0.9, 1e-3, 0.1
HYPERPARAMETERS = {"beta1": BETA1, "beta2": BETA2, "epsilon": EPSILON, "weight_decay": DECAY}


def slope(theta: float) -> float:
    return theta**3 - 2 * theta


def quartic(theta: torch.Tensor) -> torch.Tensor:
    return theta[0] ** 4 / 4 - theta[0] ** 2


def scalar_update(name: str, m: float, nu: float, m2: float, g: float, theta: float) -> float:
    """The update of each rule from plain numbers: m over BETA1, m2 over BETA2, nu of squares."""
    mixed = BETA1 * m + (1 - BETA1) * g
    lion = BETA1 * m2 + (1 - BETA1) * g
    return {
        "gradient_descent": g,
        "heavy_ball": m,
        "nesterov": mixed,
        "rmsprop": g / math.sqrt(nu + EPSILON),
        "adam": m / math.sqrt(nu + EPSILON),
        "adam_outside": m / (math.sqrt(nu) + EPSILON),
        "adamw": m / math.sqrt(nu + EPSILON) + DECAY * theta,
        "nadam": mixed / math.sqrt(nu + EPSILON),
        "lion": lion / math.sqrt(lion**2 + EPSILON) + DECAY * theta,
        "signum": m / math.sqrt(m**2 + EPSILON),
    }[name]


@pytest.mark.parametrize("name", [*COMPONENTWISE, "adam_outside"])
@pytest.mark.parametrize("bias_correction", [True, False])
def test_iterates_equal_a_scalar_recursion(name, bias_correction):
    placement = "outside" if name == "adam_outside" else "inside"
    rule = rules.make_rule(
        name.removesuffix("_outside"),
        epsilon_placement=placement,
        bias_correction=bias_correction,
        **HYPERPARAMETERS,
    )
    path = ab.iterate(rule, quartic, torch.tensor([1.9], dtype=torch.float64), H, STEPS)
    theta, m, nu, m2 = 1.9, 0.0, 0.0, 0.0
    for n in range(STEPS):
        g = slope(theta)
        m = BETA1 * m + (1 - BETA1) * g
        nu = BETA2 * nu + (1 - BETA2) * g * g
        m2 = BETA2 * m2 + (1 - BETA2) * g
        c1, c2 = (1 - BETA1 ** (n + 1), 1 - BETA2 ** (n + 1)) if bias_correction else (1, 1)
        theta -= H * scalar_update(name, m / c1, nu / c2, m2 / c2, g, theta)
        assert path[n + 1].item() == pytest.approx(theta, rel=1e-12)


@pytest.mark.parametrize("rule", ["adam", "adamw"])
def test_epsilon_outside_is_torch_optim(rule):
    start = torch.tensor([2.8, 3.5], dtype=torch.float64)
    parameter = start.clone().requires_grad_()
    optimizer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[rule](
        [parameter], lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0
    )
    loss = ab.losses.bilinear()
    for _ in range(50):
        optimizer.zero_grad()
        loss(parameter).backward()
        optimizer.step()
    ours = rules.make_rule(
        rule, beta1=0.9, beta2=0.99, epsilon=1e-8, epsilon_placement="outside", weight_decay=0.0
    )
    path = ab.iterate(ours, loss, start, 0.01, 50)
    torch.testing.assert_close(path[-1], parameter.detach(), rtol=1e-12, atol=1e-12)


def test_importing_rules_does_not_import_torch():
    code = "import sys, adambias.law.rules; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_batched_hyperparameters_equal_single_runs():
    beta1 = torch.tensor([[0.0], [0.5], [0.9]], dtype=torch.float64)
    beta2 = torch.tensor([[0.9], [0.0], [0.99]], dtype=torch.float64)
    epsilon = torch.tensor([[1e-2], [1.0], [1e-4]], dtype=torch.float64)
    h = torch.tensor([[0.01], [0.02], [0.03]], dtype=torch.float64)
    starts = torch.tensor([[2.8, 3.5], [1.0, 2.0], [-1.0, 1.0]], dtype=torch.float64)
    loss = ab.losses.bilinear()
    rule = rules.adam(beta1=beta1, beta2=beta2, epsilon=epsilon)
    flow = ab.modified_flow(rule, loss, h)
    paths = ab.iterate(rule, loss, starts, h, 20), ab.integrate(flow, starts, h, 20)
    for i in range(3):
        step = h[i].item()
        one = rules.adam(beta1=beta1[i].item(), beta2=beta2[i].item(), epsilon=epsilon[i].item())
        single = ab.modified_flow(one, loss, step)
        torch.testing.assert_close(paths[0][:, i], ab.iterate(one, loss, starts[i], step, 20))
        torch.testing.assert_close(paths[1][:, i], ab.integrate(single, starts[i], step, 20))


def no_rule():
    return "adam"


def my_rule(beta1: float = 0.9) -> ab.UpdateRule:
    return ab.UpdateRule(moments=[(beta1, rules.identity)], combine=lambda m, theta: m.tanh())


def test_a_rule_of_ones_own_by_name():
    rule = rules.make_rule(f"{__name__}:my_rule", beta1=0.5, beta2=0.9)
    assert rule.decays == (0.5,)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: rules.adam(beta1=1.0), "beta1 = 1.0: must be >= 0 and < 1"),
        (lambda: rules.adam(beta2=-0.1), "beta2 = -0.1: must be >= 0 and < 1"),
        (lambda: rules.Moment(1.5), "decay = 1.5: must be >= 0 and < 1"),
        (lambda: rules.Moment(math.nan), "decay = nan"),
        (lambda: rules.adam(beta1=torch.tensor([[0.5], [1.0]])), "beta1 = "),
        (lambda: rules.adam(epsilon=0.0), "epsilon = 0.0: must be > 0"),
        (lambda: rules.signum(epsilon=-1.0), "epsilon = -1.0: must be > 0"),
        (lambda: rules.lion(weight_decay=-1.0), "weight_decay = -1.0: must be >= 0"),
        (lambda: rules.rmsprop(epsilon_placement="out"), "epsilon_placement = 'out'"),
        (lambda: rules.heavy_ball(beta1="0.9"), "beta1 = '0.9': must be a number"),
        (lambda: rules.make_rule("adamm"), "did you mean adam"),
        (lambda: rules.make_rule("no.such:rule"), "cannot be imported"),
        (lambda: rules.make_rule("math:sqrt2"), "math has no sqrt2, must be one of"),
        (lambda: rules.make_rule("builtins:dict"), "must name a function"),
        (
            lambda: rules.make_rule(f"{__name__}:no_rule"),
            "not str",
        ),
        (lambda: rules.make_rule("math:pi"), "must name a function"),
        (lambda: ab.UpdateRule(moments=[], combine=my_rule), "at least one moment"),
        (lambda: ab.UpdateRule(moments=[(0.5, abs)], combine=None), "combine = None"),
        (lambda: ab.UpdateRule(moments=[0.9], combine=my_rule), "moments = 0.9: must be a Moment"),
        (lambda: ab.UpdateRule(moments=0.9, combine=my_rule), "moments = 0.9: must be a list"),
        (lambda: ab.UpdateRule(moments=[(0.9, abs, 1)], combine=my_rule), "a pair (decay, phi)"),
        (lambda: ab.UpdateRule(moments=[(0.9, 2)], combine=my_rule), "phi = 2: must be a function"),
    ],
)
def test_bad_rules_are_refused(make, words):
    with pytest.raises(ConfigError) as error:
        make()
    assert words in str(error.value)
    assert "\n" not in str(error.value)
