"""A network from its name, with initial weights that depend on the seed alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from adambias.core.errors import ConfigError, choose_from
from adambias.core.registry import MODELS
from adambias.networks.style import ACTIVATIONS, NORMS, Style


def build(
    name: str,
    *,
    input_shape: Sequence[int],
    outputs: int,
    vocabulary: int | None = None,
    norm: str = "batch",
    activation: str = "relu",
    options: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> nn.Module:
    """Build a network on the CPU.

    Parameters
    ----------
    name : str
        One of :data:`adambias.core.registry.MODELS`, or ``package.module:factory`` for a network of
        one's own, made by a function of a :class:`~adambias.networks.style.Style`.
    input_shape : sequence of int
        Shape of one input: (C, H, W) of images.
    outputs : int
        Classes, numbers to predict, or the vocabulary.
    vocabulary : int, optional
        Number of tokens, where inputs are tokens.
    norm : {"batch", "group", "none"}
        Normalisation of the convolutional networks. ``vit_small`` has LayerNorm in place of either
        of the first two.
    activation : {"relu", "gelu", "softplus", "tanh"}
        Activation function.
    options : mapping, optional
        Further arguments of the factory.
    seed : int, optional
        Seed of the initial weights, which then depend on nothing else; the global random state is
        left as it was. Without a seed the global random state is used, as usual in PyTorch.

    Raises
    ------
    ConfigError
        If the factory does not take an option, fails on what it is to fit, or returns no network
        that can be trained: see :func:`refuse_untrainable`.

    Examples
    --------
    >>> net = build("resnet8", input_shape=(1, 8, 8), outputs=10, seed=0)
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
        input_shape=tuple(input_shape),
        outputs=outputs,
        vocabulary=vocabulary,
        norm=NORMS[norm],
        activation=ACTIVATIONS[activation],
        name_of_norm=norm,
    )
    # A fork of the random state: a seed determines the weights and changes nothing else.
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        model = MODELS.make(name, style, options=options or {}, key="model_options")
    if not isinstance(model, nn.Module):
        raise ConfigError("model", name, f"{MODELS.must}, not {type(model).__name__}")
    refuse_untrainable(name, model)
    return model


def refuse_untrainable(name: str, model: nn.Module) -> None:
    """Refuse a network whose loss is no smooth function of real weights.

    Raises
    ------
    ConfigError
        If it has dropout, which draws anew in each pass; complex weights; or nothing to train.
    """
    for place, module in model.named_modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            allowed = f"its layer {place} drops at random, so that its loss is none: set p = 0"
            raise ConfigError("model", name, allowed)
    trained = {place: p for place, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise ConfigError("model", name, "has no parameters that are trained")
    for place, parameter in trained.items():
        if not parameter.is_floating_point():
            allowed = f"its parameter {place} is {parameter.dtype}, must be real numbers"
            raise ConfigError("model", name, allowed)
