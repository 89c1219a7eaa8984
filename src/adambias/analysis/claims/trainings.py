"""The paper's claims, each with what was measured and a verdict by the rule in the parameters."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from adambias.analysis.claims.claim import Claim
from adambias.analysis.claims.small_losses import bilinear_claims
from adambias.analysis.trends import (
    Estimate,
    decide,
    log_distance,
    mean_over_seeds,
    rank_correlation,
    trend,
)
from adambias.config import Analyse, naming

PAPER_RULE = "adam"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What claims are judged on.

    Parameters
    ----------
    trials : DataFrame
        One row per trial and grid, with regime and summaries.
    curves : DataFrame
        Thinned histories, see :mod:`adambias.analysis.curves`.
    bilinear, table1 : mapping and list, or None
        Content of ``bilinear.json`` and ``table1.json``.
    settings : Analyse
        Rules and thresholds.
    """

    trials: pd.DataFrame
    curves: pd.DataFrame
    bilinear: Mapping[str, Any] | None
    table1: Sequence[Mapping[str, Any]] | None
    settings: Analyse

    def planned(self, *grids: str) -> pd.DataFrame:
        """Return the paper's optimizer's trials of some grids."""
        return self.trials[self.trials["grid"].isin(grids) & (self.trials["rule"] == PAPER_RULE)]

    def usable(self, grid: str, axis: str) -> pd.DataFrame:
        """Return the paper's optimizer's oscillation trials of a grid, with a ``series`` label."""
        return with_series(oscillating(self.planned(grid), grid), axis)


def oscillating(trials: pd.DataFrame, grid: str) -> pd.DataFrame:
    """Return the trials of a grid in the oscillation regime, the only ones a figure may use."""
    return trials[(trials["grid"] == grid) & (trials["regime"] == "oscillation")]


_NO_SERIES = ("seed", "epochs", "eval_every", "correction_every")


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


def judge(evidence: Evidence, *, law: bool = True) -> list[Claim]:
    """Return every claim, in the order of the paper; without ``law`` those about trainings."""
    on_law = bilinear_claims(evidence.bilinear, evidence.table1, evidence.settings.verdict)
    makers = (_figures4_and_5, _figure6, _step_size)
    return (on_law if law else []) + [claim for make in makers for claim in make(evidence)]


_COLUMNS = {
    "norm": "peak_perturbed_one_norm",
    "hill": "hill_norm",
    "accuracy": "best_test_accuracy",
}
_EXCESS = "across the grid, as a multiple of its mean excess over p√ε"
_STATISTICS = {
    "norm": f"change of the highest norm {_EXCESS}",
    "hill": f"change of the norm at the hill's top {_EXCESS}",
    "accuracy": "change of the best test accuracy across the grid",
}


def _trend_claim(
    evidence: Evidence,
    points: pd.DataFrame,
    *,
    x: str,
    quantity: str,
    side: int,
    planned: int,
    words: Mapping[str, str],
) -> Claim:
    """Judge a claim that a quantity rises (side 1) or falls (side −1) with ``x``."""
    settings, column = evidence.settings, _COLUMNS[quantity]
    found = trend(points, x, column, settings.interval)
    least = settings.verdict.accuracy_effect
    if quantity != "accuracy":
        excess = (points[column] - points["norm_floor"]).mean() if len(points) else math.nan
        found = found.scaled(1 / excess)
        least = settings.verdict.norm_effect
    return _seed_claim(
        evidence,
        found,
        side=side,
        least=least,
        statistic=_STATISTICS[quantity],
        planned=planned,
        words=words,
    )


def _seed_claim(
    evidence: Evidence,
    found: Estimate,
    *,
    side: int,
    least: float,
    statistic: str,
    planned: int,
    words: Mapping[str, str],
    directions: tuple[str, str] = ("rises", "falls"),
) -> Claim:
    """Turn an estimate over seeds into a claim with its verdict."""
    rule = evidence.settings
    verdict, reason = decide(found, side=side, least=least, seeds=rule.verdict.seeds)
    return Claim(
        **words,
        claimed=directions[0] if side > 0 else directions[1],
        statistic=statistic,
        value=found.value,
        low=found.low,
        high=found.high,
        interval=f"{rule.interval.level:.0%}, bootstrap over seeds and t, the wider",
        n=found.n,
        used=found.used,
        planned=planned,
        rank_correlation=found.rank_correlation,
        found=_direction(found.value, directions),
        verdict=verdict,
        reason=reason,
    )


def _within(found: Estimate, reach: float) -> Estimate:
    """Cut an interval at what is possible: t knows no bounds of a share."""
    low, high = np.clip([found.low, found.high], -reach, reach)
    return dataclasses.replace(found, low=float(low), high=float(high))


def _direction(value: float, directions: tuple[str, str]) -> str:
    if not math.isfinite(value):
        return "no data"
    return directions[0] if value > 0 else directions[1] if value < 0 else "level"


def _figures4_and_5(evidence: Evidence) -> list[Claim]:
    claims = []
    for number, beta, side in ((4, "beta2", 1), (5, "beta1", -1)):
        points = evidence.usable(beta, beta)
        points = points.assign(x=log_distance(points[beta]))
        for quantity, of, sign in (
            ("norm", "perturbed one-norm of the gradient", side),
            ("accuracy", "test accuracy", -side),
        ):
            words = {
                "key": f"fig{number}_{quantity}",
                "source": f"figure {number}, section 6",
                "sentence": f"Raising {beta} {'raises' if sign > 0 else 'lowers'} the {of}.",
            }
            claim = _trend_claim(
                evidence,
                points,
                x="x",
                quantity=quantity,
                side=sign,
                planned=len(evidence.planned(beta)),
                words=words,
            )
            claims.append(claim)
    return claims


