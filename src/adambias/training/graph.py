"""A full-batch gradient as one CUDA graph: all its kernels start with one call.

A small network's pass over a block is a few hundred kernels of microseconds each, and starting them
one by one takes longer than they run. Blocks that stay the same need no decision between them, so
the pass over all of them can be recorded once and replayed
(https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

WARM_UP = 2
"""Passes before the recording, in which libraries choose their kernels and take their memory."""


class Replay:
    """A computation recorded once, which each call does again, on whatever its tensors hold then.

    What is recorded is the kernels and the places they read and write: numbers that Python computed
    meanwhile stay what they were, and nothing in it may wait for the device.

    Parameters
    ----------
    compute : callable
        Returns a tensor on the GPU, and may write to others that stay in their places.
    kept : callable
        Makes a context after which what ``compute`` advances is as it was, for the warm-up.

    Raises
    ------
    RuntimeError
        If the computation cannot be recorded, as one that waits for the device.
    """

    def __init__(
        self, compute: Callable[[], Tensor], kept: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        with kept():
            for _ in range(WARM_UP):
                compute()
        self._graph = torch.cuda.CUDAGraph()
        # Other threads, as one that watches the GPU, may go on to ask it for things meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._result = compute()

    def __call__(self) -> Tensor:
        """Do it again and return a copy of the result, which the next call leaves alone."""
        self._graph.replay()
        return self._result.clone()
