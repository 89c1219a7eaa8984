"""MLflow's tags for who ran what."""

from __future__ import annotations

import getpass


def author() -> dict[str, str]:
    """Return MLflow's tags for the user and the program."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "unknown"
    source = {"mlflow.source.name": "adambias", "mlflow.source.type": "LOCAL"}
    return {"mlflow.user": user, **source}
