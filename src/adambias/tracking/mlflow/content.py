"""What a run of MLflow says about a trial or a sweep; pure functions, without MLflow."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from adambias.config import SEMANTICS_VERSION, Grid, Trial, naming
from adambias.config.figures import FIGURE_OF_GRID
from adambias.config.measures import ACCURACIES, CURVES, TEST, curves_of
from adambias.config.trial import spread
from adambias.ledger.job import Job
from adambias.ledger.summary import highest, last, peak_norm

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SUMMARIES = (
    "best_test_accuracy",
    "final_test_accuracy",
    "final_train_loss",
    "peak_perturbed_one_norm",
    "seconds_per_epoch",
)
"""Metrics of a finished trial that are one number."""
MAX_POINTS = 500
"""Most points of a curve, but for the last epoch."""
NORM = "perturbed_one_norm"
_LOGARITHMIC = (NORM, "train_loss", "test_loss", "one_norm", "two_norm", "max_norm")
"""Curves drawn over powers of ten in the table's charts."""
_ALWAYS_SAID = ("dataset", "model", "rule", "h", "beta1", "beta2", "epsilon", "epochs")

_UNCHANGED_VIEW = {
    "searchFilter": "",
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "datasetsFilter": [],
    "modelVersionFilter": "All Runs",
    "runsExpanded": {},
    "runsPinned": [],
    "runsHidden": [],
}


def curve_name(column: str) -> str:
    """Return the metric of a column's curve.

    MLflow draws metrics in sections by what stands before the slash, in alphabetical order, and
    those without a slash last: the norm comes first, then the other curves, then the summaries.
    """
    return f"norm/{column}" if column == NORM else f"training/{column}"


def page(experiment: str, run: str = "", path: str = "") -> str:
    """Return the address of a page of the UI, from its root.

    It says that models are trained here. Without it MLflow 3.17 shows a page as those of language
    models, until one chooses otherwise; it does not look at the tag ``mlflow.experimentKind``.
    """
    place = f"/runs/{run}{path}" if run else "/runs"
    return f"#/experiments/{experiment}{place}?workflowType=machine_learning"


class Point(NamedTuple):
    """A value of a metric; ``elapsed`` is in milliseconds since the start of training."""

    key: str
    step: int
    value: float
    elapsed: int


def thinning(epochs: int, eval_every: int, limit: int = MAX_POINTS) -> int:
    """Return the spacing of the epochs drawn: the smallest that keeps to ``limit`` points.

    It divides ``eval_every`` or is a multiple of it, so that evaluated epochs are among those
    drawn, and depends on the planned number of epochs alone, so that a curve only ever grows.
    """
    least = math.ceil(epochs / limit)
    if least <= eval_every:
        return next(s for s in range(least, eval_every + 1) if eval_every % s == 0)
    return math.ceil(least / eval_every) * eval_every


def curve_points(history: pd.DataFrame, trial: Trial, *, finished: bool) -> list[Point]:
    """Return the finite points of every curve, by epoch, thinned.

    Parameters
    ----------
    history : DataFrame
        The trial's history, as far as it has come.
    trial : Trial
        Says how often it is evaluated and how long it is meant to be.
    finished : bool
        Whether the last row is the trial's last, which is always drawn.
    """
    spacing = thinning(trial.epochs, trial.eval_every)
    keep = history["epoch"].to_numpy() % spacing == 0
    if finished and len(keep):
        keep[-1] = True
    elapsed = _elapsed(history)[keep]
    epochs = history["epoch"].to_numpy()[keep]
    drawn = curves_of(trial)
    columns = {k: history[k].to_numpy(float)[keep] for k in drawn if k in history}
    return [
        Point(curve_name(key), int(epoch), float(values[i]), int(elapsed[i]))
        for i, epoch in enumerate(epochs)
        for key, values in columns.items()
        if math.isfinite(values[i])
    ]


def _elapsed(history: pd.DataFrame) -> np.ndarray[Any, Any]:
    seconds = history["seconds"].fillna(0.0).to_numpy(float)
    return (seconds.cumsum() * 1000).astype(int)


