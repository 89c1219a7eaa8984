"""What does my optimizer secretly regularise? The library behind the pipeline.

The packages stand on one another in this order, and each imports only those before it: ``core``,
``law``, ``networks``, ``config``, ``data``, ``training``, ``studies``, ``ledger``, ``analysis``,
``tracking``, ``sweep``, ``figures``, ``cli``.

Public names are loaded on first use, so that ``import adambias`` starts neither torch nor Ray.
"""

from __future__ import annotations

import sys

from adambias.core.lazy import Aliases, lazy

__version__ = "0.1.0"

_NAMES = {
    "UpdateRule": "law.rules",
    "Moment": "law.rules",
    "leading_order_flow": "law.flows",
    "modified_flow": "law.flows",
    "memoryless": "law.flows",
    "correction": "law.flows",
    "moment_flow": "law.moment_flow",
    "oscillating_flow": "law.oscillating_flow",
    "iterate": "law.integration",
    "integrate": "law.integration",
    "observed_order": "law.convergence",
    "perturbed_one_norm": "law.norms",
    "load_dataset": "data.dataset",
    "Trial": "config.trial",
    "train": "training.trainer",
    "EpochRecord": "training.record",
    "load": "sweep.trials",
}
_MODULES = {
    "rules": "law.rules",
    "losses": "law.losses",
    "flows": "law.flows",
    "integration": "law.integration",
    "models": "networks.build",
    "optimizer": "training.optimizer",
    "checkpoint": "training.checkpoint",
}
"""Modules that are known by a short name too."""

__all__ = sorted({*_NAMES, "losses", "rules"})
__getattr__, __dir__ = lazy(
    __name__,
    _NAMES
    | {name: f"{path}:" for name, path in _MODULES.items()}
    | {"data": "data:", "training": "training:", "sweep": "sweep:"},
)
sys.meta_path.append(
    Aliases({f"{__name__}.{name}": f"{__name__}.{path}" for name, path in _MODULES.items()})
)
