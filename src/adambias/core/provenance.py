"""Which commit a result comes from, and whether the working tree had other changes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

MADE = ("dvc.lock", "results", "figures", "reports")
"""What the pipeline itself rewrites; a change there leaves a working tree clean."""


SECONDS = 20.0
"""Most time that Git is given."""


def git_state(root: str | Path) -> dict[str, Any]:
    """Return ``{"commit": …, "dirty": …}`` of a working tree, or ``{"unknown": why}``."""
    try:
        commit = _git(root, "rev-parse", "HEAD")
        others = [f":(exclude){name}" for name in MADE]
        changes = _git(root, "status", "--porcelain", "-uno", "--", ".", *others)
    except _Failed as failed:
        return {"unknown": str(failed)}
    return {"commit": commit, "dirty": bool(changes)}


def git(root: str | Path, *arguments: str) -> str:
    """Return what a Git command prints, nothing if it fails or there is no Git."""
    try:
        return _git(root, *arguments)
    except _Failed:
        return ""


class _Failed(Exception):
    """What Git said, in a line."""


def _git(root: str | Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise _Failed(f"git took more than {SECONDS:g} s") from None
    except OSError as error:
        raise _Failed(f"git cannot be run ({error.strerror})") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("fatal: ")]
        said = (lines or done.stderr.strip().splitlines() or ["it gave no reason"])[0]
        raise _Failed(said.removeprefix("fatal: "))
    return done.stdout.strip()
