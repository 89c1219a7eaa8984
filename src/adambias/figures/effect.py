"""What figures 4, 5 and h share: a quantity against a hyperparameter, over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from adambias.config.claims import PAPER_RULE, claims_of
from adambias.config.figures import QUANTITIES
from adambias.figures import style
from adambias.figures.tables import Missing, Tables

SYMBOLS = {"beta1": "β₁", "beta2": "β₂", "h": "h", "epsilon": "ε"}
LABELS = {
    "norm": "highest perturbed one-norm",
    "excess": "excess over p√ε",
    "accuracy": "best test accuracy",
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def load(tables: Tables, grid: str, axis: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a grid's oscillation trials with their ``series``, and the means over seeds.

    Raises
    ------
    Missing
        If none of the trials is in the oscillation regime with a norm.
    """
    shown = points(tables, grid, axis)
    trials = tables.frame("trials.parquet", ["grid"])
    if shown.empty:
        number = int((trials["grid"] == grid).sum())
        raise Missing(f"none of the {number} trials of the grid {grid} oscillates")
    if shown["peak_perturbed_one_norm"].isna().all():
        raise Missing(f"no trial of the grid {grid} has a norm after the initial part")
    return shown, of_grid(tables.frame("means.parquet"), grid, axis)


def points(tables: Tables, grid: str, axis: str) -> pd.DataFrame:
    """Return a grid's oscillation trials with all their columns and their ``series``."""
    table = tables.frame("points.parquet")
    chosen = table[(table["grid"] == grid) & (table["axis"] == axis)]
    trials = tables.frame("trials.parquet")
    return chosen.merge(trials[trials["grid"] == grid], on=["grid", "trial"])


def of_grid(table: pd.DataFrame, grid: str, axis: str) -> pd.DataFrame:
    """Return the rows of a grid, with the hyperparameter's name in place of ``value``."""
    chosen = table[(table["grid"] == grid) & (table["axis"] == axis)]
    return chosen.drop(columns="axis").rename(columns={"value": axis})


def interval(means: pd.DataFrame) -> str:
    """Return the coverage of the bands: ``95 %``."""
    return f"{100 * means['level'].iloc[0]:.4g} %"


def quantities(points: pd.DataFrame, floor_share: float) -> list[str]:
    """Return what to show: the excess gets a panel where p√ε dominates the norm."""
    share = (points["norm_floor"] / points["peak_perturbed_one_norm"]).mean()
    return ["norm", "excess", "accuracy"] if share >= floor_share else ["norm", "accuracy"]


def scale_of_decay(ax: Axes, axis: str, values: Sequence[float]) -> None:
    """Put a decay β along the x axis as 1 − β, log scale, falling; ticks are the values of β."""
    places = [1 - value for value in values]
    ax.set_xlim(1.15 * max(places), min(places) / 1.15)
    ax.set_xscale("log")
    style.fixed_ticks(ax.xaxis, places, [f"{value:g}" for value in values])
    ax.set_xlabel(f"{SYMBOLS[axis]} (log scale in 1 − {SYMBOLS[axis]})")
    style.slant_many(ax)


def draw_quantity(
    ax: Axes,
    points: pd.DataFrame,
    means: pd.DataFrame,
    axis: str,
    quantity: str,
    colours: Mapping[str, style.Colour] | None = None,
) -> None:
    """Draw seeds as thin lines with small points, their mean, and its band.

    ``colours`` maps each series to a colour; by default they are told apart in order.
    """
    place = (lambda v: 1 - v) if axis.startswith("beta") else (lambda v: v)
    column = QUANTITIES[quantity]
    palette = list(style.COLOURS.values())
    for number, (series, mean) in enumerate(means.groupby("series", sort=False)):
        colour = colours[str(series)] if colours else palette[number % len(palette)]
        marker = MARKERS[number % len(MARKERS)]
        of_series = points[points["series"] == series].sort_values(axis)
        for _, seed in of_series.groupby("seed"):
            ax.plot(place(seed[axis]), seed[column], color=colour, marker=marker, **_thin())
        x = place(mean[axis])
        if mean[f"{quantity}_low"].notna().any():
            low, high = mean[f"{quantity}_low"], mean[f"{quantity}_high"]
            ax.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
        ax.plot(
            x, mean[quantity], color=colour, marker=marker, label=symbols(str(series)), gid="mean"
        )
    bounds = pd.concat([means[f"{quantity}_low"], means[f"{quantity}_high"]])
    _limit(
        ax, points[column], bounds, log=quantity == "excess" and bool((points[column] > 0).all())
    )
    ax.set_ylabel(LABELS[quantity])


