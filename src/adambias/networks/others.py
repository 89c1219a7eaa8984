"""The paper's small convolutional network, a multilayer perceptron, and a small transformer."""

from __future__ import annotations

from torch import nn

from adambias.core.errors import ConfigError
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


def mlp(style: Style) -> nn.Module:
    """Two hidden layers of 32 units on the pixels, without normalisation."""
    if style.name_of_norm != "none":
        raise ConfigError("norm", style.name_of_norm, "must be 'none' with model = mlp")
    inputs, width = style.in_channels * style.image_size**2, 32
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(inputs, width), style.activation()),
        *(nn.Linear(width, width), style.activation()),
        nn.Linear(width, style.num_classes),
    )


def vit_small(style: Style) -> nn.Module:
    """Six layers of width 192 over patches of an eighth of the side; its norm is LayerNorm."""
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
