"""The trainer: a trial and its data in, a record for each epoch out.

It knows nothing of Ray, MLflow or DVC. The records' columns are declared in one place, so that
what reads them needs no torch.
"""

from __future__ import annotations

from adambias.core.lazy import lazy

__getattr__, __dir__ = lazy(
    __name__,
    {
        "train": "trainer",
        "Training": "trainer",
        "EpochRecord": "record",
        "Snapshot": "measures",
        "Measure": "measures",
    },
)
