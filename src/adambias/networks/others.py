"""The paper's small convolutional network, a multilayer perceptron, and two transformers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from adambias.core.errors import ConfigError
from adambias.core.extras import need
from adambias.core.validation import integer
from adambias.networks.style import Style


def paper_cnn(style: Style) -> nn.Module:
    """Three pairs of 3x3 convolutions, each followed by a halving, and a hidden linear layer."""
    if style.image_size % 8:
        raise ConfigError("model", "paper_cnn", "needs images whose side is a multiple of 8 pixels")
    layers: list[nn.Module] = []
    channels = style.in_channels
    for width in (32, 64, 128):
        for _ in range(2):
            conv = nn.Conv2d(channels, width, 3, padding=1)
            layers += [conv, style.norm(width), style.activation()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    flat = channels * (style.image_size // 8) ** 2
    layers += [nn.Flatten(), nn.Linear(flat, 512), style.activation()]
    return nn.Sequential(*layers, nn.Linear(512, style.num_classes))


def mlp(style: Style, *, width: int = 32, depth: int = 2) -> nn.Module:
    """``depth`` hidden layers of ``width`` units on numbers of any shape, without normalisation."""
    if style.name_of_norm != "none":
        raise ConfigError("norm", style.name_of_norm, "must be 'none' with model = mlp")
    if style.vocabulary is not None:
        raise ConfigError("model", "mlp", "needs inputs that are numbers, not tokens")
    width = integer("model_options.width", width, 1)
    sizes = [math.prod(style.input_shape), *[width] * integer("model_options.depth", depth, 0)]
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), style.activation()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], style.outputs))


class _Block(nn.Module):
    """Attention over the tokens so far, then two linear layers, each on normalised inputs."""

    def __init__(self, style: Style, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = _layer_norm(style, width), _layer_norm(style, width)
        self.attention = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.activation = style.activation()

    def forward(self, features: Tensor) -> Tensor:
        """Map features of shape (N, T, width)."""
        count, length, width = features.shape
        parts = self.attention(self.norm1(features)).view(count, length, 3, self.heads, -1)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        features = features + self.mix(seen.transpose(1, 2).reshape(count, length, width))
        inner = self.activation(self.inner(self.norm2(features)))
        return features + self.outer(inner)


class _Transformer(nn.Module):
    def __init__(self, style: Style, vocabulary: int, options: Mapping[str, int]) -> None:
        super().__init__()
        width = options["width"]
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(style.input_shape[0], width)
        blocks = (_Block(style, width, options["heads"]) for _ in range(options["layers"]))
        self.blocks = nn.Sequential(*blocks)
        self.norm = _layer_norm(style, width)
        self.head = nn.Linear(width, style.outputs, bias=False)
        if options["tied"]:
            self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits of shape (N, T, vocabulary) of tokens of shape (N, T)."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return self.head(self.norm(self.blocks(self.tokens(tokens) + self.places(places))))


def _layer_norm(style: Style, width: int) -> nn.Module:
    return nn.Identity() if style.name_of_norm == "none" else nn.LayerNorm(width)


def gpt(
    style: Style, *, layers: int = 2, width: int = 32, heads: int = 2, tied: bool = False
) -> nn.Module:
    """Build a decoder that predicts each token from those before it (Radford et al. 2019).

    Parameters
    ----------
    style : Style
        Of tokens. Its norm is LayerNorm, before attention and before the linear layers.
    layers, width, heads : int
        Blocks, features of a token, and parts of them that attend on their own.
    tied : bool
        Let the output's weights be those of the tokens.
    """
    if style.vocabulary is None:
        raise ConfigError("model", "gpt", "needs inputs that are tokens, as of the source text")
    numbers = {"layers": layers, "width": width, "heads": heads}
    numbers = {name: integer(f"model_options.{name}", n, 1) for name, n in numbers.items()}
    if width % heads:
        raise ConfigError("model_options.heads", heads, f"must divide width = {width}")
    model = _Transformer(style, style.vocabulary, numbers | {"tied": tied})
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return model


def vit_small(style: Style) -> nn.Module:
    """Six layers of width 192 over patches of an eighth of the side; its norm is LayerNorm."""
    need("torchvision")
    from torchvision.models.vision_transformer import VisionTransformer

    if style.image_size % 8:
        raise ConfigError("model", "vit_small", "needs images whose side is a multiple of 8 pixels")
    vit = VisionTransformer(
        image_size=style.image_size,
        patch_size=style.image_size // 8,
        num_layers=6,
        num_heads=3,
        hidden_dim=192,
        mlp_dim=768,
        num_classes=style.num_classes,
        norm_layer=nn.Identity if style.name_of_norm == "none" else nn.LayerNorm,
    )
    if style.in_channels != 3:
        vit.conv_proj = nn.Conv2d(style.in_channels, 192, vit.patch_size, stride=vit.patch_size)
    for layer in vit.encoder.layers:
        layer.mlp[1] = style.activation()
    nn.init.normal_(vit.heads.head.weight, std=0.02)
    return vit
