"""One look for every figure: fonts, colours, sizes, and files that are the same byte for byte.

A figure is drawn inside :func:`use_style` for one of three media: ``paper`` (a two-column page),
``screen`` (README and report) and ``narrow`` (a telephone: panels stand below each other).
:func:`panels` and :func:`panel_size` follow the medium, so one ``draw`` serves all three.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import string
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import (
    FixedFormatter,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
)
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from adambias.core.files import replacing

Medium = Literal["paper", "screen", "narrow"]
Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Widths in inches and the text size in points of one medium."""

    column: float
    page: float
    text: float
    dpi: int


MEDIA: dict[str, Measures] = {
    "paper": Measures(column=3.25, page=6.75, text=7.5, dpi=300),
    "screen": Measures(column=5.2, page=9.6, text=10.5, dpi=144),
    "narrow": Measures(column=4.2, page=4.2, text=9.5, dpi=160),
}
_medium: ContextVar[str] = ContextVar("medium", default="screen")

_names = (
    *("blue", "orange", "green", "vermillion", "purple", "brown", "pink", "grey", "yellow"),
    "sky",
)
COLOURS: dict[str, Colour] = dict(
    zip(_names, sns.color_palette("colorblind", len(_names)), strict=True)
)
"""Categorical colours that stay apart for colour-blind readers, by name."""

INK = "#222222"
FAINT = "#8a8a8a"


class _Symbols(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return name.rpartition(".")[2].replace("_", " ")


SYMBOLS = _Symbols(beta1="β₁", beta2="β₂", h="h", epsilon="ε")
"""The paper's symbols, the same in every axis, legend and caption; any other field in words."""

REGIME_COLOURS: dict[str, Colour] = {
    "oscillation": COLOURS["blue"],
    "spike": COLOURS["orange"],
    "divergence": COLOURS["vermillion"],
}
REGIME_MARKERS = {"oscillation": "o", "spike": "^", "divergence": "X"}


def measures() -> Measures:
    """Return the sizes of the medium being drawn for."""
    return MEDIA[_medium.get()]


def is_narrow() -> bool:
    """Tell whether panels should stand below each other."""
    return _medium.get() == "narrow"


@contextlib.contextmanager
def use_style(medium: Medium = "screen") -> Iterator[None]:
    """Draw in the project's style for ``medium``; everything is put back afterwards."""
    text = MEDIA[medium].text
    sizes = {
        "font.size": text,
        "axes.titlesize": text,
        "axes.labelsize": text,
        "xtick.labelsize": 0.9 * text,
        "ytick.labelsize": 0.9 * text,
        "legend.fontsize": 0.88 * text,
        "legend.title_fontsize": 0.88 * text,
        "figure.titlesize": 1.1 * text,
    }
    scale = text / 8
    lines = {
        "lines.linewidth": 1.2 * scale,
        "lines.markersize": 3.6 * scale,
        "axes.linewidth": 0.6 * scale,
        "grid.linewidth": 0.4 * scale,
        "xtick.major.width": 0.6 * scale,
        "ytick.major.width": 0.6 * scale,
        "xtick.minor.width": 0.4 * scale,
        "ytick.minor.width": 0.4 * scale,
        "xtick.major.size": 2.5 * scale,
        "ytick.major.size": 2.5 * scale,
        "xtick.minor.size": 1.5 * scale,
        "ytick.minor.size": 1.5 * scale,
        "hatch.linewidth": 0.5 * scale,
    }
    token = _medium.set(medium)
    try:
        settings: dict[Any, Any] = {**sns.axes_style("ticks"), **_FIXED, **sizes, **lines}
        settings["axes.prop_cycle"] = cycler(color=list(COLOURS.values()))
        with mpl.rc_context(settings):
            yield
    finally:
        _medium.reset(token)


_FIXED: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "mathtext.fontset": "dejavusans",
    "svg.fonttype": "none",
    "svg.hashsalt": "adambias",
    "pdf.fonttype": 42,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "axes.titlelocation": "left",
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.useoffset": False,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "figure.dpi": 100,
    "savefig.facecolor": "white",
    "figure.constrained_layout.use": True,
}


