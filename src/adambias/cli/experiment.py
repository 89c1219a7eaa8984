"""``adambias run``: one experiment from its file to a report, without a pipeline around it."""

from __future__ import annotations

from pathlib import Path

import click

from adambias.config import Params, PipelineParams
from adambias.core.errors import ConfigError, DataError
from adambias.core.extras import EXTRAS, need
from adambias.core.processes import cores
from adambias.data.manifest import prepared_digest
from adambias.data.preparation import prepare
from adambias.figures.report import evidence
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import refuse_unimportable
from adambias.sweep import run as sweeping
from adambias.sweep.run import Executor
from adambias.tracking import tracker_for


def run(params: Params, path: Path, *, executor: Executor, confirmed: bool, track: bool) -> None:
    """Prepare the datasets, train what is not finished, and write tables, figures and a report.

    Parameters
    ----------
    params : Params
        What the file says.
    path : Path
        The file; what is written goes into a folder of its name beside it.
    executor : {"inline", "ray"}
        Where trials are trained.
    confirmed : bool
        Run however many trials there are.
    track : bool
        Show it in MLflow too.

    Raises
    ------
    ConfigError
        If the file is the switch of the pipeline.
    """
    if isinstance(params, PipelineParams):
        allowed = "is the switch of the pipeline: use dvc repro, or give a file with grids"
        raise ConfigError("FILE", str(path), allowed)
    # Before anything is trained that could not be drawn or shown.
    need(*EXTRAS["figures"], *(EXTRAS["tracking"] if track else ()))
    grids = params.scale.grids.values()
    refuse_unimportable(trial for grid in grids for trial in grid.expand(params.scale.trial))
    for name, spec in params.datasets.items():
        try:
            prepared_digest(name, spec, params.data_root)
        except DataError:
            prepare(name, spec, params.data_root)
    names, folder = list(params.scale.grids), params.root / params.name
    plan = sweeping.run(params, names, executor=executor, confirmed=confirmed, track=track)
    commands = [(f"adambias run {path.name}", "this page and all it shows")]
    ledger = Ledger.open(params.store)
    click.echo("tables, figures and report …", err=True)
    page = evidence.show(
        params, plan, ledger, folder, commands, params.scale.drawn, workers=cores()
    )
    tracker_for(params, track=track).log_analysis(folder / "tables", folder / "figures", page)
    counts = plan.count(plan.jobs)
    click.echo(f"{counts['done']} done, {counts['diverged']} diverged: see {page}")
