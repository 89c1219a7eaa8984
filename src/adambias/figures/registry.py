"""A figure's module: what it must have, and how it is found.

A figure is a module with

- ``TITLE``, a short name for people;
- ``draw(tables: Tables) -> matplotlib.figure.Figure``, called inside :func:`style.use_style`,
  once per medium, so it must follow :func:`style.panels` or :func:`style.panel_size`;
- ``CAPTION``, a string, or ``caption(tables) -> str``;
- ``ALT``, a string, or ``alt(tables) -> str``: what the picture shows, in words;
- optionally ``settings(tables) -> dict[str, str]``: the settings behind it, for the report.

The built-in ones are the entries of :data:`adambias.config.figures.FIGURES`; a scale adds its own
under ``figures.own``. A figure whose tables are absent is left out and the log says so. Figures 1
to 6 of the paper are always written: where data are missing, the picture says what is missing.
``draw`` raises :class:`adambias.figures.Missing` when a table is there but lacks what the figure
shows.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from adambias.config import Figures, FigureSpec
from adambias.core.errors import ConfigError

_PARTS = (("TITLE",), ("draw",), ("CAPTION", "caption"), ("ALT", "alt"))


def load(name: str, figure: FigureSpec) -> ModuleType:
    """Import a figure's module.

    Raises
    ------
    ConfigError
        If there is no such module, or it lacks a part.
    """
    key = f"figures.own.{name}.module"
    try:
        module = importlib.import_module(figure.module)
    except ImportError as error:
        raise ConfigError(key, figure.module, f"cannot be imported: {error}") from error
    for names in _PARTS:
        if not any(hasattr(module, part) for part in names):
            raise ConfigError(key, figure.module, f"lacks {' or '.join(names)}")
    return module


def load_own(settings: Figures) -> None:
    """Try every figure of one's own, so that a wrong name is said before anything is drawn."""
    for name, figure in settings.own.items():
        load(name, figure)
