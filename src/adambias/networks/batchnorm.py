"""BatchNorm over blocks, and its statistics over all of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class BlockBatchNorm(nn.BatchNorm2d):
    """BatchNorm over one block that remembers how many pixels an image has at this depth.

    With ``momentum = 1`` its buffers hold the statistics of the last block, from which
    :class:`adambias.training.trainer.Training` forms those of the whole training set.
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


class PopulationStatistics:
    """Mean and variance of every BatchNorm channel over all blocks of one pass.

    Each block leaves its own statistics in the buffers (momentum 1); blocks are combined by the
    law of total variance, so the gradient's pass yields the statistics of the whole training set.
    """

    def __init__(self, model: nn.Module) -> None:
        self._layers = [m for m in model.modules() if isinstance(m, BlockBatchNorm)]
        self._spans = [layer.num_features for layer in self._layers]
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
        # The buffer holds the unbiased variance of images * pixels values.
        counts = [images * layer.pixels for layer in self._layers]
        biased = [
            v * (1 - 1 / c) for v, c in zip(self._var.split(self._spans), counts, strict=True)
        ]
        mean, var = self._mean.clone(), torch.cat(biased)
        if self._seen:
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
