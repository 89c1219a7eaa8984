"""Who ran what: tags for runs that are opened while their trials run."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path
from typing import Any

from adambias.tracking.content import git_tags


def git_state(root: str | Path) -> dict[str, Any]:
    """Return ``{"commit": …, "dirty": …}`` of a working tree, empty outside of one."""
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return {}
    return {"commit": commit, "dirty": bool(_git(root, "status", "--porcelain", "-uno"))}


def who_and_what(root: str | Path) -> dict[str, str]:
    """Return MLflow's tags for the user, the program and the commit."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "unknown"
    source = {"mlflow.source.name": "adambias", "mlflow.source.type": "LOCAL"}
    return {"mlflow.user": user, **source, **git_tags(git_state(root))}


def _git(root: str | Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
