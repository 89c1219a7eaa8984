"""Losses as functions of one vector: analytic ones, and a network's.

Each factory returns a callable from a vector ``(p,)`` to a scalar.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

Loss: TypeAlias = Callable[[Tensor], Tensor]


def bilinear(*, x: float = 2.0, y: float = 1.5) -> Loss:
    """Return E(theta) = (y - x theta_1 theta_2)^2 / 2, the model of Section 5.

    Its minima are the hyperbola theta_1 theta_2 = y / x.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> ab.losses.bilinear(x=2.0, y=1.5)(torch.tensor([0.5, 1.0]))
    tensor(0.1250)
    """

    def loss(theta: Tensor) -> Tensor:
        return 0.5 * (y - x * theta[0] * theta[1]) ** 2

    return loss


def double_wells(*, coupling: float = 0.5) -> Loss:
    """Return a chain of coupled double wells.

    E(theta) = sum_i (theta_i^2 - 1)^2 / 4 + coupling / 2 sum_i (theta_(i+1) - theta_i)^2, which
    has minima at all ones and all minus ones.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> ab.losses.double_wells(coupling=0.5)(torch.tensor([1.0, 1.0, -1.0]))
    tensor(1.)
    """

    def loss(theta: Tensor) -> Tensor:
        wells = ((theta * theta - 1) ** 2).sum() / 4
        return wells + coupling / 2 * ((theta[1:] - theta[:-1]) ** 2).sum()

    return loss


def tanh_mlp(
    *, inputs: int = 3, width: int = 5, samples: int = 20, seed: int = 0
) -> tuple[Loss, Tensor]:
    """Return the mean squared error of a tanh network with one hidden layer, and a start.

    Inputs and targets are drawn from ``seed``: x normal, y = sin(2 x_1) + x_2 x_3.

    Returns
    -------
    loss : callable
        A function of ``(p,)`` with p = width (inputs + 2), in float64.
    theta0 : Tensor, shape (p,)
        Weights drawn from ``seed``, scaled by the inverse root of the number of inputs.

    Examples
    --------
    >>> import adambias as ab
    >>> loss, theta0 = ab.losses.tanh_mlp()
    >>> len(theta0), round(float(loss(theta0)), 4)
    (25, 2.332)
    """
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(samples, inputs, generator=generator, dtype=torch.float64)
    targets = torch.sin(2 * points[:, 0]) + points[:, 1] * points[:, -1]
    split = width * inputs
    theta0 = torch.randn(width * (inputs + 2), generator=generator, dtype=torch.float64)
    theta0[:split] /= math.sqrt(inputs)
    theta0[split + width :] /= math.sqrt(width)

    def loss(theta: Tensor) -> Tensor:
        weights = theta[:split].reshape(width, inputs)
        hidden = torch.tanh(points @ weights.T + theta[split : split + width])
        return 0.5 * ((hidden @ theta[split + width :] - targets) ** 2).mean()

    return loss, theta0


def network(module: nn.Module, images: Tensor, labels: Tensor) -> Loss:
    """Return the mean cross-entropy of a network as a function of its parameters in one vector.

    The module is put in evaluation mode and in float64, and the images are cast. It must be smooth
    for the flows to hold: no ReLU, no max-pooling.

    Parameters
    ----------
    module : torch.nn.Module
        A classifier. Its parameters are read once, for their shapes; see :func:`parameter_vector`.
    images : Tensor, shape (N, C, H, W)
        Inputs.
    labels : Tensor of int64, shape (N,)
        Classes.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
    >>> loss = ab.losses.network(net, torch.ones(5, 1, 2, 2), torch.tensor([0, 1, 2, 0, 1]))
    >>> theta0 = torch.zeros(15, dtype=torch.float64)
    >>> round(float(loss(theta0)), 4)  # log 3: every class is as likely
    1.0986
    """
    module = module.double().eval()
    shapes = [(name, p.shape, p.numel()) for name, p in module.named_parameters()]
    sizes = [size for _, _, size in shapes]
    images = images.double()

    def loss(theta: Tensor) -> Tensor:
        pieces = theta.split(sizes)
        named = {
            name: piece.view(shape) for (name, shape, _), piece in zip(shapes, pieces, strict=True)
        }
        # Of torch's attention kernels only this one has the second derivative that flows need.
        with sdpa_kernel(SDPBackend.MATH):
            logits = functional_call(module, named, (images,))
        return nn.functional.cross_entropy(logits, labels)

    return loss


def parameter_vector(module: nn.Module) -> Tensor:
    """Return a module's parameters as one float64 vector ``(p,)``, in the order of `network`.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> ab.losses.parameter_vector(torch.nn.Linear(4, 3)).shape
    torch.Size([15])
    """
    return torch.cat([p.detach().double().reshape(-1) for p in module.parameters()])
