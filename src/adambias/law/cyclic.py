"""The past of mini-batches in cyclic order: which steps count how much in the sums of Theorem 3.1.

Of m batches, batch r comes at the steps k = r, r + m, r + 2m, ... At step n a moment of decay d
gives step k the weight

    w_k(n) = d^(n-k) (1 - d) / (1 - d^(n+1)),

so that the weights of one batch are a geometric series, summed here in closed form. U^(j) is the
rule's direction at step j with every moment evaluated at the present theta. The theorem moves the
place of batch r's gradients by

    sum_k w_k(n) sum_(j=k)^(n-1) U^(j) = sum_j a_r(j) U^(j),    a_r(j) = sum_(k <= j) w_k(n),

with k over the steps of batch r. Apart from :func:`misfits` nothing here depends on theta, so it is
computed once per step.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from adambias.law.rules import Number


FORGOTTEN = 1e-18
"""A weight below this is left out: a hundredth of what float64 rounds off a sum of size one."""
EXACT_CYCLES = 32
"""Cycles at the beginning that are taken step by step: there the bias correction changes most."""
NODES = 16
"""Steps of a panel at which U is evaluated."""
# U depends on j through 1 / (1 - d^(j+1)), which is singular at j = -1. A panel of cycles c to 2c
# is as far from there as it is long, so that 16 Chebyshev nodes leave an error of (3 +
# 8^(1/2))^-16, 6e-13.
INTERPOLATION_ERROR = 1e-11
"""Of the largest U: a panel that is further off between its nodes is refined."""


def forgetting_steps(decays: Sequence[Number]) -> int:
    """Return the number of steps after which every moment has forgotten, to float64's rounding."""
    longest = max(float(decay) for decay in decays)
    return 1 if longest == 0 else max(1, math.ceil(math.log(FORGOTTEN) / math.log(longest)))


def settled_step(decays: Sequence[Number], batches: int) -> int:
    """Return a multiple of ``batches`` by which all weights have become periodic."""
    # Twice: the steps that are still remembered have to lie where U itself is periodic already.
    return batches * math.ceil(2 * forgetting_steps(decays) / batches)


def recurring_step(n: int, decays: Sequence[Number], batches: int) -> int:
    """Return n, or once the weights are periodic the step that stands for all with its batch."""
    return min(n, settled_step(decays, batches) + n % batches)


@dataclass(frozen=True)
class Panel:
    """Successive past steps of one batch: those of the cycles first, first + 1, ..., last - 1."""

    batch: int
    first: int
    last: int


@dataclass(frozen=True)
class Probes:
    """Steps between the nodes of the P interpolated panels, Q in each, to check them at.

    Attributes
    ----------
    panels : tuple of Panel
        The panels.
    weights : Tensor, shape (L, P Q, m)
        Weight of each batch in each moment at those steps.
    nodes : Tensor of int64, shape (P, NODES)
        Positions of the nodes in :attr:`PastWeights.steps`; a panel with fewer repeats one.
    basis : Tensor, shape (P, Q, NODES)
        Interpolation from the nodes.
    """

    panels: tuple[Panel, ...]
    weights: Tensor
    nodes: Tensor
    basis: Tensor


@dataclass(frozen=True)
class PastWeights:
    """Weights of the past steps at step n, for L moments and m batches.

    Attributes
    ----------
    steps : ndarray, shape (K,)
        The past steps at which the direction U is evaluated.
    node_weights : Tensor, shape (L, K, m)
        Weight of each batch in each moment at those steps.
    coefficients : Tensor, shape (L, m, K)
        Sum_k w_k sum_(j=k)^(n-1) U^(j), over batch r's steps k, is coefficients[l, r] @ U(steps).
    probes : Probes or None
        Where to check the interpolation; None if there is none.
    refined : frozenset of Panel
        The panels that were halved, or taken step by step.
    """

    steps: NDArray[np.int64]
    node_weights: Tensor
    coefficients: Tensor
    probes: Probes | None
    refined: frozenset[Panel]


