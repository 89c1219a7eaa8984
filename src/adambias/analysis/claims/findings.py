"""What claims are judged on: the trainings, their curves, and what was found of the laws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from adambias.analysis.series import oscillating, with_series
from adambias.config import Analyse, ClaimSpec
from adambias.config.claims import PAPER_RULE


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What claims are judged on.

    Parameters
    ----------
    trials : DataFrame
        One row per trial and grid, with regime and summaries.
    curves : DataFrame
        Thinned histories, see :mod:`adambias.analysis.curves`.
    bilinear, table1, reach, cause, stability : mapping, or list of mapping, or None
        Content of ``bilinear.json``, ``table1.json``, ``reach.json`` and so on.
    settings : Analyse
        Rules and thresholds.
    """

    trials: pd.DataFrame
    curves: pd.DataFrame
    bilinear: Mapping[str, Any] | None = None
    table1: Sequence[Mapping[str, Any]] | None = None
    reach: Mapping[str, Any] | None = None
    cause: Mapping[str, Any] | None = None
    stability: Mapping[str, Any] | None = None
    settings: Analyse

    def planned(self, claim: ClaimSpec) -> int:
        """Count the paper's optimizer's trials that a claim is about, whatever became of them."""
        rows = self.trials[self.trials["grid"].isin(claim.grids)]
        return int(claim.select(rows[rows["rule"] == PAPER_RULE])["trial"].nunique())

    def devices(self, claim: ClaimSpec) -> list[str]:
        """Return the kinds of devices that a claim's trials were trained on, as far as known."""
        if "device" not in self.trials:
            return []
        rows = self.trials[self.trials["grid"].isin(claim.grids)]
        # A trial that went from one to the other names both.
        return sorted({kind for each in rows["device"].dropna() for kind in each.split(" and ")})

    def usable(self, claim: ClaimSpec) -> pd.DataFrame:
        """Return the paper's optimizer's oscillation trials that a claim is about.

        ``series`` names what varies in a grid besides the axis and the seed. Of several grids, the
        grid is part of it.
        """
        adam = self.trials[self.trials["rule"] == PAPER_RULE]
        pieces = [with_series(oscillating(adam, grid), claim.axis) for grid in claim.grids]
        if len(pieces) > 1:
            pieces = [
                piece.assign(series=piece["grid"] + " " + piece["series"]) for piece in pieces
            ]
        return claim.select(pd.concat(pieces))
