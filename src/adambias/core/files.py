"""Files that appear whole or not at all, and what results are written as."""

from __future__ import annotations

import contextlib
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

ABANDONED = re.compile(r"\..+\.[0-9a-f]{8}")
"""A name that :func:`replacing` gives; such a file that is old has lost its writer."""


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


def write_json(content: Any, path: Path) -> None:
    """Write a JSON file that reads well; NaN becomes null."""
    text = json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False)
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


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and value != value:
        return None
    return value
