"""Where claims, statistics and seeds were stated before the trainings, and in which commit."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

from adambias.core.provenance import git

FILE = "docs/preregistration.md"
_REPOSITORY = re.compile(r"https://github\.com/[^/]+/[^/]+")


def stated(folder: str | Path) -> dict[str, str | None]:
    """Return the file, the commit that added it, and their pages where the project has a site.

    The commit that added a file stays the same at every later one, and the site is that of the
    package's own metadata, not of a clone's remote: the report's bytes depend on neither.

    Parameters
    ----------
    folder : path
        Any folder of the project.

    Returns
    -------
    dict
        ``file``; ``commit``, None where Git does not know it; ``file_url`` and ``commit_url``, None
        without a commit or a site.
    """
    commit, site = _added(folder), _site()
    linked = commit and site
    return {
        "file": FILE,
        "commit": commit,
        "file_url": f"{site}/blob/{commit}/{FILE}" if linked else None,
        "commit_url": f"{site}/commit/{commit}" if linked else None,
    }


def _added(folder: str | Path) -> str | None:
    """Return the first commit that added the file, None if the history does not go back to it."""
    # The oldest commit of a shallow clone seems to add every file.
    if git(folder, "rev-parse", "--is-shallow-repository") != "false":
        return None
    path = f":/{FILE}"
    commits = git(folder, "log", "--diff-filter=A", "--format=%H", "--", path).split()
    return commits[-1] if commits else None


def _site() -> str | None:
    """Return the project's address on GitHub, if the package's metadata have one."""
    entries = importlib.metadata.metadata("adambias").get_all("Project-URL") or []
    addresses = (entry.partition(", ")[2].rstrip("/") for entry in entries)
    return next(filter(_REPOSITORY.fullmatch, addresses), None)
