"""The analysis as a run: figures, tables, verdicts and numbers, linked to the sweeps it used."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adambias.errors import TrackingError
from adambias.tracking import content, location
from adambias.tracking.provenance import who_and_what

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Run

    from adambias.tracking.client import TrackingStore

logger = logging.getLogger("adambias.tracking")
LARGEST_FILE = 100_000_000
"""Bytes from which a table stays out of MLflow; the trials' own runs hold what is in it."""
VERDICTS = ("agrees", "disagrees", "inconclusive")
_FIGURES = (".png", ".svg", ".pdf")
_NOT_IN_NAMES = re.compile(r"[^\w\-. /]")


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What an analysis left behind.

    Parameters
    ----------
    root : Path
        The project's folder.
    files : dict
        Every file to store, by its path within the run.
    metrics : dict
        The content of ``metrics.json``.
    trials : DataFrame or None
        The table of trials.
    """

    root: Path
    files: dict[str, Path]
    metrics: dict[str, Any]
    trials: pd.DataFrame | None

    def digest(self) -> str:
        """Return the SHA-256 of every file with its name."""
        whole = hashlib.sha256(str(location.VERSION).encode())
        for name, file in sorted(self.files.items()):
            whole.update(f"{name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
        return whole.hexdigest()

    def grids(self) -> list[str]:
        """Return the grids whose trials were analysed."""
        return [] if self.trials is None else [str(g) for g in self.trials["grid"].unique()]


def log_analysis(
    results_dir: str | Path,
    figures_dir: str | Path,
    report_path: str | Path | None = None,
    *,
    scale: str,
    uri: str | None = None,
) -> str | None:
    """Log an analysis as a run, once; an unchanged one opens no second run.

    The sweeps' runs get the figure they are for and the table of their trials, the trials' runs
    their regime.

    Parameters
    ----------
    results_dir, figures_dir : path
        Tables with ``metrics.json``, and figures.
    report_path : path, optional
        The report; left out if there is none.
    scale : str
        Name of the scale.
    uri : str, optional
        The tracking store; by default :func:`adambias.tracking.tracking_uri`.

    Returns
    -------
    str or None
        Id of the run; None, after one line in the log, if the store is away.
    """
    uri = location.checked_uri(uri) if uri else location.tracking_uri()
    analysis = collect(Path(results_dir), Path(figures_dir), report_path)
    try:
        location.refuse_unreachable(uri)
        from adambias.tracking.client import TrackingStore, translated

        with translated(uri):
            return _log(TrackingStore(uri), analysis, scale)
    except TrackingError as error:
        logger.warning(
            "the analysis is not in MLflow (%s): adambias sync brings it there once the store "
            "answers",
            error,
        )
        return None


def collect(results: Path, figures: Path, report: str | Path | None) -> Analysis:
    """Gather the files of an analysis; the tables of single sweeps are left to the sweeps."""
    import pandas as pd

    tables = [f for f in results.glob("*") if f.is_file() and f.stat().st_size < LARGEST_FILE]
    drawn = [f for f in figures.glob("*") if f.suffix in _FIGURES]
    files = {f"tables/{f.name}": f for f in tables} | {f"figures/{f.name}": f for f in drawn}
    if report is not None and Path(report).exists():
        files[f"report/{Path(report).name}"] = Path(report)
    numbers, trials = results / "metrics.json", results / "trials.parquet"
    return Analysis(
        root=results.resolve().parent,
        files=files,
        metrics=json.loads(numbers.read_text()) if numbers.exists() else {},
        trials=pd.read_parquet(trials) if trials.exists() else None,
    )


def read_regimes(file: Path) -> dict[str, dict[str, str]]:
    """Read each trial's regime, by grid and key, from the table of an analysis, if there is one."""
    import pandas as pd

    return regimes(pd.read_parquet(file)) if file.exists() else {}


