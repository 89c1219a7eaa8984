"""The tables that figures are drawn from, read on demand."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adambias.config import Figures
from adambias.core.errors import AdambiasError

if TYPE_CHECKING:
    import pandas as pd


class Missing(AdambiasError):
    """What a figure shows is not in the tables; the message says what is missing."""


@dataclass(frozen=True)
class Tables:
    """The results folder, read on demand and once.

    Parameters
    ----------
    folder : Path
        Where the tables are.
    settings : Figures
        The scale's section ``figures``.
    """

    folder: Path
    settings: Figures = field(default_factory=Figures)

    def has(self, name: str) -> bool:
        """Tell whether the file is there."""
        return (self.folder / name).is_file()

    def frame(self, name: str, columns: Iterable[str] | None = None) -> pd.DataFrame:
        """Return a copy of a Parquet or CSV table, or of some of its columns.

        Raises
        ------
        Missing
            If the file or a column is absent.
        """
        wanted = tuple(columns) if columns is not None else None
        return _read_frame(self._path(name), wanted).copy()

    def json(self, name: str) -> Any:
        """Return the content of a JSON file.

        Raises
        ------
        Missing
            If the file is absent.
        """
        return json.loads(self._path(name).read_text(encoding="utf-8"))

    def _path(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise Missing(f"{name} is missing")
        return path


def _read_frame(path: Path, columns: tuple[str, ...] | None) -> pd.DataFrame:
    return _read_version(path, columns, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _read_version(path: Path, columns: tuple[str, ...] | None, version: int) -> pd.DataFrame:
    import pandas as pd
    import pyarrow.parquet as pq

    if path.suffix == ".csv":
        return pd.read_csv(path, usecols=columns)
    known = set(pq.read_schema(path).names)
    absent = [name for name in columns or () if name not in known]
    if absent:
        raise Missing(f"{path.name} has no column {', '.join(absent)}")
    return pd.read_parquet(path, columns=list(columns) if columns is not None else None)
