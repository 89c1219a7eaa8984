"""Usage statistics of Ray, MLflow and DVC: off unless the user decided otherwise."""

from __future__ import annotations

import os

OPT_OUTS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
}
"""The variable each tool reads, with the value that turns its reports off."""


def opt_out() -> None:
    """Turn the reports off for this process and those it starts; a variable that is set stays."""
    for name, value in OPT_OUTS.items():
        os.environ.setdefault(name, value)
