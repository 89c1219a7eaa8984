"""Losses of trainings, summed over the inputs of a block.

What a factory returns is a function of outputs and targets. Its attribute ``accuracy``, if there is
one, is a function of the same that gives the number of right answers, or None if there is no such
thing; without the attribute the largest output is the answer where targets are classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from adambias.core.errors import ConfigError
from adambias.core.validation import Range

OfOutputs = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Loss:
    """A loss, and what counts as a right answer.

    Parameters
    ----------
    total : callable
        From outputs and targets to the loss, summed over the inputs.
    accuracy : callable or None
        From outputs and targets to the number of right answers.
    """

    total: OfOutputs
    accuracy: OfOutputs | None

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the sum."""
        return self.total(outputs, targets)


def right_classes(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return how many of the outputs ``(N, classes)`` are largest at their class."""
    return (outputs.argmax(1) == targets).sum()


def accuracy_of(loss: OfOutputs, targets: Tensor) -> OfOutputs | None:
    """Return what counts the right answers under a loss, None if nothing does.

    Parameters
    ----------
    loss : callable
        What a factory of a loss returned.
    targets : Tensor
        What is to be answered.
    """
    classes = targets.ndim == 1 and not targets.is_floating_point()
    found: OfOutputs | None = getattr(loss, "accuracy", right_classes if classes else None)
    return found if found is not right_classes or classes else None


def cross_entropy(*, label_smoothing: float = 0.0) -> Loss:
    """Return the cross-entropy of logits ``(N, classes)`` and classes ``(N,)``, summed over N."""
    share = Range(at_least=0, at_most=1)
    if not share.holds(label_smoothing):
        raise ConfigError("loss_options.label_smoothing", label_smoothing, f"must be {share}")

    def total(logits: Tensor, labels: Tensor) -> Tensor:
        if logits.ndim != 2 or labels.ndim != 1:
            raise ValueError("it is of logits (N, classes) and classes (N,)")
        return functional.cross_entropy(
            logits, labels, reduction="sum", label_smoothing=label_smoothing
        )

    return Loss(total, right_classes)


def mse() -> Loss:
    """Return half the squared distance of outputs from targets, summed over N.

    Targets are numbers ``(N,)`` or ``(N, outputs)``, or classes ``(N,)`` that stand for one-hot
    vectors.
    """

    def total(outputs: Tensor, targets: Tensor) -> Tensor:
        if targets.is_floating_point():
            wanted = targets.view(outputs.shape)
        elif outputs.ndim != 2 or targets.ndim != 1:
            raise ValueError("it is of numbers, or of outputs (N, classes) and classes (N,)")
        else:
            wanted = functional.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
        return (outputs - wanted).square().sum() / 2

    return Loss(total, right_classes)


def next_token() -> Loss:
    """Return the cross-entropy of logits ``(N, T, V)`` and tokens ``(N, T)``.

    A mean over the T places, summed over N; an answer is as right as the share of its tokens.
    """

    def total(logits: Tensor, tokens: Tensor) -> Tensor:
        flat = logits.flatten(0, 1), tokens.flatten()
        return functional.cross_entropy(*flat, reduction="sum") / tokens.shape[1]

    def right(logits: Tensor, tokens: Tensor) -> Tensor:
        return (logits.argmax(-1) == tokens).to(torch.float64).mean(1).sum()

    return Loss(total, right)
