"""What a CUDA graph does, on a CPU: kernels recorded once, and run again in the same places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal")
"""Kernels whose answer Python needs: a GPU's recording refuses them."""


class Tape(TorchDispatchMode):
    """Records every kernel, with the tensors it reads and those it wrote."""

    def __init__(self) -> None:
        super().__init__()
        self._before: dict[int, tuple[Tensor, Tensor]] = {}
        self.kernels: list[tuple[Callable[..., Any], Any, Any, Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.name().startswith(WAITS):
            raise RuntimeError(f"operation not permitted when stream is capturing: {func.name()}")
        # BatchNorm writes its running averages, and its schema does not say so.
        if func._schema.is_mutable or "batch_norm" in func.name():
            for tensor in tree_leaves((args, kwargs)):
                if isinstance(tensor, Tensor):
                    self._before.setdefault(tensor.data_ptr(), (tensor, tensor.clone()))
        result = func(*args, **(kwargs or {}))
        self.kernels.append((func, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def undo(self) -> None:
        """Put back what the kernels overwrote: a GPU records them and runs none."""
        for tensor, before in reversed(self._before.values()):
            tensor.copy_(before)

    @torch.no_grad()
    def replay(self) -> None:
        """Run the kernels again; what Python computed between them stays what it was."""
        for func, args, kwargs, result in self.kernels:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


@contextmanager
def recording(tape: Tape, capture_error_mode: str = "global") -> Iterator[None]:
    """Record what is computed on a tape, in the place of ``torch.cuda.graph``."""
    with tape:
        yield
    tape.undo()
