"""Figures from tables: which there are, what each needs, and the loop that draws them all.

A figure is a module with

- ``TITLE``, a short name for people;
- ``draw(tables: Tables) -> matplotlib.figure.Figure``, called inside :func:`style.use_style`,
  once per medium, so it must follow :func:`style.panels` or :func:`style.panel_size`;
- ``CAPTION``, a string, or ``caption(tables) -> str``;
- ``ALT``, a string, or ``alt(tables) -> str``: what the picture shows, in words;
- optionally ``settings(tables) -> dict[str, str]``: the settings behind it, for the report.

A figure whose tables are absent is left out and the log says so. Figures 1 to 6 of the paper are
always written: where data are missing, the picture says what is missing. ``draw`` raises
:class:`Missing` when a table is there but lacks what the figure shows.
"""

from __future__ import annotations

import functools
import importlib
import json
import logging
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from adambias.config import Figures
from adambias.core.errors import AdambiasError
from adambias.core.files import write_json
from adambias.core.processes import run_all

if TYPE_CHECKING:
    import pandas as pd

    from adambias.figures.style import Medium

log = logging.getLogger(__name__)


class Missing(AdambiasError):
    """What a figure shows is not in the tables; the message says what is missing."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One figure of the registry.

    Parameters
    ----------
    module : str
        The module that draws it.
    tables : tuple of str
        Files of the results folder that it cannot do without.
    always : bool
        Write it even if tables are missing; the picture then says so.
    """

    module: str
    tables: tuple[str, ...]
    always: bool = False


_BILINEAR = ("bilinear.json", "bilinear.parquet")
_TRIALS = ("trials.parquet", "metrics.json")

FIGURES: dict[str, Entry] = {
    "fig1": Entry(module="adambias.figures.fig1", tables=_BILINEAR, always=True),
    "fig2": Entry(module="adambias.figures.fig2", tables=_BILINEAR, always=True),
    "fig3": Entry(module="adambias.figures.fig3", tables=_BILINEAR, always=True),
    "fig4": Entry(module="adambias.figures.fig4", tables=_TRIALS, always=True),
    "fig5": Entry(module="adambias.figures.fig5", tables=_TRIALS, always=True),
    "fig6": Entry(module="adambias.figures.fig6", tables=(*_TRIALS, "curves.parquet"), always=True),
    "h": Entry(module="adambias.figures.h", tables=_TRIALS),
    "regime_map": Entry(module="adambias.figures.regime_map", tables=_TRIALS),
    "loss_curves": Entry(
        module="adambias.figures.loss_curves", tables=(*_TRIALS, "curves.parquet")
    ),
    "norm_accuracy": Entry(module="adambias.figures.norm_accuracy", tables=_TRIALS),
    "network_correction": Entry(
        module="adambias.figures.network_correction", tables=("network_correction.parquet",)
    ),
    "order": Entry(module="adambias.figures.order", tables=_BILINEAR),
    "atlas": Entry(module="adambias.figures.atlas", tables=_BILINEAR),
    "paths": Entry(module="adambias.figures.paths", tables=_BILINEAR),
    "netflow": Entry(module="adambias.figures.netflow", tables=("netflow.json",)),
}


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


def run(
    settings: Figures,
    results_dir: str | Path,
    out_dir: str | Path,
    *,
    names: Iterable[str] = tuple(FIGURES),
    workers: int = 1,
) -> list[str]:
    """Draw the figures whose tables are there, and ``figures.json``, their index.

    Parameters
    ----------
    settings : Figures
        The scale's section ``figures``.
    results_dir, out_dir : path
        Where the tables are, and where pictures go.
    names : iterable of str
        Figures to draw, all by default.
    workers : int
        Processes to draw in.

    Returns
    -------
    list of str
        Names of the figures written.
    """
    tables, out = Tables(Path(results_dir), settings), Path(out_dir)
    _empty(out)
    rows = []
    calls = {name: functools.partial(_draw, name, tables, out) for name in names}
    for name, (row, reason) in run_all(calls, workers).items():
        if reason:
            log.warning("%s %s: %s", name, "is empty" if row else "is left out", reason)
        if row:
            rows.append(row)
    write_json(rows, out / "figures.json")
    return [row["name"] for row in rows]


Outcome = tuple[dict[str, Any] | None, str | None]
"""A figure's row of the index, None if it is left out, and what is missing, if anything."""


def _draw(name: str, tables: Tables, out: Path) -> Outcome:
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    entry = FIGURES[name]
    try:
        return _write(name, entry, tables, out), None
    except Missing as missing:
        reason = str(missing)
    return (_write_empty(name, reason, tables.settings, out) if entry.always else None), reason


def _empty(out: Path) -> None:
    """Remove pictures of an earlier run, so that none outlives its data."""
    shutil.rmtree(out / "narrow", ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    for path in out.iterdir():
        if path.suffix in {".png", ".svg", ".pdf"}:
            path.unlink()


def _write(name: str, entry: Entry, tables: Tables, out: Path) -> dict[str, Any]:
    """Draw one figure for every medium and return its row of the index."""
    from adambias.figures import style

    absent = [table for table in entry.tables if not tables.has(table)]
    if absent:
        raise Missing(f"{', '.join(absent)} is missing")
    module = importlib.import_module(entry.module)
    row = {"name": name, "title": _title(name, module), "missing": None, **_words(module, tables)}
    for medium, stem, formats in _outputs(tables.settings, name, out):
        with style.use_style(medium):
            style.save(module.draw(tables), stem, row["alt"], formats)
    return row


def _title(name: str, module: ModuleType) -> str:
    """Put the paper's number before the title of one of its figures."""
    return f"{_numbered(name)}. {module.TITLE}" if name.startswith("fig") else module.TITLE


def _numbered(name: str) -> str:
    return name.replace("fig", "Figure ")


def _write_empty(name: str, reason: str, settings: Figures, out: Path) -> dict[str, Any]:
    """Draw a frame that says what is missing."""
    from adambias.figures import style

    title = _numbered(name)
    alt = f"An empty frame that says: {reason}."
    for medium, stem, formats in _outputs(settings, name, out):
        with style.use_style(medium):
            figure, (ax,) = style.panels(1)
            ax.set_title(title)
            style.say(ax, f"No data yet:\n{reason}")
            style.save(figure, stem, alt, formats)
    words = {"caption": f"Not drawn: {reason}.", "alt": alt, "settings": {}}
    return {"name": name, "title": title, "missing": reason, **words}


def _words(module: ModuleType, tables: Tables) -> dict[str, Any]:
    caption = module.caption(tables) if hasattr(module, "caption") else module.CAPTION
    alt = module.alt(tables) if hasattr(module, "alt") else module.ALT
    settings = module.settings(tables) if hasattr(module, "settings") else {}
    return {"caption": caption, "alt": alt, "settings": settings}


def _outputs(
    settings: Figures, name: str, out: Path
) -> Iterator[tuple[Medium, Path, tuple[str, ...]]]:
    """Yield each medium with the path and the formats its files get."""
    screen = tuple(f for f in settings.formats if f != "pdf")
    if screen:
        yield "screen", out / name, screen
    if "pdf" in settings.formats:
        yield "paper", out / name, ("pdf",)
    if settings.narrow:
        yield "narrow", out / "narrow" / name, ("png",)
