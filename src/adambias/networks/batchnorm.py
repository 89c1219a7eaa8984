"""BatchNorm over blocks, and its statistics over all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from adambias.core.errors import ConfigError


class BlockBatchNorm(nn.BatchNorm2d):
    """BatchNorm over one block that remembers how many pixels an image has at this depth.

    With ``momentum = 1`` its buffers hold the statistics of the last block, from which
    :class:`PopulationStatistics` forms those of the whole training set.
    """

    pixels: int = 1
    twice: bool = False
    """Whether its gradient is going to be differentiated."""

    def forward(self, images: Tensor) -> Tensor:
        """Normalise a block of shape (N, C, H, W)."""
        # Not nn.BatchNorm2d's own forward, which counts batches: an addition per layer and block.
        self.pixels = images.shape[2] * images.shape[3]
        if self.twice and self.training:
            found: Tensor = _Normalise.apply(images, self.weight, self.bias, self.eps)
            return found
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


def remember_blocks(name: str, model: nn.Module) -> None:
    """Let torch's own BatchNorm2d be :class:`BlockBatchNorm`, with the same parameters.

    Raises
    ------
    ConfigError
        If the network has a BatchNorm whose exact statistics cannot be kept.
    """
    for place, module in model.named_modules():
        if not isinstance(module, nn.modules.batchnorm._BatchNorm):
            continue
        if type(module) is nn.BatchNorm2d and module.affine and module.track_running_stats:
            module.__class__ = BlockBatchNorm
        elif not isinstance(module, BlockBatchNorm):
            allowed = (
                f"its layer {place} is a {type(module).__name__}, of which no exact statistics are "
                "kept: set bn_statistics = 'running', or use style.norm"
            )
            raise ConfigError("model", name, allowed)


@contextmanager
def twice_differentiable(model: nn.Module) -> Iterator[None]:
    """Build graphs whose gradients have a fast derivative; buffers then stay as they are.

    Loss and gradient are the same to the last bit. Of torch's own BatchNorm the second derivative
    is put together from fifty small operations, and takes more than all convolutions.
    """
    layers = [module for module in model.modules() if isinstance(module, BlockBatchNorm)]
    for layer in layers:
        layer.twice = True
    try:
        yield
    finally:
        for layer in layers:
            layer.twice = False


class _Normalise(torch.autograd.Function):
    """torch's BatchNorm in training, whose gradient is :class:`_Slope`."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        normalised, mean, inverse = torch.native_batch_norm(
            images, weight, bias, None, None, True, 0.0, eps
        )
        ctx.save_for_backward(images, weight, mean, inverse)
        ctx.eps = eps
        return normalised

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return *_Slope.apply(grad, *ctx.saved_tensors, ctx.eps), None


class _Slope(torch.autograd.Function):
    """The gradient of BatchNorm along images, weight and bias, with its derivative.

    By channel, with xhat = (x - mean) s, s = 1/sqrt(var + eps), N values and P u = u - mean(u) -
    xhat mean(u xhat), the gradient is w s P g, sum g xhat, sum g. In

        L = <v, w s P g> + a sum(g xhat) + b sum(g)

    the images enter by xhat, dxhat/dx = s P, and by s, ds/dx = -s^2 xhat / N.
    """

    @staticmethod
    def forward(
        ctx: Any,
        grad: Tensor,
        images: Tensor,
        weight: Tensor,
        mean: Tensor,
        inverse: Tensor,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        found = _slope(grad, images, weight, mean, inverse, eps)
        ctx.save_for_backward(grad, images, weight, mean, inverse, *found[1:])
        ctx.eps = eps
        return found

    @staticmethod
    def backward(ctx: Any, v: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
        grad, images, weight, mean, s, g_xhat, g_sum = ctx.saved_tensors
        count = images.numel() // images.shape[1]
        # What the gradient's kernel makes of v are the three sums that are needed, and w s P v.
        to_grad, v_xhat, v_sum = _slope(v, images, weight, mean, s, ctx.eps)
        v_projected_g = (v * grad).sum((0, 2, 3)) - (v_sum * g_sum + v_xhat * g_xhat) / count
        # dL/dg = w s P v + a xhat + b
        to_grad.addcmul_(images, _wide(a * s)).add_(_wide(b - a * s * mean))
        # dL/dxhat = alpha v + beta g; its projection is that less level and xhat times tilt.
        alpha = -weight * s * g_xhat / count
        beta = a - weight * s * v_xhat / count
        level = (alpha * v_sum + beta * g_sum) / count
        tilt = s * (alpha * v_xhat + beta * g_xhat + weight * s * v_projected_g) / count
        to_images = torch.addcmul(_wide(s * (tilt * mean - level)), v, _wide(s * alpha))
        to_images.addcmul_(grad, _wide(s * beta)).addcmul_(images, _wide(-s * tilt))
        return to_grad, to_images, s * v_projected_g, None, None, None


def _slope(
    grad: Tensor, images: Tensor, weight: Tensor, mean: Tensor, inverse: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    kernel = torch.ops.aten.native_batch_norm_backward
    found: tuple[Tensor, Tensor, Tensor] = kernel(
        grad, images, weight, None, None, mean, inverse, True, eps, [True] * 3
    )
    return found


def _wide(channels: Tensor) -> Tensor:
    """Return a number per channel as a factor of images."""
    return channels.view(1, -1, 1, 1)


class PopulationStatistics:
    """Mean and variance of every BatchNorm channel over all blocks of one pass.

    Each block leaves its own statistics in the buffers (momentum 1); blocks are combined by the
    law of total variance, so the gradient's pass yields the statistics of the whole training set.
    """

    def __init__(self, model: nn.Module) -> None:
        self._layers = [m for m in model.modules() if isinstance(m, BlockBatchNorm)]
        self._spans = [layer.num_features for layer in self._layers]
        # One vector for all layers: combining blocks takes a few operations, not a few per layer.
        channels = next(model.parameters()).new_zeros(sum(self._spans))
        self._mean, self._var = channels, torch.ones_like(channels)
        self._total_mean, self._total_var = self._mean, self._var
        self._seen = 0
        pieces = zip(self._mean.split(self._spans), self._var.split(self._spans), strict=True)
        for layer, (mean, var) in zip(self._layers, pieces, strict=True):
            layer.momentum, layer.running_mean, layer.running_var = 1.0, mean, var

    def reset(self) -> None:
        """Forget all blocks."""
        self._seen = 0

    @torch.no_grad()
    def add(self, images: int) -> None:
        """Take in the block of ``images`` images that has just passed the network."""
        if not self._layers:
            return
        # torch leaves the unbiased variance of images * pixels values in the buffer; the law of
        # total variance needs the biased one.
        counts = [images * layer.pixels for layer in self._layers]
        biased = [
            v * (1 - 1 / c) for v, c in zip(self._var.split(self._spans), counts, strict=True)
        ]
        mean, var = self._mean.clone(), torch.cat(biased)
        if self._seen:
            # In the form of Chan, Golub and LeVeque: sums of squares would cancel where the mean is
            # large against the deviation.
            share = images / (self._seen + images)
            delta = mean - self._total_mean
            mean = self._total_mean + share * delta
            between = (share * (1 - share)) * delta.square_()
            var = (1 - share) * self._total_var + share * var + between
        self._total_mean, self._total_var = mean, var
        self._seen += images

    @torch.no_grad()
    def store(self) -> None:
        """Write the statistics over all blocks into the buffers, for evaluation."""
        if self._layers:
            self._mean.copy_(self._total_mean)
            self._var.copy_(self._total_var)
