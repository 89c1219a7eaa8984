"""The tracker that shows trainings and analyses in MLflow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from adambias.config import Params
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger
from adambias.tracking.mlflow import analysis_run, location, rebuild
from adambias.tracking.mlflow.mirror import PATIENCE, mirror_views
from adambias.tracking.mlflow.views import Summary, View


class MlflowTracker:
    """Shows a project in MLflow; see :class:`adambias.tracking.Tracker`.

    Parameters
    ----------
    params : Params
        Scale and folder of the project.
    uri : str, optional
        The tracking store; by default :func:`adambias.tracking.mlflow.location.tracking_uri`.
    patience : float
        Most seconds that the end of a sweep waits for the last pass.
    """

    def __init__(
        self, params: Params, uri: str | None = None, *, patience: float = PATIENCE
    ) -> None:
        self.params, self.patience = params, patience
        self._uri = uri

    @property
    def uri(self) -> str:
        """The tracking store, with an absolute path; looked up when it is needed."""
        root = self.params.root
        return location.checked_uri(self._uri, root) if self._uri else location.tracking_uri(root)

    def mirror(
        self, ledger: Ledger, grids: Mapping[str, Iterable[Job]]
    ) -> contextlib.AbstractContextManager[None]:
        """Mirror the grids from a process of its own while the body runs."""
        views = [self._view(name, jobs) for name, jobs in grids.items()]
        scale, root = self.params.name, self.params.root
        return mirror_views(ledger, scale, views, self.uri, root=root, patience=self.patience)

    def is_current(self, ledger: Ledger, grid: str, jobs: Iterable[Job]) -> bool:
        """Tell, without MLflow, whether its view of a grid is complete."""
        return location.is_current(ledger, self.uri, self.params.name, self._view(grid, jobs))

    def sync(
        self,
        ledger: Ledger,
        grids: Mapping[str, Iterable[Job]],
        progress: Callable[[str], None] | None = None,
    ) -> Summary:
        """Bring an empty or half-filled store up to the ledger; what is right there stays."""
        views = [self._view(name, jobs) for name, jobs in grids.items()]
        return rebuild.sync(ledger, self.params, views, self.uri, progress)

    def log_analysis(
        self,
        results_dir: str | Path,
        figures_dir: str | Path,
        report_path: str | Path | None = None,
    ) -> str | None:
        """Log an analysis as a run of its scale, once."""
        return analysis_run.log_analysis(results_dir, figures_dir, report_path, uri=self.uri)

    def _view(self, name: str, jobs: Iterable[Job]) -> View:
        scale = self.params.scale
        return View(
            name=name,
            grid=scale.grids[name],
            jobs=tuple(jobs),
            initial_fraction=scale.analyse.initial_fraction,
        )
