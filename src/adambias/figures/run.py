"""The loop that draws every figure, and their index ``figures.json``."""

from __future__ import annotations

import functools
import logging
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from adambias.config import Figures, FigureSpec
from adambias.config.figures import FIGURE_OF_GRID
from adambias.core.extras import EXTRAS, need
from adambias.core.files import write_json
from adambias.core.processes import run_all
from adambias.figures import registry
from adambias.figures.tables import Missing, Tables

if TYPE_CHECKING:
    from adambias.figures.style import Medium

log = logging.getLogger(__name__)


def run(
    settings: Figures,
    results_dir: str | Path,
    out_dir: str | Path,
    *,
    names: Iterable[str] | None = None,
    workers: int = 1,
) -> list[str]:
    """Draw the figures whose tables are there, and ``figures.json``, their index.

    Parameters
    ----------
    settings : Figures
        The scale's section ``figures``.
    results_dir, out_dir : path
        Where the tables are, and where pictures go.
    names : iterable of str, optional
        Figures to draw, by default the built-in ones and those of the settings.
    workers : int
        Processes to draw in.

    Returns
    -------
    list of str
        Names of the figures written.

    Raises
    ------
    ConfigError
        If the module of a figure of one's own cannot be used.
    """
    need(*EXTRAS["figures"])
    registry.load_own(settings)
    tables, out = Tables(Path(results_dir), settings), Path(out_dir)
    _empty(out)
    rows = []
    wanted = list(settings.all_figures) if names is None else list(names)
    if not _has_others(tables):
        wanted = [name for name in wanted if not settings.all_figures[name].others]
    calls = {name: functools.partial(_draw, name, tables, out) for name in wanted}
    for name, (row, reason) in run_all(calls, workers).items():
        if reason:
            log.warning("%s %s: %s", name, "is empty" if row else "is left out", reason)
        if row:
            rows.append(row)
    write_json(rows, out / "figures.json")
    return [row["name"] for row in rows]


def _has_others(tables: Tables) -> bool:
    """Tell whether there are trials of a grid that no figure is for."""
    if not tables.has("trials.parquet"):
        return False
    return not set(tables.frame("trials.parquet", ["grid"])["grid"]) <= FIGURE_OF_GRID.keys()


Outcome = tuple[dict[str, Any] | None, str | None]
"""A figure's row of the index, None if it is left out, and what is missing, if anything."""


def _draw(name: str, tables: Tables, out: Path) -> Outcome:
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    figure = tables.settings.all_figures[name]
    try:
        return _write(name, figure, tables, out), None
    except Missing as missing:
        reason = str(missing)
    return (_write_empty(name, reason, tables.settings, out) if figure.always else None), reason


def _empty(out: Path) -> None:
    """Remove pictures of an earlier run, so that none outlives its data."""
    shutil.rmtree(out / "narrow", ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    for path in out.iterdir():
        if path.suffix in {".png", ".svg", ".pdf"}:
            path.unlink()


def _write(name: str, figure: FigureSpec, tables: Tables, out: Path) -> dict[str, Any]:
    """Draw one figure for every medium and return its row of the index."""
    from adambias.figures import style

    _refuse_missing(figure, tables)
    module = registry.load(name, figure)
    row = {"name": name, "title": _title(name, module), "missing": None, **_words(module, tables)}
    for medium, stem, formats in _outputs(tables.settings, name, out):
        with style.use_style(medium):
            style.save(module.draw(tables), stem, row["alt"], formats)
    return row


def _refuse_missing(figure: FigureSpec, tables: Tables) -> None:
    """Refuse to draw without the tables, or without a trial of any grid that it is for."""
    absent = [table for table in figure.tables if not tables.has(table)]
    if absent:
        raise Missing(f"{', '.join(absent)} is missing")
    if figure.grids:
        known = set(tables.frame("trials.parquet", ["grid"])["grid"])
        if known.isdisjoint(figure.grids):
            plural = "s" if len(figure.grids) > 1 else ""
            raise Missing(f"no trials of the grid{plural} {' and '.join(figure.grids)}")


def _title(name: str, module: ModuleType) -> str:
    """Put the paper's number before the title of one of its figures."""
    number = _numbered(name)
    return str(module.TITLE) if number == name else f"{number}. {module.TITLE}"


def _numbered(name: str) -> str:
    return re.sub(r"^fig(\d+)$", r"Figure \1", name)


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