@functools.lru_cache(maxsize=16)
def past_weights(
    n: int,
    decays: tuple[float, ...],
    batches: int,
    refined: frozenset[Panel] = frozenset(),
) -> PastWeights:
    """Return the weights of the past at step n.

    The directions U^(j) of all past steps enter, and they differ from step to step while the bias
    correction still matters. But along the steps of one batch they vary smoothly. So beyond the
    first cycles each panel, of cycles c to 2c, is interpolated from few of its steps, its nodes,
    and a single node does once U is periodic. The number of evaluations of U then stays bounded as
    n grows.

    A polynomial cannot follow U where a smoothed sign flips, because its moment crosses zero.
    :func:`misfits` finds such panels; they are ``refined``, that is halved, and taken step by step
    once they are short. The sums then agree with the plain ones to about 1e-12 of the largest.

    Kept for the last few steps, because the stages of a Runge-Kutta step all ask for the same n.
    """
    pieces = list(_pieces(n, decays, batches, refined))
    steps = np.hstack([np.zeros(0, dtype=np.int64), *(piece.steps(batches) for piece in pieces)])
    coefficients = [
        np.hstack(
            [np.zeros((batches, 0)), *(piece.coefficients(n, d, batches) for piece in pieces)]
        )
        for d in decays
    ]
    return PastWeights(
        steps=steps,
        node_weights=_all_weights(steps, decays, batches),
        coefficients=torch.from_numpy(np.stack(coefficients)),
        probes=_probes(pieces, decays, batches),
        refined=refined,
    )


@functools.lru_cache(maxsize=64)
def weights(n: int, decays: tuple[float, ...], batches: int) -> Tensor:
    """Return the weight of each batch in each moment at step n, shape (L, m)."""
    return _all_weights(np.array([n]), decays, batches)[:, 0]


def misfits(probes: Probes, past: Tensor, between: Tensor) -> frozenset[Panel]:
    """Return the panels on which the interpolated U differs from U between their nodes.

    Parameters
    ----------
    probes : Probes
        Where to compare them.
    past, between : Tensor, shape (K, ...) and (P Q, ...)
        U at the steps of :class:`PastWeights` and at the probes.
    """
    basis, nodes = probes.basis.to(past), probes.nodes.to(past.device)
    predicted = torch.einsum("pqk,pk...->pq...", basis, past[nodes])
    error = (predicted - between.view_as(predicted)).abs().amax(1)
    # In float32 rounding alone is above the error allowed: every panel would be refined.
    tolerance = max(INTERPOLATION_ERROR, 100 * torch.finfo(past.dtype).eps)
    # Each component against its own largest value: a small one may be the one whose sign flips.
    found = (error > tolerance * past.abs().amax(0)).flatten(1).any(1)
    return frozenset(itertools.compress(probes.panels, found.tolist()))


def _all_weights(steps: NDArray[np.int64], decays: tuple[float, ...], batches: int) -> Tensor:
    """Return the weight of each batch in each moment at each step, shape (L, K, m)."""
    return torch.from_numpy(np.stack([_weights(steps, d, batches) for d in decays]))


