"""A network from its name, with initial weights that depend on the seed alone."""

from __future__ import annotations

import torch
from torch import nn

from adambias.core.errors import ConfigError, choose_from
from adambias.core.registry import MODELS
from adambias.networks.style import ACTIVATIONS, NORMS, Style


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
        One of :data:`adambias.core.registry.MODELS`, or ``package.module:factory`` for a network of
        one's own, made by a function of a :class:`~adambias.networks.style.Style`.
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
    factory = MODELS.factory(name)
    # A fork of the random state: a seed determines the weights and changes nothing else.
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        model = factory(style)
    if not isinstance(model, nn.Module):
        raise ConfigError("model", name, f"{MODELS.must}, not {type(model).__name__}")
    return model
