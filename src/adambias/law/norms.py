"""Norms of the gradient."""

from __future__ import annotations

import torch
from torch import Tensor

NORMS = ("perturbed_one_norm", "one_norm", "two_norm", "max_norm", "mean_abs_grad")


def perturbed_one_norm(grad: Tensor, epsilon: float | Tensor) -> Tensor:
    """Return sum_j sqrt(g_j^2 + epsilon) over the last axis, the paper's perturbed one-norm.

    Parameters
    ----------
    grad : Tensor, shape (..., p)
        Gradients.
    epsilon : float or Tensor
        Perturbation, > 0, of the unit of a squared gradient; broadcasts against ``grad``.

    Returns
    -------
    Tensor, shape (...,)

    Examples
    --------
    >>> import torch, adambias as ab
    >>> ab.perturbed_one_norm(torch.tensor([3.0, -4.0, 0.0]), epsilon=1e-2)
    tensor(7.1029)
    """
    return (grad * grad + epsilon).sqrt().sum(-1)


def log10_excess(grad: Tensor, epsilon: float) -> float:
    """Return log10 of what the perturbed one-norm of a gradient has above p sqrt(epsilon).

    Parameters
    ----------
    grad : Tensor, shape (p,)
        A gradient.
    epsilon : float
        As in :func:`perturbed_one_norm`.
    """
    squares = grad.double() ** 2
    # Not as a difference of the two sums: with a large epsilon that has no digits left.
    parts = squares / ((squares + epsilon).sqrt() + epsilon**0.5)
    return float(parts.sum().log10())


def gradient_norms(grad: Tensor, epsilon: float) -> Tensor:
    """Return the norms of one gradient that an epoch record holds, in the order of :data:`NORMS`.

    Squares are formed in the dtype of ``grad`` and summed in float64.

    Parameters
    ----------
    grad : Tensor, shape (p,)
        A gradient.
    epsilon : float
        Perturbation of the perturbed one-norm.

    Returns
    -------
    Tensor, shape (5,), float64
        sum_j sqrt(g_j^2 + epsilon), sum_j abs(g_j), sqrt(sum_j g_j^2), max_j abs(g_j), and the
        mean of abs(g_j); on the device of ``grad``, so that nothing waits for it.
    """
    squares = grad * grad
    two_norm = squares.sum(dtype=torch.float64).sqrt()
    perturbed = squares.add_(epsilon).sqrt_().sum(dtype=torch.float64)
    sizes = torch.abs(grad, out=squares)
    one_norm = sizes.sum(dtype=torch.float64)
    max_norm = sizes.max().double()
    return torch.stack([perturbed, one_norm, two_norm, max_norm, one_norm / grad.numel()])