def _thin() -> dict[str, Any]:
    """Return the looks of a single seed beside the mean."""
    scale = style.measures().text / 8
    return {
        "alpha": 0.4,
        "linewidth": 0.5 * scale,
        "markersize": 2.0 * scale,
        "markeredgewidth": 0,
        "gid": "seed",
    }


def draw_floor(ax: Axes, points: pd.DataFrame) -> None:
    """Begin the norm's axis at p√ε, to show how much of the norm it is."""
    floor = float(points["norm_floor"].min())
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, floor - 0.08 * (high - floor)), high)
    ax.axhline(floor, color=style.FAINT, linestyle=":", gid="floor")
    words = f"p√ε = {floor:.4g}"
    ax.annotate(
        words, (0.98, floor), xycoords=("axes fraction", "data"), xytext=(0, 2),
        textcoords="offset points", ha="right", va="bottom", color="#555555",
        fontsize=0.85 * style.measures().text,
    )  # fmt: skip


def legend(
    figure: Figure, ax: Axes, means: pd.DataFrame, words: Mapping[str, str] | None = None
) -> None:
    """Name the series above the panels, what is a seed, a mean and a band, and how many seeds.

    ``words`` go below a series' name.
    """
    handles, names = (list(each) for each in ax.get_legend_handles_labels())
    if words:
        names = ["\n".join([name, words.get(name, "")]).strip() for name in names]
    if len(handles) == 1 and not words:
        handles, names = [], []
    colour = style.FAINT if handles else style.COLOURS["blue"]
    number = count_seeds(means)
    if int(means["n"].max()) == 1:
        handles.append(Line2D([], [], color=colour))
        names.append(f"one seed, {number}")
    else:
        handles += [
            Line2D([], [], color=colour, marker="o", **_thin()),
            Line2D([], [], color=colour, marker="o"),
            Patch(facecolor=colour, alpha=0.16),
        ]
        names += ["one seed", f"mean over seeds, {number}", f"its {interval(means)} interval"]
    columns = 1 if style.is_narrow() else min(len(names), 3)
    figure.legend(handles, names, loc="outside upper center", ncols=columns)


def beside_claim(tables: Tables, key: str) -> str:
    """Say in a few words which way a number is claimed to go, and which way it goes here.

    Claims are judged on the paper's rule alone, which is named where there are others.
    """
    claim = tables.json("metrics.json")["claims"].get(key)
    if claim is None:
        return ""
    rules = tables.frame("trials.parquet", ["rule"])["rule"]
    here = "here" if (rules == PAPER_RULE).all() else f"here, {PAPER_RULE}"
    return f"claimed: {claim['claimed']}, {here}: {claim['found']} ({claim['verdict']})"


def verdicts(tables: Tables, figure: str) -> dict[str, str]:
    """Return :func:`beside_claim` of every claim that a figure shows, by the claim's label."""
    said = {spec.label: beside_claim(tables, key) for key, spec in claims_of(figure).items()}
    return {label: words for label, words in said.items() if words}


def listed(words: Mapping[str, str]) -> str:
    """Return verdicts in a row, for a caption."""
    return "; ".join(f"{label}, {said}" for label, said in words.items())


def say_if_one(ax: Axes, means: pd.DataFrame, axis: str) -> None:
    """Say that a grid with one value shows no trend."""
    values = means[axis].unique()
    if len(values) == 1:
        style.note(ax, f"no trend: only {SYMBOLS[axis]} = {values[0]:g}", at=(0.02, 0.03))


