"""Derivatives of functions of tensors, by reverse sweeps alone.

``torch.func`` has the same, at a price: its first call loads torch's compiler, which takes seconds,
and on small losses each call costs more than the loss itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor
from torch.func import vmap

if TYPE_CHECKING:
    from adambias.law.losses import Loss

Product: TypeAlias = Callable[[Tensor], Tensor]
"""From a vector to the Hessian times it."""


class OwnDerivatives(ABC):
    """A loss that brings its gradient and its Hessian-vector product along.

    Such as a network's over blocks of images, which one graph of autograd would not fit into memory
    for. It takes one vector ``(p,)``, no batch of them.
    """

    @abstractmethod
    def __call__(self, theta: Tensor) -> Tensor:
        """Return the loss, a scalar."""

    @abstractmethod
    def gradient(self, theta: Tensor) -> Tensor:
        """Return the gradient, shape (p,), in memory of its own."""

    @abstractmethod
    def slope(self, theta: Tensor) -> tuple[Tensor, Product]:
        """Return the gradient and the Hessian-vector product, both at ``theta``."""


def gradient_of(function: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    """Return the gradient of a function to a scalar.

    It can be differentiated again where ``point`` requires it, as :func:`pullback` has it do.
    """
    # Detached unless a second derivative is wanted: theta may bring a graph of the caller's along.
    again = point.requires_grad and torch.is_grad_enabled()
    with torch.enable_grad():
        start = point if again else point.detach().requires_grad_()
        value = function(start)
    return _sweep(value, (start,), again=again)[0]


def pullback(
    function: Callable[..., Tensor], *point: Tensor
) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, ...]]]:
    """Return the value and the function from cotangents of it to cotangents of the point."""
    value, start = _recorded(function, point)

    # The graph is kept: mini-batches ask for one product per moment.
    def transpose(cotangent: Tensor) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            product = (value * cotangent).sum()
        return _sweep(product, start, kept=True)

    return value.detach(), transpose


def derivative(
    function: Callable[..., Tensor], point: tuple[Tensor, ...], tangent: tuple[Tensor, ...]
) -> Tensor:
    """Return the derivative of ``function`` at ``point`` along ``tangent``.

    It is the transpose of the transpose, two reverse sweeps.
    """
    value, start = _recorded(function, point)
    with torch.enable_grad():
        # The reverse sweep is linear in the cotangent, so its derivative by the cotangent is the
        # forward derivative, and zero will do for where it is taken.
        cotangent = torch.zeros_like(value, requires_grad=True)
        transpose = _sweep((value * cotangent).sum(), start, again=True)
        pairs = zip(transpose, tangent, strict=True)
        product = torch.stack([(each * along).sum() for each, along in pairs]).sum()
    return _sweep(product, (cotangent,))[0]


def _recorded(
    function: Callable[..., Tensor], point: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the value with its graph, and the point that it begins at."""
    with torch.enable_grad():
        start = tuple(each.detach().requires_grad_() for each in point)
        return function(*start), start


def _sweep(
    value: Tensor, start: tuple[Tensor, ...], *, again: bool = False, kept: bool = False
) -> tuple[Tensor, ...]:
    """Return the gradients of a scalar, zero where it does not depend on ``start``.

    They can be differentiated ``again``; with its graph ``kept`` the value can be swept once more.
    """
    # Of a scalar only: for a value of any other shape autograd takes a cotangent, and the first
    # such call in a process loads torch's symbolic algebra.
    if not value.requires_grad:
        return tuple(map(torch.zeros_like, start))
    return torch.autograd.grad(
        value, start, retain_graph=again or kept, create_graph=again, materialize_grads=True
    )


def gradient(loss: Loss, theta: Tensor) -> Tensor:
    """Return the gradient at ``theta``, ``(p,)`` or one row per trajectory, ``(B, p)``."""
    if isinstance(loss, OwnDerivatives):
        return loss.gradient(theta)
    return gradient_of(total(loss, theta), theta)


def slope(loss: Loss, theta: Tensor) -> tuple[Tensor, Product]:
    """Return the gradient and the Hessian-vector product at ``theta``, ``(p,)`` or ``(B, p)``."""
    if isinstance(loss, OwnDerivatives):
        return loss.slope(theta)
    g, transpose = pullback(partial(gradient_of, total(loss, theta)), theta)
    return g, lambda vector: transpose(vector)[0]


def total(loss: Loss, theta: Tensor) -> Loss:
    """Return the loss, or the sum of the losses of independent trajectories."""
    if theta.ndim == 1:
        return loss
    # Row b enters the b-th term only: the gradient of the sum holds the gradient of each.
    return lambda rows: vmap(loss)(rows).sum()