def _figure6(evidence: Evidence) -> list[Claim]:
    claims = []
    for grid, beta, side, word in (
        ("hills_beta2", "beta2", 1, "larger beta2"),
        ("hills_beta1", "beta1", -1, "smaller beta1"),
    ):
        usable = evidence.usable(grid, beta)
        points = usable[usable["has_hill"]]
        points = points.assign(x=log_distance(points[beta]))
        words = {
            "key": f"fig6_{grid}",
            "source": "figure 6, section 6",
            "sentence": f"The hills of the norm are higher with {word}.",
        }
        claim = _trend_claim(
            evidence,
            points,
            x="x",
            quantity="hill",
            side=side,
            planned=len(evidence.planned(grid)),
            words=words,
        )
        if points.empty and len(usable):
            reason = f"none of {len(usable)} trials has a hill"
            claim = dataclasses.replace(claim, found="no hill", reason=reason)
        claims.append(claim)
    return [*claims, _most_of_training(evidence), _shape(evidence)]


def _most_of_training(evidence: Evidence) -> Claim:
    """Judge whether a larger beta1 goes with a smaller norm at most epochs, seed by seed."""
    points = evidence.usable("hills_beta1", "beta1")
    curves = evidence.curves.query("grid == 'hills_beta1'").merge(
        points[["trial", "seed", "series", "beta1"]], on="trial"
    )
    rows = [(key[0], _share_below(group)) for key, group in curves.groupby(["seed", "series"])]
    shares = pd.DataFrame(rows, columns=["seed", "share"]).groupby("seed")["share"].mean()
    found = _within(mean_over_seeds(shares - 0.5, evidence.settings.interval), 0.5)
    found = dataclasses.replace(found, used=curves["trial"].nunique())
    words = {
        "key": "fig6_most_of_training",
        "source": "figure 6, section 6",
        "sentence": "Throughout most of the training, the larger beta1, the smaller the norm.",
    }
    return _seed_claim(
        evidence,
        found,
        side=1,
        least=evidence.settings.verdict.share_effect,
        statistic="share of epochs with a negative rank correlation, less one half",
        planned=len(evidence.planned("hills_beta1")),
        words=words,
        directions=("most of it", "less than half"),
    )


def _share_below(curves: pd.DataFrame) -> float:
    wide = curves.pivot_table(index="epoch", columns="beta1", values="perturbed_one_norm")
    wide = wide.dropna()
    if wide.shape[1] < 2 or wide.empty:
        return math.nan
    betas = wide.columns.to_numpy(dtype=float)
    return float(np.mean([rank_correlation(betas, row) < 0 for row in wide.to_numpy()]))


def _shape(evidence: Evidence) -> Claim:
    """Judge whether most norms fall, rise to a hill, and fall again."""
    grids = ("beta2", "beta1")
    points = pd.concat([evidence.usable(f"hills_{axis}", axis) for axis in grids])
    points = points.drop_duplicates("trial").dropna(subset=["hill_rise", "hill_fall"])
    shares = points.groupby("seed")["has_hill"].mean()
    found = _within(mean_over_seeds(shares - 0.5, evidence.settings.interval), 0.5)
    planned = evidence.planned(*(f"hills_{axis}" for axis in grids))
    words = {
        "key": "fig6_shape",
        "source": "figure 6, section 6",
        "sentence": "The norm decreases, then rises again, then decreases until it flattens.",
    }
    return _seed_claim(
        evidence,
        dataclasses.replace(found, used=len(points)),
        side=1,
        least=evidence.settings.verdict.share_effect,
        statistic=(
            "share of trials whose norm has a hill of at least "
            f"{evidence.settings.hill_decades:g} powers of ten, less one half"
        ),
        planned=planned["trial"].nunique(),
        words=words,
        directions=("a hill in most", "a hill in less than half"),
    )


def step_size_sides(trials: pd.DataFrame) -> pd.DataFrame:
    """Label trials by the side of beta1 = beta2 they are on, in a column ``side``."""
    above = trials["beta1"] >= trials["beta2"]
    return trials.assign(side=np.where(above, "beta1 ≥ beta2", "beta1 < beta2"))


def _step_size(evidence: Evidence) -> list[Claim]:
    points = step_size_sides(evidence.usable("h", "h"))
    points = points.assign(x=np.log10(points["h"].astype(float)))
    claims = []
    for side_name, key, side, word in (
        ("beta1 ≥ beta2", "h_penalised", -1, "lowers"),
        ("beta1 < beta2", "h_hindered", 1, "raises"),
    ):
        chosen = points[points["side"] == side_name]
        planned = step_size_sides(evidence.planned("h"))["side"] == side_name
        words = {
            "key": key,
            "source": "equation 2.5, on networks",
            "sentence": f"At equal time, a larger h {word} the norm where {side_name}.",
        }
        claim = _trend_claim(
            evidence,
            chosen,
            x="x",
            quantity="norm",
            side=side,
            planned=int(planned.sum()),
            words=words,
        )
        claims.append(claim)
    return claims
