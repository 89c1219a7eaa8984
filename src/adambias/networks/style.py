"""What networks are built with: images, classes, normalisation and activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from adambias.networks.batchnorm import BlockBatchNorm

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}
GROUPS = 8


def _group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(min(GROUPS, channels), channels)


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": BlockBatchNorm,
    "group": _group_norm,
    "none": lambda channels: nn.Identity(),
}


@dataclass(frozen=True, kw_only=True)
class Style:
    """What every network is built with: images, classes, normalisation and activation."""

    in_channels: int
    num_classes: int
    image_size: int
    norm: Callable[[int], nn.Module]
    activation: Callable[[], nn.Module]
    name_of_norm: str
