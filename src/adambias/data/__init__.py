"""Datasets: prepared once into checksummed arrays, verified by every reader."""

from __future__ import annotations

from adambias.core.lazy import lazy

__getattr__, __dir__ = lazy(
    __name__, {"Dataset": "dataset", "load_dataset": "dataset", "prepare": "preparation"}
)
