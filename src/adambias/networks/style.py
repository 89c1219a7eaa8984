"""What networks are built with: inputs, outputs, normalisation and activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from adambias.core.errors import ConfigError
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
    """What every network is built with, and must fit.

    Attributes
    ----------
    input_shape : tuple of int
        Shape of one input: (C, H, W) of an image, (F,) of a row of a table, (T,) of tokens.
    outputs : int
        Numbers of an answer: classes, numbers to predict, or the vocabulary.
    vocabulary : int or None
        Different tokens, if inputs are tokens: integers from 0; None if they are numbers.
    norm : callable
        Makes the normalisation of a number of channels.
    activation : callable
        Makes the activation.
    name_of_norm : str
        The trial's ``norm``.
    """

    input_shape: tuple[int, ...]
    outputs: int
    vocabulary: int | None = None
    norm: Callable[[int], nn.Module]
    activation: Callable[[], nn.Module]
    name_of_norm: str

    @property
    def num_classes(self) -> int:
        """Numbers of an answer, of a classifier its classes."""
        return self.outputs

    @property
    def in_channels(self) -> int:
        """Channels of an image."""
        return self._image[0]

    @property
    def image_size(self) -> int:
        """Side of a square image."""
        _, height, width = self._image
        if height != width:
            raise ConfigError("model", self.input_shape, "needs images that are squares")
        return width

    @property
    def _image(self) -> tuple[int, int, int]:
        if len(self.input_shape) != 3 or self.vocabulary is not None:
            allowed = "inputs of this shape are no images (channels, height, width), which it needs"
            raise ConfigError("model", self.input_shape, allowed)
        channels, height, width = self.input_shape
        return channels, height, width
