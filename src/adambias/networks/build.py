"""A network by its name."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import nn

from adambias.core.errors import ConfigError, choose_from
from adambias.networks.others import paper_cnn, vit_small
from adambias.networks.resnet import BasicBlock, Bottleneck, deep_resnet, small_resnet
from adambias.networks.style import ACTIVATIONS, NORMS, Style

_FACTORIES: dict[str, Callable[[Style], nn.Module]] = {
    "resnet8": functools.partial(small_resnet, blocks=1),
    "resnet14": functools.partial(small_resnet, blocks=2),
    "resnet20": functools.partial(small_resnet, blocks=3),
    "resnet32": functools.partial(small_resnet, blocks=5),
    "resnet18": functools.partial(deep_resnet, block=BasicBlock, depths=(2, 2, 2, 2)),
    "resnet34": functools.partial(deep_resnet, block=BasicBlock, depths=(3, 4, 6, 3)),
    "resnet50": functools.partial(deep_resnet, block=Bottleneck, depths=(3, 4, 6, 3)),
    "resnet101": functools.partial(deep_resnet, block=Bottleneck, depths=(3, 4, 23, 3)),
    "paper_cnn": paper_cnn,
    "vit_small": vit_small,
}
NAMES: tuple[str, ...] = tuple(_FACTORIES)


def build(
    name: str,
    *,
    in_channels: int,
    num_classes: int,
    image_size: int,
    norm: str = "batch",
    activation: str = "relu",
    seed: int | None = None,
) -> nn.Module:
    """Build a network on the CPU.

    Parameters
    ----------
    name : str
        One of :data:`NAMES`.
    in_channels, num_classes, image_size : int
        Channels and side of the images, and number of classes.
    norm : {"batch", "group", "none"}
        Normalisation of the convolutional networks. ``vit_small`` has LayerNorm in place of either
        of the first two.
    activation : {"relu", "gelu", "softplus", "tanh"}
        Activation function.
    seed : int, optional
        Seed of the initial weights, which then depend on nothing else; the global random state is
        left as it was. Without a seed the global random state is used, as usual in PyTorch.

    Examples
    --------
    >>> net = build("resnet8", in_channels=1, num_classes=10, image_size=8, seed=0)
    >>> sum(p.numel() for p in net.parameters())
    77754
    """
    for key, value, table in (
        ("model", name, _FACTORIES),
        ("norm", norm, NORMS),
        ("activation", activation, ACTIVATIONS),
    ):
        if value not in table:
            raise ConfigError(key, value, choose_from(table, value))
    style = Style(
        in_channels=in_channels,
        num_classes=num_classes,
        image_size=image_size,
        norm=NORMS[norm],
        activation=ACTIVATIONS[activation],
        name_of_norm=norm,
    )
    if seed is None:
        return _FACTORIES[name](style)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _FACTORIES[name](style)