def panel_size(columns: int = 1, rows: int = 1, *, aspect: float = 0.72) -> tuple[float, float]:
    """Return the figure's (width, height) in inches for a grid of panels.

    One column of panels takes a column of a two-column paper, more take the page's width.
    ``aspect`` is height over width of one panel.
    """
    size = measures()
    width = size.page if columns > 1 else size.column
    return width, rows * (width / columns) * aspect


def panels(
    count: int,
    *,
    columns: int | None = None,
    aspect: float = 0.72,
    letters: bool | None = None,
    wide_last: bool = False,
    **subplots: Any,
) -> tuple[Figure, list[Axes]]:
    """Make a figure of ``count`` panels, side by side or, in the narrow medium, stacked.

    Parameters
    ----------
    count : int
        Number of panels.
    columns : int, optional
        Panels in a row where there is room; by default all of them.
    aspect : float
        Height over width of one panel.
    letters : bool, optional
        Put (a), (b), … into the panels' corners; by default where there are several.
    wide_last : bool
        Give the last panel a row of its own.
    **subplots
        Further arguments of ``matplotlib.pyplot.subplots``, such as ``sharey``.

    Returns
    -------
    figure : Figure
    axes : list of Axes, length ``count``
    """
    columns = 1 if is_narrow() else (columns or count)
    rows = -(-(count - 1) // columns) + 1 if wide_last else -(-count // columns)
    size = panel_size(columns, rows, aspect=aspect)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, **subplots)
    axes = list(grid.flat)
    if wide_last:
        last = grid[-1, 0].get_gridspec()[-1, :]
        for narrow in grid[-1]:
            narrow.remove()
        axes = [*axes[: count - 1], figure.add_subplot(last), *axes[count - 1 : -columns]]
    for spare in axes[count:]:
        spare.set_visible(False)
    if letters if letters is not None else count > 1:
        for letter, ax in zip(string.ascii_lowercase, axes[:count], strict=False):
            _letter(ax, letter)
    return figure, axes[:count]


def _letter(ax: Axes, letter: str) -> None:
    offset = (-0.6 * measures().text, 0.55 * measures().text)
    ax.annotate(
        f"({letter})",
        (0, 1),
        xycoords="axes fraction",
        xytext=offset,
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontweight="bold",
        annotation_clip=False,
    )


def sequence(count: int, palette: str = "viridis") -> list[Colour]:
    """Return ``count`` ordered colours from dark to light, none too light to see on white."""
    shades = np.linspace(0.0, 0.86, max(count, 2))[:count]
    return [mpl.colormaps[palette](s)[:3] for s in shades]


def shades(values: Iterable[Any]) -> dict[Any, Colour]:
    """Return an ordered colour for each of the values that there are."""
    ordered = sorted(set(values))
    return dict(zip(ordered, sequence(len(ordered)), strict=True))


def fixed_ticks(axis: Axis, places: Iterable[float], labels: Sequence[str]) -> None:
    """Put ticks with labels at given places and nowhere else."""
    axis.set_major_locator(FixedLocator(list(places)))
    axis.set_major_formatter(FixedFormatter(labels))
    axis.set_minor_locator(NullLocator())


def slant_crowded(ax: Axes) -> None:
    """Turn the labels of the x axis where two would meet; its ticks and limits must be set."""
    points = [(place, ax.get_ylim()[0]) for place in ax.get_xticks()]
    shares = ax.transLimits.transform(ax.transScale.transform(points))[:, 0]
    width = 72 * ax.get_window_extent().width / mpl.rcParams["figure.dpi"]
    # A digit is about 0.6 of the font's size wide, and one should fit between two labels.
    digit = 0.6 * 0.9 * measures().text
    labels = [label.get_text() for label in ax.get_xticklabels()]
    for one, other in itertools.pairwise(np.argsort(shares)):
        needed = digit * (1 + (len(labels[one]) + len(labels[other])) / 2)
        if width * (shares[other] - shares[one]) < needed:
            for label in ax.get_xticklabels():
                label.set(rotation=35, ha="right", rotation_mode="anchor")