def non_finite(history: pd.DataFrame, trial: Trial) -> str:
    """Say which measured columns hold NaN or infinity, and from which epoch; empty if none does."""
    import numpy as np

    epochs = history["epoch"].to_numpy()
    evaluated = np.array([TEST.when(trial, int(epoch)) for epoch in epochs])
    words = []
    for key in (k for k in CURVES if k in history):
        values = history[key].to_numpy(float)
        if key in ACCURACIES and np.isnan(values).all():
            continue
        absent = np.isnan(values) & ~evaluated if key in TEST.columns else False
        bad = ~np.isfinite(values) & ~np.asarray(absent)
        if bad.any():
            words.append(f"{key} from epoch {epochs[bad.argmax()]}")
    return ", ".join(words)


def summary_points(history: pd.DataFrame, trial: Trial, initial_fraction: float) -> list[Point]:
    """Return the metrics that sum a finished trial up, each at step 0, which MLflow draws as a bar.

    ``best_`` and ``final_test_accuracy`` are over the evaluated epochs, ``final_train_loss`` is
    of the last row, ``peak_perturbed_one_norm`` the highest norm after the initial fraction of the
    planned epochs, as in the analysis. A summary that is not finite is left out.
    """
    if history.empty:
        return []
    tests = history["test_accuracy"].to_numpy(float)
    columns = {name: history[name].to_numpy() for name in ("epoch", "perturbed_one_norm")}
    peak = peak_norm(columns, trial.epochs, initial_fraction)
    values = {
        "best_test_accuracy": highest(tests),
        "final_test_accuracy": last(tests),
        "final_train_loss": history["train_loss"].iloc[-1],
        "peak_perturbed_one_norm": peak.norm if peak else math.nan,
        "seconds_per_epoch": history["seconds"].mean(),
    }
    elapsed = int(_elapsed(history)[-1])
    return [
        Point(key, 0, float(value), elapsed)
        for key, value in values.items()
        if math.isfinite(value)
    ]


def parameters(job: Job) -> dict[str, str]:
    """Return every hyperparameter as MLflow's text."""
    values = spread(job.trial.identity())
    return {k: "full" if k == "batch_size" and v is None else str(v) for k, v in values.items()}


def group_key(job: Job) -> str:
    """Return the identity of a trial without its seed: 16 hexadecimal digits."""
    trial = job.trial.identity()
    del trial["seed"]
    identity = {"semantics": SEMANTICS_VERSION, "trial": trial, "data": job.data_digest}
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def label(trial: Trial, fields: Iterable[str]) -> str:
    """Return a name such as ``beta2 0.99 seed 0``."""
    values = trial.flat()
    words = naming.words(values, [name for name in fields if name in values])
    return " ".join(words if trial.rule == "adam" or "rule" in fields else [trial.rule, *words])


def trial_tags(job: Job, scale: str, grid_name: str, grid: Grid) -> dict[str, str]:
    """Return the tags of a trial's run that follow from what it is."""
    fields = [name for name in naming.defined(grid) if name != "seed"]
    return {
        "kind": "trial",
        "trial_key": job.key,
        "group_key": group_key(job),
        "group": label(job.trial, fields),
        "scale": scale,
        "grid": grid_name,
        "in_grid": "yes",
        "DVC_STAGE": f"sweep@{grid_name}",
    }


