"""CIFAR-style and deep ResNets (He et al. 2016)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from adambias.networks.style import Style


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


resnet8 = functools.partial(_small_resnet, blocks=1)
resnet14 = functools.partial(_small_resnet, blocks=2)
resnet20 = functools.partial(_small_resnet, blocks=3)
resnet32 = functools.partial(_small_resnet, blocks=5)
resnet18 = functools.partial(_deep_resnet, block=BasicBlock, depths=(2, 2, 2, 2))
resnet34 = functools.partial(_deep_resnet, block=BasicBlock, depths=(3, 4, 6, 3))
resnet50 = functools.partial(_deep_resnet, block=Bottleneck, depths=(3, 4, 6, 3))
resnet101 = functools.partial(_deep_resnet, block=Bottleneck, depths=(3, 4, 23, 3))
