"""What does my optimizer secretly regularise? The library behind the pipeline.

Public names are loaded on first use, so that ``import adambias`` starts neither torch nor Ray.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_MODULES = ("rules", "losses", "flows", "integration", "data", "models", "training", "optimizer")
_NAMES = {
    "UpdateRule": "rules",
    "Moment": "rules",
    "leading_order_flow": "flows",
    "modified_flow": "flows",
    "memoryless": "flows",
    "correction": "flows",
    "iterate": "integration",
    "integrate": "integration",
    "observed_order": "integration",
    "perturbed_one_norm": "metrics",
    "load_dataset": "data",
    "Trial": "config",
    "train": "training",
    "EpochRecord": "training",
}
__all__ = sorted({*_NAMES, "losses", "rules"})


def __getattr__(name: str) -> Any:
    """Import the module that defines ``name`` on first use."""
    if name in _NAMES:
        return getattr(importlib.import_module(f"adambias.{_NAMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"adambias.{name}")
    raise AttributeError(f"module 'adambias' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted({*__all__, *_MODULES, "__version__"})