def outcome_tags(outcome: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags that say how, where and with what a finished trial was computed."""
    names = ("status", "machine", "device", "finished_at")
    tags = {name: str(outcome[name]) for name in names if outcome.get(name)}
    versions = outcome.get("versions") or {}
    tags |= {f"version.{name}": str(value) for name, value in versions.items()}
    return tags | git_tags(outcome.get("git") or {})


def git_tags(git: Mapping[str, Any]) -> dict[str, str]:
    """Return MLflow's tags for ``{"commit": …, "dirty": …}``, or for why there is no commit."""
    if not git.get("commit"):
        return {"git_unknown": str(git["unknown"])} if git.get("unknown") else {}
    dirty = "yes" if git.get("dirty") else "no"
    return {"mlflow.source.git.commit": str(git["commit"]), "git_dirty": dirty}


def shared_view(grid: Grid) -> str:
    """Return the state of MLflow's table of runs and of its charts, as its "share view" stores it.

    The columns are the fields that vary, the norm, the accuracy and the status; the runs are
    sorted by the norm, whose curve is the first chart. ``adambias.cli.ui`` prints addresses that
    open it.
    """
    fields = [f"params.`{name}`" for name in naming.defined(grid)]
    metrics = ["metrics.`peak_perturbed_one_norm`", "metrics.`best_test_accuracy`"]
    charts = [_line_chart(column) for column in sorted(CURVES, key=lambda name: name != NORM)]
    sections = dict.fromkeys(chart["metricSectionId"] for chart in charts)
    state = {
        "orderByKey": metrics[0],
        "orderByAsc": False,
        "selectedColumns": [*fields, *metrics, "tags.`status`", "tags.`regime`"],
        # MLflow adds charts of whatever else it finds, in sections of its own making.
        "compareRunCharts": charts,
        "compareRunSections": [_section(name) for name in (*sections, "Model metrics")],
        "isAccordionReordered": True,
    }
    # Short: MLflow before 3.17 takes 5,000 characters of a tag.
    return json.dumps(_UNCHANGED_VIEW | state, separators=(",", ":"))


def _line_chart(column: str) -> dict[str, Any]:
    """Return a chart of a curve as MLflow's own card (RunsChartsLineCardConfig) says it."""
    name = curve_name(column)
    return {
        "type": "LINE",
        "uuid": name,
        "metricSectionId": name.partition("/")[0],
        "metricKey": name,
        "displayName": column,
        "scaleType": "log" if column in _LOGARITHMIC else "linear",
        "xAxisScaleType": "linear",
        "xAxisKey": "step",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "range": {},
        "lineSmoothness": 0,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
        "deleted": False,
        "isGenerated": True,
    }


def _section(name: str) -> dict[str, Any]:
    return {"uuid": name, "name": name, "display": True, "isReordered": False, "deleted": False}


def experiment_name(scale: str, what: str) -> str:
    """Return the name of the experiment of a grid, or of the analyses, at a scale."""
    return f"adambias/{scale}/{what}"


def sweep_title(scale: str, grid_name: str) -> str:
    """Return the name of the parent run."""
    return f"Sweep {grid_name} ({scale})"


def purpose(grid_name: str, grid: Grid) -> str:
    """Return what a sweep is for, in a sentence."""
    words = grid.title or f"the grid {grid_name}"
    return f"{words[0].upper()}{words[1:]}."


def experiment_note(scale: str, grid_name: str, grid: Grid, parent: str) -> str:
    """Return the description of a grid's experiment, which leads to the sweep's run.

    Lists show its first words only.

    Parameters
    ----------
    parent : str
        Address of that run.
    """
    said = f"{purpose(grid_name, grid)} One run for each trial at scale {scale}."
    return f"{said} What it is, its figure and table: [{sweep_title(scale, grid_name)}]({parent})."


def sweep_description(
    scale: str, grid_name: str, grid: Grid, jobs: Iterable[Job], artifacts: str
) -> str:
    """Return Markdown that says what a sweep is for, what it holds and how to reproduce it.

    MLflow folds all but the first lines away: they say what for, how to reproduce, and where the
    figure is.

    Parameters
    ----------
    artifacts : str
        Address of the page of the run's artifacts, with ``{}`` for the path of one.
    """
    jobs = list(jobs)
    figure = FIGURE_OF_GRID.get(grid_name)
    picture = f" After the analysis: [figure]({artifacts.format(f'figures/{figure}.png')}),"
    table = f"[table]({artifacts.format('tables/trials.csv')})."
    after = f"{picture} {table}" if figure else f" After the analysis: {table}"
    fields = dict.fromkeys([*naming.defined(grid), *_ALWAYS_SAID])
    values = "\n".join(_value_line(name, jobs) for name in fields)
    return f"""{purpose(grid_name, grid)}{after}

**{len(jobs)} trials**, a child run for each. **Reproduce**, with `scale: {scale}` in `params.yaml`:
`dvc repro sweep@{grid_name}`, or without DVC `adambias sweep {grid_name} --scale {scale}`.
`adambias plan {grid_name}` shows beforehand what would run and for how long.

| field | values |
|---|---|
{values}

Sort the children by `peak_perturbed_one_norm` or `best_test_accuracy`; group them by the tag
`group` for the mean over seeds. Curves have at most {MAX_POINTS} points; each run's
`history.parquet` has every epoch and column.
"""


def _value_line(name: str, jobs: list[Job]) -> str:
    # As text: a list of an option's has no hash.
    values = list(dict.fromkeys(str(job.trial.flat().get(name)) for job in jobs))
    shown = ", ".join(values[:12]) + (", …" if len(values) > 12 else "")
    return f"| {name} | {shown} |"
