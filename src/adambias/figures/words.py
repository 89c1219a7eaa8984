"""What captions, alt texts and the report say of a grid's trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from adambias.figures import style, verdicts
from adambias.figures.tables import Tables

QUANTITIES = {
    "progress": "norm at equal progress",
    "peak": "highest norm",
    "accuracy": "late test accuracy",
}
"""What figures 4, 5 and h show: the reading that decides, the paper's own, and the accuracy."""


ACTIVATIONS = {"relu": "ReLU", "gelu": "GELU", "softplus": "softplus", "tanh": "tanh"}
NORMS = {"none": "no norm", "batch": "BatchNorm", "group": "GroupNorm"}


def network(activation: str, norm: str) -> str:
    """Say what a network is made of: ``ReLU, BatchNorm``."""
    return f"{ACTIVATIONS.get(activation, activation)}, {NORMS.get(norm, norm)}"


def panels(tables: Tables, figure: str) -> str:
    """Say what the panels of figures 4, 5 and h show."""
    window = verdicts.loss_window(tables, figure)
    where = "is between {:g} and {:g} of its start".format(*window) if window else "is equal"
    return (
        "(a) decides: mean log₁₀ excess of the perturbed one-norm of the gradient over its floor "
        f"p√ε, while the training loss {where}. (b) The paper's own reading: the same of the "
        "highest norm after the initial part of the training, judged by itself. (c) Mean test "
        "accuracy late in the training."
    )


def interval(means: pd.DataFrame) -> str:
    """Return the coverage of the bands: ``95 %``."""
    return f"{100 * means['level'].iloc[0]:.4g} %"


def symbols(words: str) -> str:
    """Write a series label with the paper's symbols: ``β₂ = 0.9``."""
    parts = [part.split(" ", 1) for part in words.split(", ") if part]
    names = style.SYMBOLS
    return ", ".join(
        f"{names[name]} = {rest[0]}" if name in names and rest else " ".join([name, *rest])
        for name, *rest in parts
    )


def left_out(tables: Tables, grid: str) -> str:
    """Say how many of a grid's trials are not shown, and of which regime they are."""
    trials = tables.frame("trials.parquet", ["grid", "regime"])
    regimes = trials.loc[trials["grid"] == grid, "regime"]
    out = regimes[regimes != "oscillation"].value_counts()
    if out.empty:
        return f"none of {len(regimes)} trials left out"
    kinds = ", ".join(f"{count} {regime}" for regime, count in sorted(out.items()))
    return f"{out.sum()} of {len(regimes)} trials left out ({kinds})"


def within_seeds(points: pd.DataFrame, means: pd.DataFrame, axis: str) -> str:
    """Say what the lines and bands of a figure within seeds are, and how many seeds have none."""
    drawn, symbol = _drawn(points), style.SYMBOLS[axis]
    lacking = ", ".join(
        f"{(~drawn[quantity]).sum()} of {len(drawn)} in ({letter})"
        for letter, quantity in zip("abc", QUANTITIES, strict=True)
        if not drawn[quantity].all()
    )
    without = f" Seeds without the number at every {symbol} are not drawn: {lacking}."
    return (
        f"Thin: single seeds, {count_seeds(points)}, shifted to their common mean, so that only "
        f"what differs within seeds shows; thick: their mean with the {interval(means)} t interval "
        f"of the shifted numbers.{without if lacking else ''}"
    )


def count_seeds(points: pd.DataFrame) -> str:
    """Say how many seeds are drawn: ``n = 3``, or ``n = 2 to 3`` where panels or series differ."""
    numbers = _drawn(points).groupby("series").sum().to_numpy().ravel()
    return span(numbers[numbers > 0])


def _drawn(points: pd.DataFrame) -> pd.DataFrame:
    """Tell of each series and seed, and each quantity, whether it has a line."""
    known = pd.DataFrame({name: points[f"{name}_within"].notna() for name in QUANTITIES})
    return known.groupby([points["series"], points["seed"]]).any()


def span(numbers: Any) -> str:
    """Write the least and the most of some numbers of seeds: ``n = 2 to 3``."""
    least, most = int(np.min(numbers)), int(np.max(numbers))
    return f"n = {most}" if least == most else f"n = {least} to {most}"


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


def runs(means: pd.DataFrame, axis: str) -> str:
    """Say how the means of each series run from the axis's lowest value to its highest."""
    return ". ".join(_run(mean, axis) for _, mean in means.groupby("series", sort=False))


def _run(mean: pd.DataFrame, axis: str) -> str:
    first, last = mean.iloc[0], mean.iloc[-1]
    parts = []
    for quantity, name in QUANTITIES.items():
        low, high = first[f"{quantity}_within"], last[f"{quantity}_within"]
        if np.isfinite([low, high]).all():
            log = "" if quantity == "accuracy" else "log10 excess of the "
            parts.append(f"{log}{name} from {low:.4g} to {high:.4g}")
    series = f"With {first['series']}, as" if first["series"] else "As"
    said = ", ".join(parts) or "nothing that can be compared"
    return f"{series} {axis} goes from {first[axis]:g} to {last[axis]:g}, means over seeds: {said}"


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


def of_paper(tables: Tables, grid: str) -> str:
    """Name a grid's network and data, and the paper's rule where others are left out."""
    return ", ".join(filter(None, (describe(tables, grid), verdicts.whose(tables, [grid]))))
