"""Which commit a result comes from, and whether the working tree had other changes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

MADE = ("dvc.lock", "results", "figures", "reports")
"""What the pipeline itself rewrites; a change there leaves a working tree clean."""


def git_state(root: str | Path) -> dict[str, Any]:
    """Return ``{"commit": …, "dirty": …}`` of a working tree, empty outside of one."""
    commit = git(root, "rev-parse", "HEAD")
    if not commit:
        return {}
    others = [f":(exclude){name}" for name in MADE]
    changes = git(root, "status", "--porcelain", "-uno", "--", ".", *others)
    return {"commit": commit, "dirty": bool(changes)}


def git(root: str | Path, *arguments: str) -> str:
    """Return what a Git command prints, nothing if it fails or there is no Git."""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
