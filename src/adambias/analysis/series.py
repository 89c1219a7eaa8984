"""Series: which of a grid's trials belong on one line, and their means over seeds."""

from __future__ import annotations

import pandas as pd

from adambias.analysis.trends import band
from adambias.config import naming
from adambias.config.figures import QUANTITIES

_NO_SERIES = ("seed", "epochs", "eval_every", "correction_every", "measures", "measure_every")


def oscillating(trials: pd.DataFrame, grid: str) -> pd.DataFrame:
    """Return the trials of a grid in the oscillation regime, the only ones a figure may use."""
    return trials[(trials["grid"] == grid) & (trials["regime"] == "oscillation")]


def with_series(trials: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Add a column ``series`` that names what varies among the trials besides ``axis`` and seed.

    Parameters
    ----------
    trials : DataFrame
        Trials of one grid.
    axis : str
        The hyperparameter along the axis.

    Returns
    -------
    DataFrame
        ``series`` holds texts such as ``rule lion, h 0.0001``, empty where nothing else varies.
    """
    kept = {str(name): trials[name].unique() for name in trials if name not in (axis, *_NO_SERIES)}
    varied = naming.varying(kept)
    rows = trials[varied].to_dict("records")
    labels = [", ".join(naming.words(row, varied, show=naming.short)) for row in rows]
    return trials.assign(series=labels if varied else "")


def effect_table(
    trials: pd.DataFrame, grid: str, axis: str, level: float = 0.95
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what a figure of a quantity against a hyperparameter shows.

    Parameters
    ----------
    trials : DataFrame
        The table of trials with regimes and summaries.
    grid, axis : str
        The grid, and the hyperparameter along the axis.
    level : float
        Coverage of the bands.

    Returns
    -------
    points : DataFrame
        Oscillation trials with their ``series``; along h every series has both decays in its name,
        as the side of β₁ = β₂ that it is on decides which way it should go. ``<name>_within`` is a
        quantity less what the trial's seed differs by, see :func:`within_seeds`.
    means : DataFrame
        By ``series`` and ``axis``: n, and the mean of the quantities of
        :data:`adambias.config.figures.QUANTITIES` with the bounds of Student's t interval,
        ``<name>_low`` and ``<name>_high``, NaN with one seed; the same of ``<name>_within``.
    """
    points = with_series(oscillating(trials, grid), axis)
    if axis == "h":
        points = _with_decays(points)
    points = within_seeds(points, axis)
    return points, average(points, axis, level)


def within_seeds(points: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Add ``<name>_within`` for every quantity: without what whole seeds differ by.

    From each number its seed's mean over the axis is taken away, and the mean of all seeds put in
    its place. Seeds that lack a value of the axis are NaN: their mean is of something else.
    """
    added = {}
    for name, column in QUANTITIES.items():
        known = points[column].notna()
        by_series = points["series"]
        values = points[axis].where(known).groupby(by_series).transform("nunique")
        of_seed = [by_series, points["seed"]]
        whole = points[axis].where(known).groupby(of_seed).transform("nunique") == values
        kept = points[column].where(whole)
        mean = kept.groupby(of_seed).transform("mean")
        added[f"{name}_within"] = kept - mean + kept.groupby(by_series).transform("mean")
    return points.assign(**added)


def _with_decays(points: pd.DataFrame) -> pd.DataFrame:
    others = points["series"].str.replace(r"(, )?beta[12] [^,]+", "", regex=True).str.lstrip(", ")
    decays = zip(points["beta1"], points["beta2"], others, strict=True)
    labels = [f"beta1 {beta1:g}, beta2 {beta2:g}, {other}" for beta1, beta2, other in decays]
    return points.assign(series=[label.removesuffix(", ") for label in labels])


def average(points: pd.DataFrame, axis: str, level: float = 0.95) -> pd.DataFrame:
    """Average the quantities of figures over seeds; see :func:`effect_table`.

    Taking off each seed's mean over k values takes off a kth of the scatter too, so the bounds
    within seeds are wider by the root of k / (k − 1) (Morey, Tutorials in Quantitative Methods for
    Psychology 4, 2008).
    """
    groups = points.groupby(["series", axis], sort=True)
    means = [band(groups[column], name, level) for name, column in QUANTITIES.items()]
    values = points.groupby("series")[axis].nunique()
    wider = (values / (values - 1).clip(lower=1)) ** 0.5
    for name in (f"{quantity}_within" for quantity in QUANTITIES):
        within = band(groups[name], name, level)
        factor = wider.reindex(within.index.get_level_values("series")).to_numpy()
        for end in ("_low", "_high"):
            within[name + end] = within[name] + factor * (within[name + end] - within[name])
        means.append(within)
    return pd.concat([groups.size().rename("n"), *means], axis=1).reset_index()
