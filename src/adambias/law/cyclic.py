"""What a moment remembers of mini-batches that come in cyclic order: the weight of each.

Batch r comes at the steps k = r, r + m, r + 2m, ... At step n step k has weight

    w_k(n) = d^(n-k) (1 - d) / (1 - d^(n+1)),

so that the weights of one batch are a geometric series, summed here in closed form.
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
EXACT_CYCLES = 32
NODES = 16
INTERPOLATION_ERROR = 1e-11
"""Of the largest U: a panel that is further off between its nodes is refined."""


def horizon(decays: Sequence[Number]) -> int:
    """Return after how many steps every moment has forgotten, to rounding in float64."""
    longest = max(float(decay) for decay in decays)
    return 1 if longest == 0 else max(1, math.ceil(math.log(FORGOTTEN) / math.log(longest)))


def settled_step(decays: Sequence[Number], batches: int) -> int:
    """Return a multiple of ``batches`` by which all weights have become periodic."""
    return batches * math.ceil(2 * horizon(decays) / batches)


def recurring_step(n: int, decays: Sequence[Number], batches: int) -> int:
    """Return n, or once the weights are periodic the step that stands for all with its batch."""
    return min(n, settled_step(decays, batches) + n % batches)


@dataclass(frozen=True)
class Panel:
    """A run of past steps of one batch: those of its cycles first, first + 1, ..., last - 1."""

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
        Which of the history's steps are the nodes; a panel with fewer repeats one.
    basis : Tensor, shape (P, Q, NODES)
        Interpolation from the nodes.
    """

    panels: tuple[Panel, ...]
    weights: Tensor
    nodes: Tensor
    basis: Tensor


@dataclass(frozen=True)
class History:
    """Weights of the past at one step, for L moments and m batches.

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
def history(
    n: int,
    decays: tuple[float, ...],
    batches: int,
    refined: frozenset[Panel] = frozenset(),
) -> History:
    """Return the weights of the past at step n.

    The directions U^(j) of all past steps enter, and they differ from step to step while the bias
    correction still matters. But along the steps of one batch they vary smoothly, so beyond
    the first cycles they are interpolated between few nodes per octave of j, and one node serves
    once they are periodic. The number of evaluations of U so stays bounded as n grows.

    Where U turns too sharply for that, as a smoothed sign does when its moment crosses zero,
    :func:`sharp` finds the panels to be ``refined``: halved, and taken step by step once they are
    short. The sums then agree with the plain ones to about 1e-12 of the largest.
    """
    pieces = list(_pieces(n, decays, batches, refined))
    steps = np.hstack([np.zeros(0, dtype=np.int64), *(piece.steps(batches) for piece in pieces)])
    coefficients = [
        np.hstack(
            [np.zeros((batches, 0)), *(piece.coefficients(n, d, batches) for piece in pieces)]
        )
        for d in decays
    ]
    return History(
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


def sharp(history: History, past: Tensor, between: Tensor) -> frozenset[Panel]:
    """Return the panels on which U turns too sharply for their nodes.

    Parameters
    ----------
    history : History
        With probes.
    past, between : Tensor, shape (K, ...) and (P Q, ...)
        U at the history's steps and at its probes.
    """
    assert history.probes is not None
    basis, nodes = history.probes.basis.to(past), history.probes.nodes.to(past.device)
    predicted = torch.einsum("pqk,pk...->pq...", basis, past[nodes])
    error = (predicted - between.view_as(predicted)).abs().amax(1)
    tolerance = max(INTERPOLATION_ERROR, 100 * torch.finfo(past.dtype).eps)
    found = (error > tolerance * past.abs().amax(0)).flatten(1).any(1)
    return frozenset(itertools.compress(history.probes.panels, found.tolist()))


def _all_weights(steps: NDArray[np.int64], decays: tuple[float, ...], batches: int) -> Tensor:
    """Return the weight of each batch in each moment at each step, shape (L, K, m)."""
    return torch.from_numpy(np.stack([_weights(steps, d, batches) for d in decays]))


def _weights(steps: NDArray[np.int64], d: float, batches: int) -> NDArray[np.float64]:
    """Return the weight of each batch at each step, shape (K, m)."""
    lag = steps[:, None] - np.arange(batches)
    visits = np.maximum(lag // batches + 1, 0)
    share = (1 - d) * d ** (lag % batches) * (1 - d ** (batches * visits)) / (1 - d**batches)
    return share / (1 - d ** (steps[:, None] + 1))


def _past_weights(window: NDArray[np.int64], n: int, d: float, batches: int) -> NDArray[np.float64]:
    """Return sum over batch r's steps k <= j of w_k(n), for j in the window, shape (J, m)."""
    fading = d ** (n - window) * (1 - d ** (window + 1)) / (1 - d ** (n + 1))
    return fading[:, None] * _weights(window, d, batches)


