"""MLflow as a view of the ledger: complete, rebuildable, never the only copy of anything.

One experiment per scale and grid, in it one parent run for the sweep and one child run per trial,
found again by its tag ``trial_key``; one experiment per scale for the analyses. Importing this
package does not import MLflow.
"""

from __future__ import annotations

from adambias.tracking.mlflow.analysis_run import log_analysis
from adambias.tracking.mlflow.location import is_current, tracking_uri
from adambias.tracking.mlflow.mirror import View, mirror, mirror_views
from adambias.tracking.mlflow.rebuild import Summary, sync

__all__ = [
    "Summary",
    "View",
    "is_current",
    "log_analysis",
    "mirror",
    "mirror_views",
    "sync",
    "tracking_uri",
]
