"""The edge of stability: curvature over its threshold, and when the norm begins to rise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from adambias.config.claims import PAPER_RULE
from adambias.figures import style, verdicts, words
from adambias.figures.tables import Missing, Tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "The edge of stability"
GRID = "edge"
RULES = "stability.json"
SETTINGS = ["beta1", "beta2", "h"]
"""What varies among Adam's trainings on the small network."""
CURVATURE = "curvature / threshold"
MARKS = {
    "crossing_epoch": ("X", "at the threshold"),
    "onset_epoch": ("^", "norm begins to rise"),
}
"""Columns of ``trials.parquet`` that are marked, with their markers and what they are called."""


def draw(tables: Tables) -> Figure:
    """Draw the edge by rule and by Adam's settings on a small network, and on the sweeps'."""
    trials, curves = _load(tables)
    parts = _parts(_rules(tables)) if tables.has(RULES) else []
    figure, axes = style.panels(2 + len(parts), columns=3 if parts else 2, aspect=0.95)
    for ax, (rows, fields) in zip(axes, parts, strict=False):
        _draw_rules(ax, rows, fields)
    _draw_sweeps(axes[-2], trials, curves)
    _draw_norms(axes[-1], trials, curves)
    return figure


def _load(tables: Tables) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the grid's trials and their curves."""
    trials = tables.frame("trials.parquet")
    trials = trials[(trials["grid"] == GRID) & (trials["rule"] == PAPER_RULE)]
    trials = trials[trials["regime"] == "oscillation"]
    curves = tables.frame("curves.parquet")
    curves = curves[(curves["grid"] == GRID) & curves["trial"].isin(trials["trial"])].copy()
    if "edge" not in curves or curves["edge"].isna().all():
        raise Missing(f"no trial of the grid {GRID} measured the edge")
    values = trials[["trial", "beta1", "seed"]]
    # Before a step nothing can have grown, and the threshold of the first is a small one.
    curves["edge"] = curves["edge"].where(curves["epoch"] > 0)
    return trials, curves.astype({"trial": str}).merge(values, on="trial").sort_values("epoch")


def _rules(tables: Tables) -> pd.DataFrame:
    """Return a row per setting, seed and measured epoch of the stage ``stability``."""
    rows = pd.DataFrame(tables.json(RULES)["rows"])
    rows = rows.explode(["epoch", "edge"], ignore_index=True)
    rows = rows.astype({"epoch": float, "edge": float})
    return rows[rows["epoch"] > 0]


def _parts(rows: pd.DataFrame) -> list[tuple[pd.DataFrame, list[str]]]:
    """Return the rows of each panel, with the fields that tell its lines apart.

    For each loss a panel of rules, of Adam one setting; and one of Adam's settings where there are
    several.
    """
    parts = []
    for _, of in rows.groupby("loss", sort=False):
        adam = of[of["rule"] == "adam"]
        first = (adam[SETTINGS] == adam[SETTINGS].iloc[0]).all(axis=1) if len(adam) else None
        one = of if first is None else of[(of["rule"] != "adam") | first.reindex(of.index)]
        parts.append((one, ["rule"]))
        if len(adam) and len(adam[SETTINGS].drop_duplicates()) > 1:
            parts.append((adam, [name for name in SETTINGS if adam[name].nunique() > 1]))
    return parts


def _draw_rules(ax: Axes, rows: pd.DataFrame, fields: list[str]) -> None:
    colours = iter(style.COLOURS.values())
    for values, of in rows.groupby(fields, sort=False):
        words = dict(zip(fields, values, strict=True))
        rule = str(words.pop("rule", "")).replace("_", " ")
        said = [f"{style.SYMBOLS.get(name, name)} {value:g}" for name, value in words.items()]
        label = ", ".join(filter(None, [rule, *said]))
        ax.plot(*_means(of, "edge"), color=next(colours), label=label, linewidth=0.9)
    _finish(ax)
    few = rows[fields].drop_duplicates().shape[0] <= 4
    place = {"loc": "lower right"} if few else {"loc": "upper right", "ncols": 2}
    size = (0.75 if few else 0.58) * style.measures().text
    ax.legend(**place, fontsize=size, handlelength=1.2, columnspacing=0.8)
    which = "" if "rule" in fields else "Adam, "
    loss = str(rows["loss"].iloc[0]).replace("_", "-")
    ax.set_title(f"{which}{rows['model'].iloc[0]}, {loss} on {rows['dataset'].iloc[0]}")