def plain_log(axis: Axis) -> None:
    """Give a log axis ticks that read as plain numbers, however short its range."""
    low, high = sorted(axis.get_view_interval())
    if high / low < 12:
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    else:
        axis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 300 else (1.0, 3.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def fraction_ticks(axis: Axis, step_sizes: Sequence[float], whole: float) -> None:
    """Mark step sizes as fractions of a whole, 1/40, on a log axis in units of the whole."""
    counts = [round(whole / h) for h in step_sizes]
    fixed_ticks(axis, [1 / count for count in counts], [f"1/{count}" for count in counts])


def say(ax: Axes, words: str) -> None:
    """Write into an empty panel why it is empty."""
    ax.text(
        0.5,
        0.5,
        words,
        transform=ax.transAxes,
        ha="center",
        va="center",
        wrap=True,
        color=INK,
        bbox={"facecolor": "#f3f3f3", "edgecolor": FAINT, "boxstyle": "round,pad=0.8"},
    )
    ax.xaxis.set_visible(False)
    ax.yaxis.set_visible(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def note(ax: Axes, words: str, *, at: tuple[float, float] = (0.98, 0.03)) -> Text:
    """Write a small remark into a corner of a panel, at a fraction of its axes."""
    return ax.text(
        *at,
        words,
        transform=ax.transAxes,
        ha="right" if at[0] > 0.5 else "left",
        va="bottom" if at[1] < 0.5 else "top",
        fontsize=0.85 * measures().text,
        color="#555555",
    )


def save(
    figure: Figure,
    path_stem: str | Path,
    alt_text: str,
    formats: Iterable[str] = ("png", "svg"),
) -> list[Path]:
    """Write the figure as ``path_stem.<format>`` and close it.

    The files hold ``alt_text``, and neither a date nor anything random: the same figure gives
    the same bytes. Text stays text in SVG and PDF.

    Parameters
    ----------
    figure : Figure
    path_stem : path
        Path without its ending; the folder is made if it is absent.
    alt_text : str
        What the figure shows, for readers who cannot see it.
    formats : iterable of {"png", "svg", "pdf"}

    Returns
    -------
    list of Path
        The files written.
    """
    stem = Path(path_stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    # Lay out once: each format would do it again, and not always alike.
    figure.draw_without_rendering()
    with mpl.rc_context({"figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)
    written = []
    for ending in formats:
        path = stem.parent / f"{stem.name}.{ending}"
        with replacing(path) as temporary:
            temporary.write_bytes(_render(figure, ending, stem.name, alt_text))
        written.append(path)
    plt.close(figure)
    return written


def _render(figure: Figure, ending: str, name: str, alt_text: str) -> bytes:
    metadata: dict[str, Any] = {
        "png": {"Title": name, "Description": alt_text, "Software": None},
        "svg": {"Title": name, "Description": alt_text, "Date": None, "Creator": None},
        "pdf": {"Title": name, "Subject": alt_text, "CreationDate": None, "Producer": None},
    }[ending]
    buffer = io.BytesIO()
    figure.savefig(buffer, format=ending, metadata=metadata, dpi=measures().dpi)
    data = buffer.getvalue()
    if ending == "svg":
        return _with_alt_text(data, alt_text)
    return _with_fewer_colours(data) if ending == "png" else data


def _with_alt_text(svg: bytes, alt_text: str) -> bytes:
    """Name the picture for screen readers, which do not read an SVG's metadata."""
    label = escape(alt_text, {'"': "&quot;"})
    text = svg.decode("utf-8")
    text = re.sub(r"<svg ", f'<svg role="img" aria-label="{label}" ', text, count=1)
    return text.encode("utf-8")


def _with_fewer_colours(png: bytes) -> bytes:
    """Store at most 256 colours, which a drawing does with, in a third of the bytes."""
    with Image.open(io.BytesIO(png)) as picture:
        texts = PngInfo()
        for key, value in picture.info.items():
            if isinstance(key, str) and isinstance(value, str):
                texts.add_itxt(key, value)
        dpi = picture.info.get("dpi", (100, 100))
        small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, "png", pnginfo=texts, optimize=True, dpi=dpi)
    return buffer.getvalue()