@dataclass(frozen=True)
class _Piece:
    """A panel, its nodes (K,) and its interpolation (J, K), both over cycles."""

    panel: Panel
    nodes: NDArray[np.int64]
    basis: NDArray[np.float64]

    def steps(self, batches: int) -> NDArray[np.int64]:
        """Return the steps of the nodes."""
        return self.panel.batch + batches * self.nodes

    def coefficients(self, n: int, d: float, batches: int) -> NDArray[np.float64]:
        """Return what U at each node counts in the sum of each batch, shape (m, K)."""
        cycles = np.arange(self.panel.first, self.panel.last)
        window = self.panel.batch + batches * cycles
        return _past_weights(window, n, d, batches).T @ self.basis

    @property
    def interpolates(self) -> bool:
        """Whether U is taken from a polynomial: neither step by step nor constant."""
        return 1 < len(self.nodes) < len(self.basis)


def _pieces(
    n: int, decays: tuple[float, ...], batches: int, refined: frozenset[Panel]
) -> Iterator[_Piece]:
    """Yield the runs of past steps of each batch."""
    forgotten = horizon(decays)
    for batch in range(min(batches, n)):
        for first, last, count in _panels(max(0, n - forgotten), n, batch, batches, forgotten):
            for panel, nodes in _refine(Panel(batch, first, last), count, refined):
                chosen = _chebyshev_integers(panel.first, panel.last, nodes)
                basis = _interpolation(chosen, np.arange(panel.first, panel.last))
                yield _Piece(panel, chosen, basis)


def _refine(panel: Panel, count: int, refined: frozenset[Panel]) -> Iterator[tuple[Panel, int]]:
    """Yield a panel and its number of nodes; halves of it, or all of a short one, if refined."""
    size = panel.last - panel.first
    if panel not in refined:
        yield panel, count
    elif size <= 4 * NODES:
        yield panel, size
    else:
        middle = panel.first + size // 2
        yield from _refine(replace(panel, last=middle), NODES, refined)
        yield from _refine(replace(panel, first=middle), NODES, refined)


def _probes(pieces: list[_Piece], decays: tuple[float, ...], batches: int) -> Probes | None:
    """Return the steps halfway between the nodes of each piece that interpolates."""
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

    By the barycentric formula. SciPy's shuffles the nodes, so that its last bits are random.
    """
    if len(chosen) == 1:
        return np.ones((len(cycles), 1))
    if len(chosen) == len(cycles):
        return np.eye(len(cycles))
    gaps = (chosen[:, None] - chosen) * (4.0 / (chosen[-1] - chosen[0]))
    np.fill_diagonal(gaps, 1.0)
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
    first, last = (max(0, -(-(step - batch) // batches)) for step in (start, n))
    settled = max(first, -(-(forgotten - batch) // batches))
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
    points = -np.cos(np.pi * (np.arange(count) + 0.5) / count)
    return np.unique(np.round(first + (points + 1) / 2 * (last - 1 - first)).astype(np.int64))