def _means(rows: pd.DataFrame, column: str) -> tuple[Any, Any]:
    """Return epochs and the mean over seeds at each."""
    mean = rows.groupby("epoch")[column].mean().dropna()
    return mean.index.to_numpy(), mean.to_numpy()


def _draw_sweeps(ax: Axes, trials: pd.DataFrame, curves: pd.DataFrame) -> None:
    for value, colour in style.shades(trials["beta1"]).items():
        of = curves[(curves["beta1"] == value) & curves["edge"].notna()]
        for _, one in of.groupby("seed"):
            ax.plot(one["epoch"], one["edge"], color=colour, alpha=0.35, linewidth=0.6, gid="seed")
        ax.plot(*_means(of, "edge"), color=colour, label=f"{value:g}", gid="mean")
    _finish(ax)
    ax.legend(title="β₁", loc="lower right")
    ax.set_title(" ".join(sorted(trials["dataset"].unique())) + ", " + trials["model"].iloc[0])


def _finish(ax: Axes) -> None:
    ax.axhline(1, color=style.FAINT, linewidth=0.8, zorder=0)
    top = max(1.6, min(ax.get_ylim()[1], 3.0))
    ax.set(xlabel="epoch", ylabel=CURVATURE, ylim=(0, top))


def _draw_norms(ax: Axes, trials: pd.DataFrame, curves: pd.DataFrame) -> None:
    for value, colour in style.shades(trials["beta1"]).items():
        of = curves[curves["beta1"] == value]
        logs = of.assign(log_norm=np.log10(of["perturbed_one_norm"]))
        epochs, means = _means(logs, "log_norm")
        ax.plot(epochs, means, color=colour, gid="mean")
        for column, (marker, _) in MARKS.items():
            places = trials.loc[trials["beta1"] == value, column].dropna()
            ax.plot(
                places, np.interp(places, epochs, means), linestyle="none", marker=marker,
                color=colour, markeredgecolor=style.INK, markeredgewidth=0.5, zorder=4, gid=column,
            )  # fmt: skip
    ax.set(xlabel="epoch", ylabel="log₁₀ norm")
    handles = [
        Line2D([], [], color=style.INK, linestyle="none", marker=marker, label=name)
        for marker, name in MARKS.values()
    ]
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.25 * (high - low))
    ax.legend(handles=handles, loc="upper right")


def caption(tables: Tables) -> str:
    """Say what is shown, and how many trainings reach the threshold."""
    trials, _ = _load(tables)
    crossed = "; ".join(
        f"β₁ = {value:g}: {int(of['crossing_epoch'].notna().sum())} of {len(of)}"
        for value, of in trials.groupby("beta1")
    )
    small = ""
    if tables.has(RULES):
        small = "First: rules, and Adam's settings, on a small smooth network, means over seeds. "
    return (
        "The largest eigenvalue of the loss's Hessian as the optimizer sees it, times h, over the "
        f"rule's threshold of linear stability, at which it is 1. {small}Then: "
        f"{words.of_paper(tables, GRID)}; thin: single seeds, thick: their mean. Last: the norm "
        "of the gradient there, with where the curvature comes to the threshold and where the norm "
        f"begins to rise. Trainings that come to it: {crossed}. "
        f"Verdicts: {verdicts.of_figure(tables, 'edge')}."
    )


def alt(tables: Tables) -> str:
    """Say in words how high the curvature gets."""
    _, curves = _load(tables)
    highest = curves.groupby(["beta1", "seed"])["edge"].max().groupby("beta1").mean()
    said = ", ".join(f"{top:.2f} at beta1 {value:g}" for value, top in highest.items())
    return (
        f"Curvature over its threshold against the epoch; mean over seeds of the highest: {said}."
    )


def settings(tables: Tables) -> dict[str, str]:
    """Return the settings behind the figure."""
    return words.setting(tables, GRID, ("beta1",))
