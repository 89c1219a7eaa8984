"""MLflow as a view of the ledger: complete, rebuildable, never the only copy of anything.

One experiment per scale and grid, in it one parent run for the sweep and one child run per trial,
found again by its tag ``trial_key``; one experiment per scale for the analyses. Whoever trains or
analyses knows a :class:`Tracker` alone; what is MLflow's lies in ``tracking.mlflow``. Importing
this package does not import MLflow.
"""

from __future__ import annotations

from adambias.tracking.tracker import NoTracker, Tracker, tracker_for

__all__ = ["NoTracker", "Tracker", "tracker_for"]
