"""Trajectories on the bilinear model over level sets of the perturbed one-norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from adambias.figures import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.contour import ContourSet

VIEW = (0.0, 4.0)
ZOOM = ((0.3, 1.12), (0.62, 1.7))
INSET = (0.53, 0.155, 0.46, 0.48)


def one_norm(
    theta1: NDArray[Any], theta2: NDArray[Any], x: float, y: float, epsilon: float
) -> NDArray[Any]:
    """Return the perturbed one-norm of the gradient of E = (y - x theta1 theta2)^2 / 2."""
    slope = x * (x * theta1 * theta2 - y)
    return np.sqrt((slope * theta2) ** 2 + epsilon) + np.sqrt((slope * theta1) ** 2 + epsilon)


def landscape(ax: Axes, summary: dict[str, Any], epsilon: float, levels: int = 14) -> None:
    """Draw level sets of the perturbed one-norm, the minima and the point of smallest norm."""
    settings = summary["settings"]
    x, y = settings["x"], settings["y"]
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    theta1, theta2 = np.meshgrid(np.linspace(left, right, 300), np.linspace(bottom, top, 300))
    values = np.log(one_norm(theta1, theta2, x, y, epsilon))
    inside = np.linspace(values.min(), values.max(), levels + 2)[1:-1]
    shades = ax.contourf(
        theta1, theta2, values, inside, cmap="Greys", alpha=0.28, extend="both", zorder=0
    )
    _drop_vertices(shades, tolerance=2.5e-4 * (right - left))
    ax.contour(
        theta1,
        theta2,
        values,
        inside,
        colors="#9c9c9c",
        linewidths=0.4,
        linestyles="solid",
        zorder=1,
    )
    side = np.linspace(max(left, y / x / top), right, 300)
    ax.plot(side, y / x / side, color=style.INK, linestyle="--", zorder=2, label="minima")
    ax.plot(
        *summary["smallest_norm"],
        marker="X",
        color=style.INK,
        markeredgecolor="white",
        markersize=2.2 * style.measures().text / 2.6,
        linestyle="none",
        zorder=6,
        label="smallest norm on the minima",
    )
    ax.grid(False)


def _drop_vertices(shades: ContourSet, tolerance: float) -> None:
    """Leave out vertices that lie on the line between their neighbours, as lines do by default."""
    paths = []
    for path in shades.get_paths():
        path.simplify_threshold = tolerance
        paths.append(path.cleaned(simplify=True))
    shades.set_paths(paths)


def fan_panel(ax: Axes, summary: dict[str, Any], paths: pd.DataFrame, name: str) -> None:
    """Draw one panel of figure 2 or 3: the trajectories, and their arrival enlarged."""
    fan = summary["settings"]["fans"][name]
    varied = next(key for key in ("beta1", "beta2", "h") if len(fan[key]) > 1)
    ax.set(xlim=VIEW, ylim=VIEW, xlabel="θ₁", ylabel="θ₂", aspect="equal")
    inset = ax.inset_axes(INSET, xlim=ZOOM[0], ylim=ZOOM[1])
    for each in (ax, inset):
        landscape(each, summary, fan["epsilon"])
        _draw_fan(each, paths[paths["panel"] == name], varied, fan[varied])
    _frame_inset(ax, inset)
    start = summary["settings"]["start"]
    ax.plot(*start, "o", color=style.INK, markeredgecolor="white", zorder=6)
    ax.annotate("start", start, xytext=(-5, 2), textcoords="offset points", ha="right", va="bottom")
    handles, labels = inset.get_legend_handles_labels()
    chosen = [i for i, label in enumerate(labels) if label not in _LANDSCAPE]
    ax.legend(
        [handles[i] for i in chosen],
        [labels[i] for i in chosen],
        title=style.SYMBOLS[varied],
        loc="upper right",
        frameon=True,
        framealpha=0.9,
        edgecolor="none",
        borderpad=0.3,
        labelspacing=0.25,
    )


_LANDSCAPE = ("minima", "smallest norm on the minima")


def _draw_fan(ax: Axes, table: pd.DataFrame, varied: str, values: Sequence[float]) -> None:
    for value, colour in zip(values, style.sequence(len(values), "plasma"), strict=True):
        path = table[table[varied] == value]
        ax.plot(path["theta1"], path["theta2"], color=colour, zorder=4, label=f"{value:g}")
        ax.plot(
            path["theta1"].iloc[-1],
            path["theta2"].iloc[-1],
            "o",
            color=colour,
            markeredgecolor="white",
            markeredgewidth=0.5,
            zorder=5,
        )


def _frame_inset(ax: Axes, inset: Axes) -> None:
    inset.tick_params(labelsize=0.75 * style.measures().text, pad=1.5)
    inset.set(xticks=(0.4, 0.6, 0.8, 1.0), yticks=(0.8, 1.0, 1.2, 1.4, 1.6))
    for spine in inset.spines.values():
        spine.set_visible(True)
        spine.set_color(style.FAINT)
    (left, right), (bottom, top) = ZOOM
    box = Rectangle(
        (left, bottom), right - left, top - bottom, fill=False, edgecolor=style.FAINT, zorder=3
    )
    ax.add_patch(box)


def fixed_words(summary: dict[str, Any], name: str) -> str:
    """Return what a fan keeps fixed, in symbols."""
    fan = summary["settings"]["fans"][name]
    parts = [
        f"{style.SYMBOLS[key]} = {fan[key][0]:g}"
        for key in ("beta1", "beta2", "h")
        if len(fan[key]) == 1
    ]
    return ", ".join([*parts, f"{style.SYMBOLS['epsilon']} = {fan['epsilon']:g}"])


def fan_settings(summary: dict[str, Any], names: Sequence[str]) -> dict[str, str]:
    """Return the settings of some fans, for the report."""
    rows = {}
    for name in names:
        fan = summary["settings"]["fans"][name]
        rows[name] = ", ".join(f"{key} {_words(value)}" for key, value in fan.items())
    rows["start"] = _words(summary["settings"]["start"])
    return rows


def _words(value: Any) -> str:
    return " ".join(f"{v:g}" for v in value) if isinstance(value, list) else f"{value:g}"


def direction_words(summary: dict[str, Any], name: str) -> str:
    """Say, from the arrivals, how the norm where the trajectories end goes with what varies."""
    ends = [each["norm_factor"] for each in summary["arrivals"] if each["panel"] == name]
    steps = np.diff(ends)
    if (steps < 0).all():
        return "the larger, the smaller the norm where the trajectory ends"
    if (steps > 0).all():
        return "the larger, the larger the norm where the trajectory ends"
    return "the norm where the trajectory ends goes up and down with it"


def shared_legend(figure: Any, ax: Axes) -> None:
    """Explain the marks of the landscape once, below the panels."""
    handles, labels = ax.get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    figure.legend(
        [named[label] for label in _LANDSCAPE],
        _LANDSCAPE,
        loc="outside lower center",
        ncols=1 if style.is_narrow() else 2,
    )
