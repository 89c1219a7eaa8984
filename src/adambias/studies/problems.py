"""Small losses with their starts, on which the orders of the flows are measured.

Each is a function of the settings of the stage ``bilinear`` and returns a loss, or mini-batch
losses in cyclic order, and a start ``(p,)`` in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from adambias.config import Bilinear
from adambias.law import losses
from adambias.law.losses import Loss


def bilinear(settings: Bilinear) -> tuple[Loss, Tensor]:
    """Return the model of Section 5."""
    return losses.bilinear(x=settings.x, y=settings.y), start_of(settings)


def tanh_mlp(settings: Bilinear) -> tuple[Loss, Tensor]:
    """Return a tanh network with one hidden layer."""
    return losses.tanh_mlp()


def double_wells(settings: Bilinear) -> tuple[Loss, Tensor]:
    """Return a chain of coupled double wells."""
    return losses.double_wells(), torch.tensor([1.9, 0.4, -1.5, 0.3, 1.6], dtype=torch.float64)


def bilinear_batches(settings: Bilinear) -> tuple[list[Loss], Tensor]:
    """Return three bilinear models as mini-batches."""
    models = [(settings.x, settings.y), (1.0, 2.0), (1.5, 0.5)]
    return [losses.bilinear(x=x, y=y) for x, y in models], start_of(settings)


def start_of(settings: Bilinear) -> Tensor:
    """Return where every trajectory on the bilinear model starts, shape (2,)."""
    return torch.tensor(settings.start, dtype=torch.float64)
