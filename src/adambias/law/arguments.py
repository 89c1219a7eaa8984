"""Check the losses, start and step size that a flow or an iteration is given."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor
from torch.func import vmap

from adambias.core.errors import ConfigError
from adambias.law.derivatives import OwnDerivatives
from adambias.law.losses import Loss
from adambias.law.rules import UpdateRule

if TYPE_CHECKING:
    from adambias.law.rules import Number


Losses: TypeAlias = Loss | Sequence[Loss]


def as_losses(loss: Losses) -> tuple[Loss, ...]:
    """Return the losses as a tuple, one entry for full batch."""
    losses = (loss,) if callable(loss) else tuple(loss) if isinstance(loss, Iterable) else ()
    if not losses or not all(callable(each) for each in losses):
        raise ConfigError("loss", loss, "must be a function, or a list of functions, of a vector")
    return losses


def check_start(losses: Sequence[Loss], theta: Tensor) -> None:
    """Refuse a start, or a loss at it, that no trajectory can begin with.

    Raises
    ------
    ConfigError
        If theta is not a floating ``(p,)`` or ``(B, p)``, or a loss is not scalar or not finite.
    """
    if not isinstance(theta, Tensor) or not theta.is_floating_point():
        raise ConfigError("theta0", theta, "must be a floating-point tensor, float64 by preference")
    if theta.ndim not in (1, 2) or theta.numel() == 0:
        raise ConfigError("theta0.shape", tuple(theta.shape), "must be (p,) or (B, p)")
    for loss in losses:
        if isinstance(loss, OwnDerivatives) and theta.ndim == 2:
            allowed = "must be (p,) for a loss that brings its own derivatives"
            raise ConfigError("theta0.shape", tuple(theta.shape), allowed)
        value = loss(theta if theta.ndim == 1 else theta[0])
        if not isinstance(value, Tensor) or value.ndim != 0:
            shape = tuple(value.shape) if isinstance(value, Tensor) else value
            raise ConfigError("loss(theta0)", shape, "must be a scalar tensor, of shape ()")
        values = value if theta.ndim == 1 else vmap(loss)(theta)
        if not bool(torch.isfinite(values).all()):
            worst = values.flatten()[~torch.isfinite(values.flatten())][0].item()
            raise ConfigError("loss(theta0)", worst, "must be finite at the start")


def check_shapes(rule: UpdateRule, theta: Tensor, h: Number) -> None:
    """Refuse hyperparameters or a step size of a shape that does not go with ``theta``.

    Raises
    ------
    ConfigError
        If h is neither a number nor ``(B, 1)`` for ``theta`` of shape ``(B, p)``, or the rule's
        direction is not of the shape of ``theta``.
    """
    shape = tuple(theta.shape)
    if theta.ndim == 2 and not rule.componentwise:
        allowed = f"must be (p,) for {rule.name}, whose steps are of matrices"
        raise ConfigError("theta0.shape", shape, allowed)
    advice = f"does not go with theta0 {shape}, one start per trajectory: expand theta0 to (B, p)"
    if isinstance(h, Tensor) and h.ndim and h.shape != (*shape[:-1], 1):
        raise ConfigError("h.shape", tuple(h.shape), advice)
    for decay in rule.decays:
        if isinstance(decay, Tensor) and not _broadcasts(decay, theta):
            raise ConfigError("decay.shape", tuple(decay.shape), advice)
    try:
        direction = rule.combine(*(torch.zeros_like(theta) for _ in rule.moments), theta)
    except RuntimeError as error:
        raise ConfigError("rule", rule.name, f"{advice} ({str(error).splitlines()[0]})") from None
    if isinstance(direction, Tensor) and not _broadcasts(direction, theta):
        raise ConfigError("rule", rule.name, advice)


def _broadcasts(value: Tensor, theta: Tensor) -> bool:
    try:
        value.expand(theta.shape)
    except RuntimeError:
        return False
    return True


def check_step_size(h: Number, *, positive: bool = False) -> None:
    """Refuse a step size that is negative, infinite, or a tensor of a shape other than (B, 1).

    Raises
    ------
    ConfigError
        Naming ``h``; 0 is refused too if it has to be ``positive``.
    """
    if not isinstance(h, Real | Tensor):
        raise ConfigError("h", h, "must be a number, or a tensor (B, 1)")
    values, bound = torch.as_tensor(h), ">" if positive else ">="
    if not torch.all((values > 0 if positive else values >= 0) & (values < math.inf)):
        raise ConfigError("h", h, f"must be {bound} 0 and finite")
    if values.ndim and (values.ndim != 2 or values.shape[1] != 1):
        raise ConfigError("h.shape", tuple(values.shape), "must be (B, 1), one per trajectory")
