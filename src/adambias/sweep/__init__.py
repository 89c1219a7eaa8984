"""Sweeps: train the trials that a plan lacks, here or on Ray, and say how it ended.

Called, as ``adambias.sweep(trials)``, it trains a list of trials; see
:func:`adambias.sweep.trials.sweep`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Sweep(ModuleType):
    """The package as something that can be called: ``sweep`` is the name of both."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Train a list of trials; see :func:`adambias.sweep.trials.sweep`."""
        from adambias.sweep.trials import sweep

        return sweep(*arguments, **options)


sys.modules[__name__].__class__ = _Sweep