def regimes(trials: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return each trial's regime, by grid and key."""
    if "regime" not in trials:
        return {}
    known = trials.dropna(subset=["regime"])
    return {
        str(grid): {str(k): str(v) for k, v in zip(rows["trial"], rows["regime"], strict=True)}
        for grid, rows in known.groupby("grid", observed=True)
    }


def numbers(metrics: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield every finite number of nested JSON with the path to it: ``norm/beta2/slope``."""
    if isinstance(metrics, bool | int | float):
        if math.isfinite(metrics):
            yield _NOT_IN_NAMES.sub("_", path)[:250], float(metrics)
        return
    if isinstance(metrics, Mapping):
        inner = [(str(key), value) for key, value in metrics.items()]
    elif isinstance(metrics, list):
        inner = [(_entry_name(i, value), value) for i, value in enumerate(metrics)]
    else:
        return
    for name, value in inner:
        yield from numbers(value, f"{path}/{name}" if path else name)


def _entry_name(index: int, value: Any) -> str:
    """Name an entry of a list by its own name, where it has one."""
    named = value if isinstance(value, Mapping) else {}
    return next((str(named[k]) for k in ("id", "name", "key", "claim") if k in named), str(index))


def verdicts(metrics: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every verdict of nested JSON with the path to its claim."""
    if isinstance(metrics, Mapping):
        if metrics.get("verdict") in VERDICTS:
            yield path, str(metrics["verdict"])
        inner = [(str(key), value) for key, value in metrics.items()]
    elif isinstance(metrics, list):
        inner = [(_entry_name(i, value), value) for i, value in enumerate(metrics)]
    else:
        return
    for name, value in inner:
        yield from verdicts(value, f"{path}/{name}" if path else name)


def _log(store: TrackingStore, analysis: Analysis, scale: str) -> str:
    parents = _sweeps(store, analysis, scale)
    tags = {
        "mlflow.note.content": f"Analyses of scale `{scale}`, the newest first.",
        "mlflow.experimentKind": "custom_model_development",
    }
    experiment = store.experiment(content.experiment_name(scale, "analysis"), tags)
    run = _open(store, experiment, analysis, scale)
    _fill(store, run, analysis)
    store.tag(run, _tags(analysis, scale, parents))
    for grid, parent in parents.items():
        _complete_sweep(store, analysis, grid, parent, run.info.run_id)
    return str(run.info.run_id)


def _open(store: TrackingStore, experiment: str, analysis: Analysis, scale: str) -> Run:
    digest = analysis.digest()
    found = store.only(store.runs(experiment, "analysis", content_sha256=digest), "content_sha256")
    if digest in found:
        return found[digest]
    tags = who_and_what(analysis.root) | {"kind": "analysis", "content_sha256": digest}
    if "DVC_STAGE" in os.environ:
        tags["DVC_STAGE"] = os.environ["DVC_STAGE"]
    name, now = f"Analysis ({scale}) {digest[:6]}", int(time.time() * 1000)
    return store.open_run(experiment, "content_sha256", tags, name, now)[0]


def _fill(store: TrackingStore, run: Run, analysis: Analysis) -> None:
    """Write numbers and files, unless they are there."""
    from mlflow.entities import Metric

    folders = {name.split("/")[0] for name in analysis.files}
    if run.data.tags.get("mirrored") and store.has(run, folders):
        return
    values = dict(numbers(analysis.metrics)).items()
    news = [(key, value) for key, value in values if key not in run.data.metrics]
    store.log(run.info.run_id, [Metric(k, v, run.info.start_time, 0) for k, v in news])
    store.put(run, analysis.files)
    store.end(run.info.run_id, "FINISHED", int(time.time() * 1000))
    store.log(run.info.run_id, [], tags={"mirrored": f"v{location.VERSION}"})


def _sweeps(store: TrackingStore, analysis: Analysis, scale: str) -> dict[str, Run]:
    """Find the runs of the sweeps whose trials were analysed."""
    found: dict[str, Run] = {}
    for grid in analysis.grids():
        experiment = store.client.get_experiment_by_name(content.experiment_name(scale, grid))
        if experiment is not None and experiment.lifecycle_stage == "active":
            runs = store.runs(experiment.experiment_id, "sweep", sweep=f"{scale}/{grid}")
            for run in store.only(runs, "sweep").values():
                found[grid] = run
    return found


def _tags(analysis: Analysis, scale: str, parents: Mapping[str, Run]) -> dict[str, str]:
    claims = dict(verdicts(analysis.metrics))
    tags = {f"verdict.{_NOT_IN_NAMES.sub('_', name)}"[:250]: v for name, v in claims.items()}
    tags |= {f"sweep.{grid}": run.info.run_id for grid, run in parents.items()}
    return tags | {"scale": scale, "mlflow.note.content": description(claims, parents)}


def description(claims: Mapping[str, str], parents: Mapping[str, Run]) -> str:
    """Return Markdown with the verdicts and links to the sweeps' runs."""
    rows = "\n".join(f"| {name} | {verdict} |" for name, verdict in claims.items())
    table = f"| claim | verdict |\n|---|---|\n{rows}\n\n" if claims else ""
    links = "\n".join(
        f"- [{run.info.run_name}](#/experiments/{run.info.experiment_id}/runs/{run.info.run_id})"
        for run in parents.values()
    )
    return (
        f"{table}**Sweeps this analysis used**\n\n{links or 'none that MLflow shows'}\n\n"
        "Figures, tables and the report are among the artifacts; every number of `metrics.json` "
        "is a metric. **Reproduce**: `dvc repro`.\n"
    )


def _complete_sweep(
    store: TrackingStore, analysis: Analysis, grid: str, parent: Run, analysis_run: str
) -> None:
    """Give a sweep its figure and table, and its trials their regime."""
    if parent.data.tags.get("analysis_run") == analysis_run and store.has(parent, ["tables"]):
        return
    assert analysis.trials is not None
    rows = analysis.trials[analysis.trials["grid"] == grid]
    wanted = content.FIGURES.get(grid)
    files: dict[str, bytes | Path] = {
        name: file
        for name, file in analysis.files.items()
        if name.startswith("figures/") and file.stem == wanted
    }
    store.put(parent, files | {"tables/trials.csv": rows.to_csv(index=False).encode()})
    known = regimes(rows).get(grid, {})
    for run in store.runs(parent.info.experiment_id, "trial"):
        if run.data.tags.get("trial_key") in known:
            store.tag(run, {"regime": known[run.data.tags["trial_key"]]})
    store.tag(parent, {"analysis_run": analysis_run})
