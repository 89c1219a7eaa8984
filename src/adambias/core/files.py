"""Files that appear whole or not at all, and what results are written as."""

from __future__ import annotations

import contextlib
import json
import os
import re
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

ABANDONED = re.compile(r"\..+\.[0-9a-f]{8}")
"""A name that :func:`replacing` gives; such a file that is old has lost its writer."""

DIGITS = 9
"""Significant digits that float64 results share between processors.

By the instructions that torch, MKL, OpenBLAS and NumPy choose for a processor they differ by up to
9e-13 of their size, most where close numbers are subtracted.
"""


@contextlib.contextmanager
def replacing(
    path: str | os.PathLike[str], *, durable: bool = False, overwrite: bool = True
) -> Iterator[Path]:
    """Give a temporary file to write, which takes the place of ``path`` once the body is done.

    Whoever reads ``path`` sees the old content or the new one, never a part. The temporary file
    lies hidden in the same folder, since only within a file system is a rename atomic; if the body
    fails it is deleted, and if its process is killed it keeps a name that matches
    :data:`ABANDONED`.

    Parameters
    ----------
    path : path
        File to replace; its folder is made if need be.
    durable : bool
        Flush the content to the disk before the rename, so that it outlives a loss of power.
    overwrite : bool
        Replace what another writer has put at ``path`` while the body ran; else that stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        yield temporary
        if durable:
            flush(temporary)
        if overwrite or not path.exists():
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(
    content: Any, path: Path, *, digits: int = DIGITS, exact: Collection[str] = ()
) -> None:
    """Write a JSON file that reads well, rounded to the digits that processors agree on.

    Parameters
    ----------
    content : object
        Mappings, lists and values; NaN becomes null.
    path : Path
        The file.
    digits : int
        Significant digits of what is no integer.
    exact : collection of str
        Entries of mappings, at any depth, that keep all their digits: what was given, not computed.
    """
    plain = _plain(content, digits, exact)
    text = json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(text + "\n", path)


def write_text(text: str, path: Path) -> None:
    """Write a text file."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write a table without its index."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def _plain(value: Any, digits: int | None, exact: Collection[str]) -> Any:
    """Return a value as JSON has it; ``digits`` is None within what keeps all of them."""
    if isinstance(value, dict):
        return {
            str(key): _plain(entry, None if key in exact else digits, exact)
            for key, entry in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(entry, digits, exact) for entry in value]
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, float) and digits is not None:
        return float(f"{value:.{digits - 1}e}")
    return value