def _weights(steps: NDArray[np.int64], d: float, batches: int) -> NDArray[np.float64]:
    """Return the weight of each batch at each step, shape (K, m)."""
    # A batch that came last a = lag % m steps ago, and v times in all, has the weight (1 - d) (d^a
    # + d^(a+m) + ... v terms) / (1 - d^(j+1)). With d = 0 this is 1 for the batch of the step and 0
    # for others, as 0**0 is 1; a batch that is still to come has v = 0.
    lag = steps[:, None] - np.arange(batches)
    visits = np.maximum(lag // batches + 1, 0)
    share = (1 - d) * d ** (lag % batches) * (1 - d ** (batches * visits)) / (1 - d**batches)
    return share / (1 - d ** (steps[:, None] + 1))


def _weights_up_to(
    window: NDArray[np.int64], n: int, d: float, batches: int
) -> NDArray[np.float64]:
    """Return sum over batch r's steps k <= j of w_k(n), for j in the window, shape (J, m)."""
    # By step n all weights of step j have faded by one factor, apart from the bias correction.
    fading = d ** (n - window) * (1 - d ** (window + 1)) / (1 - d ** (n + 1))
    return fading[:, None] * _weights(window, d, batches)


@dataclass(frozen=True)
class _Piece:
    """A panel, its nodes (K,) as cycles, and the interpolation from them to its J cycles (J, K)."""

    panel: Panel
    nodes: NDArray[np.int64]
    basis: NDArray[np.float64]

    def steps(self, batches: int) -> NDArray[np.int64]:
        """Return the steps of the nodes."""
        return self.panel.batch + batches * self.nodes

    def coefficients(self, n: int, d: float, batches: int) -> NDArray[np.float64]:
        """Return what U at each node counts in the sum of each batch, shape (m, K)."""
        # The transpose of interpolation: U at all J steps is never formed.
        cycles = np.arange(self.panel.first, self.panel.last)
        window = self.panel.batch + batches * cycles
        return _weights_up_to(window, n, d, batches).T @ self.basis

    @property
    def interpolates(self) -> bool:
        """Whether U is interpolated: neither taken step by step nor constant."""
        return 1 < len(self.nodes) < len(self.basis)


def _pieces(
    n: int, decays: tuple[float, ...], batches: int, refined: frozenset[Panel]
) -> Iterator[_Piece]:
    """Yield the panels of each batch's past steps, with their nodes."""
    forgotten = forgetting_steps(decays)
    for batch in range(min(batches, n)):
        for first, last, count in _panels(max(0, n - forgotten), n, batch, batches, forgotten):
            for panel, nodes in _refine(Panel(batch, first, last), count, refined):
                chosen = _chebyshev_integers(panel.first, panel.last, nodes)
                basis = _interpolation(chosen, np.arange(panel.first, panel.last))
                yield _Piece(panel, chosen, basis)


def _refine(panel: Panel, count: int, refined: frozenset[Panel]) -> Iterator[tuple[Panel, int]]:
    """Yield a panel with its number of nodes, or the parts of it that take its place if refined."""
    size = panel.last - panel.first
    if panel not in refined:
        yield panel, count
    elif size <= 4 * NODES:
        yield panel, size  # step by step, which ends the halving
    else:
        middle = panel.first + size // 2
        yield from _refine(replace(panel, last=middle), NODES, refined)
        yield from _refine(replace(panel, first=middle), NODES, refined)


def _probes(pieces: list[_Piece], decays: tuple[float, ...], batches: int) -> Probes | None:
    """Return the steps halfway between the nodes of each piece that interpolates."""
    # Halfway the polynomial is free to be wrong: at the nodes it is right by construction.
    ends = itertools.accumulate(len(piece.nodes) for piece in pieces)
    found = [(piece, end) for piece, end in zip(pieces, ends, strict=True) if piece.interpolates]
    if not found:
        return None
    steps, nodes, basis = [], [], []
    for piece, end in found:
        count = len(piece.nodes)
        # A panel with fewer nodes is filled up with its last one, which counts for nothing.
        filled = np.minimum(np.arange(NODES), count - 1)
        cycles = (piece.nodes[filled[:-1]] + piece.nodes[filled[1:]]) // 2
        steps.append(piece.panel.batch + batches * cycles)
        nodes.append(end - count + filled)
        rows = piece.basis[cycles - piece.panel.first]
        basis.append(np.pad(rows, ((0, 0), (0, NODES - count))))
    return Probes(
        panels=tuple(piece.panel for piece, _ in found),
        weights=_all_weights(np.hstack(steps), decays, batches),
        nodes=torch.from_numpy(np.stack(nodes)),
        basis=torch.from_numpy(np.stack(basis)),
    )


def _interpolation(chosen: NDArray[np.int64], cycles: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the polynomials that are one at one node and zero at the others, at all cycles.

    By the barycentric formula, which is stable at Chebyshev nodes. SciPy's own shuffles the nodes
    at random, so that the last bits would differ from run to run.
    """
    if len(chosen) == 1:
        return np.ones((len(cycles), 1))
    if len(chosen) == len(cycles):
        return np.eye(len(cycles))
    # In units of a quarter of the length the products below neither overflow nor vanish.
    gaps = (chosen[:, None] - chosen) * (4.0 / (chosen[-1] - chosen[0]))
    np.fill_diagonal(gaps, 1.0)
    # At a node the formula divides by zero; there the polynomials are known.
    between = ~np.isin(cycles, chosen)
    shares = 1.0 / (gaps.prod(1) * (cycles[between, None] - chosen))
    basis = np.zeros((len(cycles), len(chosen)))
    basis[chosen - cycles[0]] = np.eye(len(chosen))
    basis[between] = shares / shares.sum(1, keepdims=True)
    return basis


def _panels(
    start: int, n: int, batch: int, batches: int, forgotten: int
) -> list[tuple[int, int, int]]:
    """Return ranges of cycles [first, last) and their numbers of nodes, for one batch's steps."""
    # -(-a // b) is a / b rounded up, in exact integers.
    first, last = (max(0, -(-(step - batch) // batches)) for step in (start, n))
    settled = max(first, -(-(forgotten - batch) // batches))
    # Past this cycle nothing depends on how long ago the training began, and one node does.
    panels = [(settled, last, 1)] if settled < last else []
    last = min(last, settled)
    while first < last:
        end = min(last, max(EXACT_CYCLES, 2 * first))
        count = end - first if first < EXACT_CYCLES else NODES
        panels.append((first, end, min(count, end - first)))
        first = end
    return panels


def _chebyshev_integers(first: int, last: int, count: int) -> NDArray[np.int64]:
    """Return ``count`` distinct integers in [first, last), crowded towards its ends."""
    if count == last - first:
        return np.arange(first, last)
    # Nodes must be steps, so Chebyshev's are rounded; two that fall together count once.
    points = -np.cos(np.pi * (np.arange(count) + 0.5) / count)
    return np.unique(np.round(first + (points + 1) / 2 * (last - 1 - first)).astype(np.int64))
