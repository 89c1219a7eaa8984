"""The analysis as a run: figures, tables, verdicts and numbers, linked to the sweeps it used."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adambias.config.figures import FIGURE_OF_GRID
from adambias.core.errors import TrackingError
from adambias.core.files import markdown_table
from adambias.core.provenance import git_state
from adambias.tracking.mlflow import content, location
from adambias.tracking.mlflow.author import author
from adambias.tracking.mlflow.views import VERSION

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Run

    from adambias.tracking.mlflow.client import TrackingStore

logger = logging.getLogger("adambias.tracking")
LARGEST_FILE = 100_000_000
"""Bytes from which a table stays out of MLflow; the trials' own runs hold what is in it."""
_TABLES = (".json", ".parquet", ".md")
_FIGURES = (".png", ".svg", ".pdf")
_COLUMNS = {"claim": "sentence", "in the paper": "source", "found": "found", "verdict": "verdict"}
"""Heading and field of what the description says of a claim."""
_KINDS = {True: "on trained networks", False: "checks of the laws"}
"""What the description calls claims that are trained, and those that are not."""
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
    claims : list of dict
        The content of ``claims.json``: every claim with its sentence and verdict.
    trials : DataFrame or None
        The table of trials.
    """

    root: Path
    files: dict[str, Path]
    metrics: dict[str, Any]
    claims: list[dict[str, Any]]
    trials: pd.DataFrame | None

    def digest(self) -> str:
        """Return the SHA-256 of every file with its name."""
        whole = hashlib.sha256(str(VERSION).encode())
        for name, file in sorted(self.files.items()):
            whole.update(f"{name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
        return whole.hexdigest()

    @property
    def scale(self) -> str:
        """Name of the scale that was analysed."""
        return str(self.metrics["scale"])

    def grids(self) -> list[str]:
        """Return the grids whose trials were analysed."""
        return [] if self.trials is None else [str(g) for g in self.trials["grid"].unique()]


def log_analysis(
    results_dir: str | Path,
    figures_dir: str | Path,
    report_path: str | Path | None = None,
    *,
    uri: str,
) -> str | None:
    """Log an analysis as a run of its scale, once; an unchanged one opens no second run.

    The sweeps' runs get the figure they are for and the table of their trials, the trials' runs
    their regime.

    Parameters
    ----------
    results_dir, figures_dir : path
        Tables with ``metrics.json``, and figures.
    report_path : path, optional
        The report; left out if there is none.
    uri : str
        The tracking store.

    Returns
    -------
    str or None
        Id of the run; None, after one line in the log, if the store is away.
    """
    analysis = collect(Path(results_dir), Path(figures_dir), report_path)
    try:
        location.refuse_unreachable(uri)
        from adambias.tracking.mlflow.client import TrackingStore, translated

        with translated(uri):
            return _log(TrackingStore(uri), analysis)
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

    tables = [f for f in results.glob("*") if f.suffix in _TABLES]
    tables = [f for f in tables if f.stat().st_size < LARGEST_FILE]
    drawn = [f for f in figures.glob("*") if f.suffix in _FIGURES]
    files = {f"tables/{f.name}": f for f in tables} | {f"figures/{f.name}": f for f in drawn}
    if report is not None and Path(report).exists():
        files[f"report/{Path(report).name}"] = Path(report)
    trials = results / "trials.parquet"
    return Analysis(
        root=results.resolve().parent,
        files=files,
        metrics=_read_json(results / "metrics.json", {}),
        claims=_read_json(results / "claims.json", []),
        trials=pd.read_parquet(trials) if trials.exists() else None,
    )


def _read_json(file: Path, absent: Any) -> Any:
    return json.loads(file.read_text()) if file.exists() else absent


def analysed_scale(results: Path) -> str | None:
    """Return the name of the scale whose analysis a folder holds, None if it holds none."""
    found = _read_json(results / "metrics.json", {}).get("scale")
    return None if found is None else str(found)


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


def numbers(metrics: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    """Yield every finite number of nested mappings with its path: ``claims/fig4_norm/value``."""
    for key, value in metrics.items():
        name = f"{path}/{key}" if path else key
        if isinstance(value, Mapping):
            yield from numbers(value, name)
        elif isinstance(value, bool | int | float) and math.isfinite(value):
            yield _NOT_IN_NAMES.sub("_", name)[:250], float(value)


def _log(store: TrackingStore, analysis: Analysis) -> str:
    scale, parents = analysis.scale, _sweeps(store, analysis)
    tags = {
        "mlflow.note.content": f"Figures, tables and verdicts at scale {scale}, newest first.",
        "mlflow.experimentKind": "custom_model_development",
    }
    experiment = store.experiment(content.experiment_name(scale, "analysis"), tags)
    run = _open(store, experiment, analysis)
    _fill(store, run, analysis)
    store.tag(run, _tags(analysis, parents))
    for grid, parent in parents.items():
        _complete_sweep(store, analysis, grid, parent, run.info.run_id)
    return str(run.info.run_id)


def _open(store: TrackingStore, experiment: str, analysis: Analysis) -> Run:
    digest = analysis.digest()
    found = store.only(store.runs(experiment, "analysis", content_sha256=digest), "content_sha256")
    if digest in found:
        return found[digest]
    tags = author() | content.git_tags(git_state(analysis.root))
    tags |= {"kind": "analysis", "content_sha256": digest}
    if "DVC_STAGE" in os.environ:
        tags["DVC_STAGE"] = os.environ["DVC_STAGE"]
    name, now = f"Analysis ({analysis.scale}) {digest[:6]}", int(time.time() * 1000)
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
    store.log(run.info.run_id, [], tags={"mirrored": f"v{VERSION}"})


def _sweeps(store: TrackingStore, analysis: Analysis) -> dict[str, Run]:
    """Find the runs of the sweeps whose trials were analysed."""
    found: dict[str, Run] = {}
    for grid in analysis.grids():
        name = content.experiment_name(analysis.scale, grid)
        experiment = store.client.get_experiment_by_name(name)
        if experiment is not None and experiment.lifecycle_stage == "active":
            runs = store.runs(experiment.experiment_id, "sweep", sweep=f"{analysis.scale}/{grid}")
            for run in store.only(runs, "sweep").values():
                found[grid] = run
    return found


def _tags(analysis: Analysis, parents: Mapping[str, Run]) -> dict[str, str]:
    tags = {f"verdict.{claim['key']}": str(claim["verdict"]) for claim in analysis.claims}
    tags |= {f"sweep.{grid}": run.info.run_id for grid, run in parents.items()}
    note = description(analysis.scale, analysis.claims, parents.values())
    return tags | {"scale": analysis.scale, "mlflow.note.content": note}


def description(scale: str, claims: Iterable[Mapping[str, Any]], parents: Iterable[Run]) -> str:
    """Return Markdown with the verdicts and links to the sweeps' runs."""
    claims = [{**claim, "found": _found(claim)} for claim in claims]
    counts = [_counted(words, claims, trained) for trained, words in _KINDS.items()]
    said = "; ".join(filter(None, counts))
    rows = [
        [str(claim[name]).replace("|", "\\|") for name in _COLUMNS.values()] for claim in claims
    ]
    links = "\n".join(
        f"- [{run.info.run_name}]({content.page(run.info.experiment_id, run.info.run_id)})"
        for run in parents
    )
    table = markdown_table(list(_COLUMNS), rows).rstrip("\n")
    return f"""**The paper's claims at scale {scale}**, {said or "none judged"}.

{table}

**Sweeps this analysis used**

{links or "none that MLflow shows"}

Figures, tables and the report are among the artifacts; every number of `metrics.json` is a metric.
**Reproduce**, with `scale: {scale}` in `params.yaml`: `dvc repro`.
"""


def _found(claim: Mapping[str, Any]) -> str:
    """Return the direction that was found, but only where the verdict rests on it."""
    decided = claim["verdict"] in ("agrees", "disagrees")
    return str(claim["found"]) if decided else "unresolved"


def _counted(words: str, claims: Iterable[Mapping[str, Any]], trained: bool) -> str:
    """Count the verdicts of one kind of claim; checks of a theorem never add to trainings."""
    counts = Counter(claim["verdict"] for claim in claims if claim["trained"] == trained)
    said = ", ".join(f"{verdict} {number}" for verdict, number in sorted(counts.items()))
    return f"{words}: {said}" if said else ""


def _complete_sweep(
    store: TrackingStore, analysis: Analysis, grid: str, parent: Run, analysis_run: str
) -> None:
    """Give a sweep its figure and table, and its trials their regime."""
    if parent.data.tags.get("analysis_run") == analysis_run and store.has(parent, ["tables"]):
        return
    assert analysis.trials is not None
    rows = analysis.trials[analysis.trials["grid"] == grid]
    wanted = FIGURE_OF_GRID.get(grid)
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
