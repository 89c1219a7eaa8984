"""Derivatives of functions of tensors, by reverse sweeps alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp


def derivative(
    function: Callable[..., Tensor], point: tuple[Tensor, ...], tangent: tuple[Tensor, ...]
) -> Tensor:
    """Return the derivative of ``function`` at ``point`` along ``tangent``.

    It is the transpose of the transpose, two reverse sweeps: as fast here as ``torch.func.jvp``,
    which warns users of what torch itself deprecates.
    """
    value, transpose = pullback(function, *point)
    _, forward = pullback(transpose, torch.zeros_like(value))
    return forward(tangent)[0]


def pullback(
    function: Callable[..., Any], *point: Tensor
) -> tuple[Tensor, Callable[..., tuple[Tensor, ...]]]:
    """Return the value and the function from cotangents of it to cotangents of the point."""
    return vjp(function, *point)  # type: ignore[return-value]
