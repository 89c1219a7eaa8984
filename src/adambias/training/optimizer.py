"""Any update rule as a ``torch.optim.Optimizer``."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from adambias.core.errors import ConfigError
from adambias.law.rules import Moment, UpdateRule, identity, require_rule, square


class RuleOptimizer(Optimizer):
    """Take the steps of an update rule.

    Step n, from 0, is theta <- theta - lr Phi(m_hat_1, ..., m_hat_L, theta), where each moment is
    m <- d m + (1 - d) phi(g) and m_hat = m / (1 - d^(n+1)), or m without bias correction. All
    parameters of one device, dtype and step count advance together through foreach operations.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups, as for any PyTorch optimizer.
    rule : UpdateRule
        The rule, with decays that are numbers.
    lr : float
        Step size h, >= 0.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> theta = torch.nn.Parameter(torch.tensor([3.0]))
    >>> optimizer = RuleOptimizer([theta], ab.rules.signum(beta1=0.9), lr=0.5)
    >>> (theta**2).sum().backward()
    >>> optimizer.step()
    >>> round(theta.item(), 3)
    2.5
    """

    def __init__(self, params: Iterable[Any], rule: UpdateRule, lr: float) -> None:
        require_rule(rule)
        if not lr >= 0:
            raise ConfigError("lr", lr, "must be a number >= 0")
        for decay in rule.decays:
            if not isinstance(decay, int | float):
                raise ConfigError("rule", rule.name, "must have decays that are numbers")
        self.rule = rule
        super().__init__(params, {"lr": lr})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group as any optimizer does, without loading torch's compiler, which is slow."""
        inspect.unwrap(Optimizer.add_param_group)(self, param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step and return the loss of ``closure``, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            buckets: dict[tuple[Any, ...], list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    step = self._state_of(parameter)["step"]
                    buckets[parameter.device, parameter.dtype, step].append(parameter)
            for (_, _, step), parameters in buckets.items():
                self._advance(parameters, step, group["lr"])
        return loss

    @torch.no_grad()
    def next_estimates(self, parameter: Tensor) -> list[Tensor]:
        """Return the estimates m_hat that the next step of a parameter will use; none changes."""
        grad, state = parameter.grad, self.state.get(parameter, {})
        assert grad is not None
        estimates = []
        for i, moment in enumerate(self.rule.moments):
            estimate, decay = moment.phi(grad), moment.decay
            if decay != 0:
                estimate = (1 - decay) * estimate
                if state:
                    estimate = estimate + decay * state[f"moment_{i}"]
                if self.rule.bias_correction:
                    estimate = estimate / (1 - decay ** (state.get("step", 0) + 1))
            estimates.append(estimate)
        return estimates

    def _state_of(self, parameter: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state["step"] = 0
            for i, decay in enumerate(self.rule.decays):
                if decay != 0:
                    state[f"moment_{i}"] = torch.zeros_like(
                        parameter, memory_format=torch.preserve_format
                    )
        return state

    def _advance(self, parameters: list[Tensor], step: int, lr: float) -> None:
        grads = [p.grad for p in parameters if p.grad is not None]
        estimates = [
            self._estimate(i, moment, parameters, grads, step)
            for i, moment in enumerate(self.rule.moments)
        ]
        directions = [
            self.rule.combine(*(estimate[k] for estimate in estimates), parameter)
            for k, parameter in enumerate(parameters)
        ]
        torch._foreach_add_(parameters, directions, alpha=-lr)
        for parameter in parameters:
            self.state[parameter]["step"] = step + 1

    def _estimate(
        self, i: int, moment: Moment, parameters: list[Tensor], grads: list[Tensor], step: int
    ) -> list[Tensor]:
        """Update moment ``i`` of each parameter and return the estimates m_hat."""
        decay = moment.decay
        assert isinstance(decay, int | float)
        if decay == 0:
            return [moment.phi(grad) for grad in grads]
        stored = [self.state[p][f"moment_{i}"] for p in parameters]
        torch._foreach_mul_(stored, decay)
        if moment.phi is square:
            torch._foreach_addcmul_(stored, grads, grads, value=1 - decay)
        elif moment.phi is identity:
            torch._foreach_add_(stored, grads, alpha=1 - decay)
        else:
            torch._foreach_add_(stored, [moment.phi(grad) for grad in grads], alpha=1 - decay)
        if not self.rule.bias_correction:
            return stored
        return list(torch._foreach_div(stored, 1 - decay ** (step + 1)))