def title(ax: Axes, words: str) -> None:
    """Put a remark above a panel, in smaller letters."""
    ax.set_title(words, fontsize=0.85 * style.measures().text, color="#555555")


def symbols(words: str) -> str:
    """Write a series label with the paper's symbols: ``β₂ = 0.9``."""
    parts = [part.split(" ", 1) for part in words.split(", ") if part]
    return ", ".join(
        f"{SYMBOLS[name]} = {rest[0]}" if name in SYMBOLS and rest else " ".join([name, *rest])
        for name, *rest in parts
    )


def _limit(ax: Axes, values: pd.Series, bounds: pd.Series, *, log: bool) -> None:
    """Fit the y axis to the seeds and the band, as far as that does not dwarf the seeds."""
    finite = values[np.isfinite(values)]
    if finite.empty:
        return
    scale = np.log if log else np.asarray
    seeds, band = scale(finite), scale(bounds[bounds > 0] if log else bounds.dropna())
    first, last = float(seeds.min()), float(seeds.max())
    spread = last - first or (0.05 if log else abs(first) * 0.01 or 1.0)
    reach = np.concatenate([seeds, band])
    low = np.clip(reach.min() - 0.05 * spread, first - 0.8 * spread, first - 0.15 * spread)
    high = np.clip(reach.max() + 0.05 * spread, last + 0.15 * spread, last + 0.8 * spread)
    if log:
        ax.set_yscale("log")
        low, high = np.exp([low, high])
    ax.set_ylim(low, high)
    if log:
        style.plain_log(ax.yaxis)


def left_out(tables: Tables, grid: str) -> str:
    """Say how many of a grid's trials are not shown, and of which regime they are."""
    trials = tables.frame("trials.parquet", ["grid", "regime"])
    regimes = trials.loc[trials["grid"] == grid, "regime"]
    out = regimes[regimes != "oscillation"].value_counts()
    if out.empty:
        return f"none of {len(regimes)} trials left out"
    kinds = ", ".join(f"{count} {regime}" for regime, count in sorted(out.items()))
    return f"{out.sum()} of {len(regimes)} trials left out ({kinds})"


def peaks(points: pd.DataFrame) -> str:
    """Say in how many trials the highest norm is a hill's top, and what it is in the others."""
    at_top = points["peak_is_top"]
    edge = points["peak_at_edge"] & ~at_top
    said = [f"In {at_top.sum()} of {len(points)} trials the highest norm is the top of a hill"]
    if edge.any():
        said.append(f"in {edge.sum()} its first value in that part, from which it falls")
    if rest := int((~at_top & ~edge).sum()):
        said.append(f"in {rest} it is elsewhere, or there is no hill")
    return f"{'; '.join(said)}."


def count_seeds(means: pd.DataFrame) -> str:
    """Say over how many seeds means are taken: ``n = 3``, or ``n = 2 to 3`` where some lack."""
    least, most = int(means["n"].min()), int(means["n"].max())
    return f"n = {most}" if least == most else f"n = {least} to {most}"


def setting(tables: Tables, grid: str, axes: Sequence[str]) -> dict[str, str]:
    """Return the settings behind a grid: a value each, or those that it varies."""
    names = (
        *("dataset", "model", "norm", "activation", "rule", "h", "beta1", "beta2", "epsilon"),
        *("epsilon_placement", "epochs", "batch_size", "ghost_batch_size", "precision", "seed"),
    )
    trials = tables.frame("trials.parquet")
    trials = trials[trials["grid"] == grid]
    listed = {name: _values(trials[name]) for name in names if name in trials}
    plain = {"none", "batch of all"}
    return {k: v for k, v in listed.items() if v not in plain or k in axes}


def _values(column: pd.Series) -> str:
    values = sorted(column.dropna().unique())
    if not values:
        return "none"
    return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)


def describe(tables: Tables, grid: str) -> str:
    """Name a grid's network, data and rule in a few words."""
    chosen = setting(tables, grid, ())
    return f"{chosen['model']} on {chosen['dataset']}, full batch"
