"""The ledger: which trials there are, which are finished, and everything they measured."""

from __future__ import annotations

from adambias.core.lazy import lazy

__getattr__, __dir__ = lazy(__name__, {"Ledger": "ledger", "Job": "job"})
