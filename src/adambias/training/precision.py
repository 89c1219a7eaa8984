"""Precision profiles: what arithmetic a network runs in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch

from adambias.core.errors import ConfigError, choose_from


@dataclass(frozen=True, kw_only=True)
class Precision:
    """A profile.

    Parameters
    ----------
    dtype : torch.dtype
        Of parameters, accumulated gradients and moments.
    tf32 : bool
        Whether CUDA convolutions and matrix products may round their inputs to TF32; the CPU has
        no TF32 and computes in fp32.
    autocast : torch.dtype or None
        Type in which the network runs under autocast; None is ``dtype``.
    """

    dtype: torch.dtype = torch.float32
    tf32: bool = False
    autocast: torch.dtype | None = None

    def network(self, device: torch.device) -> AbstractContextManager[object]:
        """Return the context the network's forward pass runs in."""
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(device.type, dtype=self.autocast)

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Set TF32 and deterministic algorithms for a while; the process keeps its own settings."""
        matmul = torch.backends.cuda.matmul.allow_tf32
        deterministic = torch.get_deterministic_debug_mode()
        memory = torch.utils.deterministic
        filled = memory.fill_uninitialized_memory  # type: ignore[attr-defined]
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        # As use_deterministic_algorithms(True, warn_only=True), which loads torch's compiler.
        torch.set_deterministic_debug_mode("warn")
        # Filling every new tensor with NaN, its default, would cost a twentieth of the time.
        memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        try:
            with torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=self.tf32
            ):
                yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = matmul
            torch.set_deterministic_debug_mode(deterministic)
            memory.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


PROFILES: dict[str, Precision] = {
    "fp64": Precision(dtype=torch.float64),
    "fp32": Precision(),
    "tf32": Precision(tf32=True),
    "bf16": Precision(autocast=torch.bfloat16),
}


def profile(name: str) -> Precision:
    """Return a profile by its name.

    Raises
    ------
    ConfigError
        If there is none of this name.
    """
    if name not in PROFILES:
        raise ConfigError("precision", name, choose_from(PROFILES, name))
    return PROFILES[name]
