"""What a tracker does, and one that does nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from adambias.config import Params
from adambias.core.extras import EXTRAS, need
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger
from adambias.tracking.mlflow.views import Summary

Grids = Mapping[str, Iterable[Job]]


class Tracker(Protocol):
    """Shows a project's trainings and analyses where people browse them.

    A view of the ledger: complete, rebuildable, never the only copy of anything. Grids are given by
    name, each with its trials.
    """

    def mirror(self, ledger: Ledger, grids: Grids) -> contextlib.AbstractContextManager[None]:
        """Keep some grids up to date while the body runs, and complete them at its end.

        Raises
        ------
        TrackingError
            Before the body, if the store is of no use. Trouble later is logged in one line and
            never raised.
        """

    def is_current(self, ledger: Ledger, grid: str, jobs: Iterable[Job]) -> bool:
        """Tell, in an instant, whether a grid is shown as the ledger has it."""

    def sync(
        self, ledger: Ledger, grids: Grids, progress: Callable[[str], None] | None = None
    ) -> Summary:
        """Show whatever is missing of some grids and of the analysis.

        ``progress`` is called with a line for each grid that is done.

        Raises
        ------
        TrackingError
            If the store cannot be reached or used.
        """

    def log_analysis(
        self,
        results_dir: str | Path,
        figures_dir: str | Path,
        report_path: str | Path | None = None,
    ) -> str | None:
        """Show an analysis, once; return its identity, None if the store is away."""


class NoTracker:
    """Tracks nothing."""

    def mirror(self, ledger: Ledger, grids: Grids) -> contextlib.AbstractContextManager[None]:
        """Do nothing while the body runs."""
        return contextlib.nullcontext()

    def is_current(self, ledger: Ledger, grid: str, jobs: Iterable[Job]) -> bool:
        """Find nothing missing."""
        return True

    def sync(
        self, ledger: Ledger, grids: Grids, progress: Callable[[str], None] | None = None
    ) -> Summary:
        """Show nothing."""
        return Summary()

    def log_analysis(
        self,
        results_dir: str | Path,
        figures_dir: str | Path,
        report_path: str | Path | None = None,
    ) -> str | None:
        """Show nothing."""
        return None


def tracker_for(params: Params, *, track: bool = True) -> Tracker:
    """Return the tracker of a project: MLflow's, or with ``track`` false the one that does nothing.

    Parameters
    ----------
    params : Params
        The project's scale and folder.
    track : bool
        Whether anything is to be tracked.

    Raises
    ------
    MissingPackage
        If MLflow is not installed.
    """
    if not track:
        return NoTracker()
    need(*EXTRAS["tracking"])
    from adambias.tracking.mlflow.tracker import MlflowTracker

    return MlflowTracker(params)
