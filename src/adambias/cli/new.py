"""``adambias new``: a project of one's own, in which ``dvc repro`` runs."""

from __future__ import annotations

import importlib.resources
import os
import shlex
import unicodedata
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path, PurePath

from adambias.core.errors import ConfigError
from adambias.core.extras import is_installed, mend
from adambias.core.files import write_text

SUFFIX = ".template"
"""Ends the names of the files in ``project/``: DVC, Git and linters take none for theirs."""
HIDDEN = "dot."
"""Begins the name of a file there whose own begins with a dot."""


def lay_out(folder: Path) -> list[Path]:
    """Write a project's files into a new or empty folder.

    Parameters
    ----------
    folder : Path
        Made if it is not there. What there is of Git's in it may stay.

    Returns
    -------
    list of Path
        The files, relative to the folder.

    Raises
    ------
    ConfigError
        If the folder's name is not fit for one, or it has something in it.
    """
    _refuse_name(folder)
    _refuse_taken(folder)
    files = dict(templates())
    if not _is_in_git(folder):
        files[PurePath(".dvc/config.local")] = "[core]\n    no_scm = True\n"
    for name, text in files.items():
        write_text(text, folder / name)
    return sorted(map(Path, files))


def templates() -> Iterator[tuple[PurePath, str]]:
    """Yield the files of a project, each with its text."""
    yield from _below(importlib.resources.files("adambias.cli") / "project", PurePath())


def _below(folder: Traversable, at: PurePath) -> Iterator[tuple[PurePath, str]]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        name = entry.name
        if name.startswith(HIDDEN):
            name = name.removeprefix("dot")
        if entry.is_dir():
            yield from _below(entry, at / name)
        elif name.endswith(SUFFIX):
            yield at / name.removesuffix(SUFFIX), entry.read_text(encoding="utf-8")


def next_commands(folder: Path) -> tuple[str, str]:
    """Return the two commands that come after."""
    here = folder.resolve() == Path.cwd()
    repro = "dvc repro" if is_installed("dvc") else f"{mend('pipeline')} && dvc repro"
    return "adambias plan" if here else f"cd {shlex.quote(str(folder))}", repro


def _refuse_name(folder: Path) -> None:
    # The path goes into PYTHONPATH, where trials find code of one's own.
    path = str(folder.absolute())
    control = any(unicodedata.category(letter) == "Cc" for letter in path)
    if control or os.pathsep in path or folder.name != folder.name.strip():
        allowed = f"a folder's path must be without {os.pathsep}, control characters and spaces at "
        raise ConfigError("FOLDER", str(folder), f"{allowed}its ends: take another")


def _refuse_taken(folder: Path) -> None:
    if folder.is_dir():
        others = sorted(entry.name for entry in folder.iterdir() if entry.name != ".git")
        if others:
            allowed = f"is not empty, it has {others[0]}: give a new folder or an empty one"
            raise ConfigError("FOLDER", str(folder), allowed)
    elif folder.exists() or folder.is_symlink():
        raise ConfigError("FOLDER", str(folder), "is a file: give a new folder or an empty one")


def _is_in_git(folder: Path) -> bool:
    """Tell whether DVC will find a Git repository; it looks in the folders above too."""
    place = folder.resolve()
    return any((above / ".git").exists() for above in (place, *place.parents))
