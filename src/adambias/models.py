"""Networks of the experiments: CIFAR-style and deep ResNets, the paper's small CNN, a small ViT."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from adambias.errors import ConfigError, choose_from

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}
GROUPS = 8


class BlockBatchNorm(nn.BatchNorm2d):
    """BatchNorm over one block that remembers how many pixels an image has at this depth.

    With ``momentum = 1`` its buffers hold the statistics of the last block, from which
    :class:`adambias.training.Training` forms those of the whole training set.
    """

    pixels: int = 1

    def forward(self, images: Tensor) -> Tensor:
        """Normalise a block of shape (N, C, H, W)."""
        self.pixels = images.shape[2] * images.shape[3]
        return functional.batch_norm(
            images,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum or 0.0,
            self.eps,
        )


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


class Block(nn.Module):
    """A residual block; its layers are named and ordered as torchvision's are.

    Not torchvision's own, whose import takes as long as torch's and half as long again.

    Parameters
    ----------
    channels, width : int
        Channels that come in, and of the convolutions; ``width * expansion`` go out.
    stride : int
        2 halves the image.
    style : Style
        Normalisation and activation.
    """

    expansion: ClassVar[int]

    def __init__(self, channels: int, width: int, stride: int, style: Style) -> None:
        super().__init__()
        out = width * self.expansion
        shortcut = None  # made first: it draws its weights before the block's own layers do
        if stride != 1 or channels != out:
            conv = nn.Conv2d(channels, out, 1, stride, bias=False)
            shortcut = nn.Sequential(conv, style.norm(out))
        self._make_layers(channels, width, stride, style)
        self.relu = style.activation()
        self.downsample = shortcut

    def _make_layers(self, channels: int, width: int, stride: int, style: Style) -> None:
        raise NotImplementedError

    def _shortcut(self, features: Tensor) -> Tensor:
        return features if self.downsample is None else self.downsample(features)


class BasicBlock(Block):
    """Two 3x3 convolutions (He et al. 2016, figure 5, left)."""

    expansion = 1

    def _make_layers(self, channels: int, width: int, stride: int, style: Style) -> None:
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = style.norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = style.norm(width)

    def forward(self, features: Tensor) -> Tensor:
        """Map features of shape (N, C, H, W)."""
        inner = self.relu(self.bn1(self.conv1(features)))
        inner = self.bn2(self.conv2(inner))
        return self.relu(inner + self._shortcut(features))


class Bottleneck(Block):
    """A 1x1, a 3x3 and a 1x1 convolution (He et al. 2016, figure 5, right)."""

    expansion = 4

    def _make_layers(self, channels: int, width: int, stride: int, style: Style) -> None:
        out = width * self.expansion
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = style.norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = style.norm(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = style.norm(out)

    def forward(self, features: Tensor) -> Tensor:
        """Map features of shape (N, C, H, W)."""
        inner = self.relu(self.bn1(self.conv1(features)))
        inner = self.relu(self.bn2(self.conv2(inner)))
        inner = self.bn3(self.conv3(inner))
        return self.relu(inner + self._shortcut(features))


class ResNet(nn.Module):
    """A residual network with a 3x3 stem and no max-pool.

    Parameters
    ----------
    block : type
        :class:`BasicBlock` or :class:`Bottleneck`.
    depths : sequence of int
        Blocks in each stage; every stage after the first halves the image.
    widths : sequence of int
        Channels of each stage, before the block's expansion.
    style : Style
        Images, classes, normalisation and activation.

    References
    ----------
    He et al. (2016), Deep residual learning for image recognition.
    """

    def __init__(
        self,
        block: type[Block],
        depths: Sequence[int],
        widths: Sequence[int],
        style: Style,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(style.in_channels, widths[0], 3, padding=1, bias=False)
        self.bn1 = style.norm(widths[0])
        self.relu = style.activation()
        stages: list[nn.Module] = []
        channels = widths[0]
        for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            stages.append(_stage(block, channels, width, depth, 1 if i == 0 else 2, style))
            channels = width * block.expansion
        self.stages = nn.Sequential(*stages)
        self.fc = nn.Linear(channels, style.num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of shape (N, classes) of images of shape (N, C, H, W)."""
        features = self.relu(self.bn1(self.conv1(images)))
        return self.fc(self.stages(features).mean((2, 3)))


def _stage(
    block: type[Block], channels: int, width: int, depth: int, stride: int, style: Style
) -> nn.Sequential:
    blocks = [block(channels, width, stride, style)]
    blocks += [block(width * block.expansion, width, 1, style) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)


def _small_resnet(style: Style, *, blocks: int) -> nn.Module:
    """Keep PyTorch's initial weights, smaller than torchvision's: a calmer start of training."""
    return ResNet(BasicBlock, [blocks] * 3, [16, 32, 64], style)


def _deep_resnet(style: Style, *, block: type[Block], depths: Sequence[int]) -> nn.Module:
    """Start as torchvision's own networks do, with normal weights of variance 2 / fan-out."""
    model = ResNet(block, depths, [64, 128, 256, 512], style)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model


def _paper_cnn(style: Style) -> nn.Module:
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


def _vit_small(style: Style) -> nn.Module:
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


_FACTORIES: dict[str, Callable[[Style], nn.Module]] = {
    "resnet8": functools.partial(_small_resnet, blocks=1),
    "resnet14": functools.partial(_small_resnet, blocks=2),
    "resnet20": functools.partial(_small_resnet, blocks=3),
    "resnet32": functools.partial(_small_resnet, blocks=5),
    "resnet18": functools.partial(_deep_resnet, block=BasicBlock, depths=(2, 2, 2, 2)),
    "resnet34": functools.partial(_deep_resnet, block=BasicBlock, depths=(3, 4, 6, 3)),
    "resnet50": functools.partial(_deep_resnet, block=Bottleneck, depths=(3, 4, 6, 3)),
    "resnet101": functools.partial(_deep_resnet, block=Bottleneck, depths=(3, 4, 23, 3)),
    "paper_cnn": _paper_cnn,
    "vit_small": _vit_small,
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
