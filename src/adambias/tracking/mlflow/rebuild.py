"""Rebuild MLflow's view from the ledger alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from adambias.config import Params
from adambias.ledger.ledger import Ledger
from adambias.tracking.mlflow.analysis_run import analysed_scale, log_analysis, read_regimes
from adambias.tracking.mlflow.views import Summary, View


def sync(
    ledger: Ledger,
    params: Params,
    views: Iterable[View],
    uri: str,
    progress: Callable[[str], None] | None = None,
) -> Summary:
    """Bring an empty or half-filled store up to the ledger; what is right there stays.

    Parameters
    ----------
    ledger : Ledger
        The trials.
    params : Params
        Scale and folder of the project.
    views : iterable of View
        The grids to show.
    uri : str
        The tracking store.
    progress : callable, optional
        Called with a line for each grid that is done.

    Returns
    -------
    Summary
        Runs created and updated, points written, and trials that could not be shown.

    Raises
    ------
    TrackingError
        If the store cannot be reached or used.
    """
    from adambias.tracking.mlflow.client import TrackingStore, translated
    from adambias.tracking.mlflow.writer import GridWriter

    store = TrackingStore(uri)
    analysed = analysed_scale(params.root / "results")
    ours = analysed == params.name
    regimes = read_regimes(params.root / "results" / "trials.parquet") if ours else {}
    total = Summary()
    for view in views:
        store.done = Summary()
        writer = GridWriter(store, ledger, params.name, view, regimes=regimes.get(view.name))
        with translated(uri):
            done = writer.write(check=True) + store.done
        total += done
        if progress is not None:
            progress(f"{view.name}: {done}")
    if ours:
        report = params.root / "reports" / "index.html"
        log_analysis(params.root / "results", params.root / "figures", report, uri=uri)
    elif analysed and progress is not None:
        progress(f"analysis: results/ are of scale {analysed}, left out")
    return total
