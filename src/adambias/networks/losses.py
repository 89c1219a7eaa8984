"""Losses of trainings, summed over a block."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional


def cross_entropy() -> Callable[[Tensor, Tensor], Tensor]:
    """Return the cross-entropy of logits ``(N, classes)`` and classes ``(N,)``, summed over N."""

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits, labels, reduction="sum")

    return loss


def mse() -> Callable[[Tensor, Tensor], Tensor]:
    """Return half the squared distance of outputs ``(N, classes)`` from one-hot, summed over N."""

    def loss(outputs: Tensor, labels: Tensor) -> Tensor:
        wanted = functional.one_hot(labels, outputs.shape[1]).to(outputs.dtype)
        return (outputs - wanted).square().sum() / 2

    return loss
