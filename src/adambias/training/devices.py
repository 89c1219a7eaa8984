"""The GPU that a training was granted: there, or a line that says why not."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch

from adambias.core.errors import AdambiasError

DRIVER = Path("/proc/driver/nvidia/version")
"""Where NVIDIA's driver says which it is."""


def granted_gpu() -> torch.device:
    """Return the GPU of a training that was granted one.

    Of several that the process sees, the first: Ray shows each trial its own, through
    ``CUDA_VISIBLE_DEVICES``.

    Raises
    ------
    AdambiasError
        If torch sees none, naming host, torch's build and the driver: on a CPU the training would
        be slow, and its result would count as if a GPU had made it.
    """
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    raise AdambiasError(
        f"{socket.gethostname()}: a GPU was granted, and torch sees none ({build()}; {driver()}): "
        "install a build that fits the driver, or set gpus_per_trial = 0"
    )


def own_stream(device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Return a maker of contexts in which kernels go to one new CUDA stream; elsewhere to none.

    What is given to one stream is computed in turn, beside what is given to others.
    """
    if device.type != "cuda":
        return nullcontext
    # Without it, as cuBLAS documents, its sums may change where several streams share it.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return partial(torch.cuda.stream, torch.cuda.Stream(device))


def name_of(device: torch.device) -> str:
    """Return the name of a GPU; of a processor ``cpu``."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def build() -> str:
    """Say for what torch was built: ``torch 2.11.0 for CUDA 12.8``."""
    made_for = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    return f"torch {torch.__version__} {made_for}"


def driver() -> str:
    """Say which NVIDIA driver the machine has."""
    try:
        words = DRIVER.read_text(encoding="utf-8").splitlines()[0].split()
    except (OSError, IndexError):
        return "no NVIDIA driver"
    version = next((word for word in words if word[0].isdigit() and "." in word), "unknown")
    return f"NVIDIA driver {version}"


def gpus() -> list[str]:
    """Return each GPU that torch sees, with its compute capability."""
    found = []
    for i in range(torch.cuda.device_count()):
        major, minor = torch.cuda.get_device_capability(i)
        found.append(f"{torch.cuda.get_device_name(i)} (compute capability {major}.{minor})")
    return found
