"""A scale's evidence from ledger folders kept with the project; trains nothing.

Trainings that take more than a laptop are made once, wherever there is room, and their ledger
folders are kept under ``results/<scale>/ledger``. From these alone come the same tables, verdicts
and figures that ``dvc repro`` would make at that scale, without the data they were trained on.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from adambias.analysis import run as analysis
from adambias.config import Params
from adambias.core.errors import LedgerError
from adambias.core.files import markdown_table, write_text
from adambias.figures import registry
from adambias.figures.report import page as report
from adambias.ledger.collect import collect
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import make_plan

FIGURES = ("fig4", "fig5", "fig6", "h", "regime_map", "loss_curves", "norm_accuracy")
"""Those that are drawn from trainings."""
_CLAIM = (
    *("sentence", "source", "claimed", "found", "value", "low", "high", "n", "used", "planned"),
    "verdict",
)
_TRIAL = (
    *("trial", "grid", "model", "h", "beta1", "beta2", "seed", "epochs_done", "regime"),
    *("peak_perturbed_one_norm", "best_test_accuracy", "final_train_loss", "seconds"),
)


def run(params: Params, folder: Path, *, workers: int = 1) -> None:
    """Write ``tables/``, ``figures/`` and ``report.html`` beside a folder's ``ledger/``.

    ``tables/README.md`` shows the claims and the trials by their keys in the ledger.

    Parameters
    ----------
    params : Params
        The scale that was trained.
    folder : Path
        Holds ``ledger/``, one folder per trial.
    workers : int
        Processes to draw in.

    Raises
    ------
    LedgerError
        If a trial of the scale's grids is not there.
    """
    name, settings = params.name, params.scale
    tables, pictures = folder / "tables", folder / "figures"
    with tempfile.TemporaryDirectory() as sweeps:
        _collect(params, folder / "ledger", Path(sweeps))
        analysis.run(settings.analyse, sweeps, tables, scale=name, law=False)
    write_text(_readme(tables), tables / "README.md")
    registry.run(settings.figures, tables, pictures, names=FIGURES, workers=workers)
    report.run(
        tables,
        pictures,
        folder / "report.html",
        scale=name,
        analyse=settings.analyse,
        commands=(
            ("make setup", "the environment"),
            (f"dvc repro evidence@{name}", "this page and all it shows, from the kept trials"),
            (f"dvc exp run -S scale={name}", "the trainings too"),
        ),
    )


def _collect(params: Params, kept: Path, sweeps: Path) -> None:
    """Write the tables of every grid, whose trials must all be there."""
    ledger = Ledger.open(kept)
    # The data need not be on this machine: which they were is in the trials' folders.
    digests = {job.trial.dataset: job.data_digest for job in map(ledger.job, ledger.keys())}
    plan = make_plan(params, params.scale.grids, ledger, digests=digests)
    if plan.pending:
        lacking = ", ".join(job.key for job in plan.pending[:3])
        raise LedgerError(
            f"{kept}: lacks {len(plan.pending)} of {len(plan.jobs)} trials of scale "
            f"{params.name}, the first are {lacking}: train them, then copy their folders here"
        )
    collect(plan, ledger, sweeps)


def _readme(tables: Path) -> str:
    """Return the claims and the trials as tables in Markdown."""
    claims = json.loads((tables / "claims.json").read_text(encoding="utf-8"))
    trials = pd.read_parquet(tables / "trials.parquet", columns=list(_TRIAL))
    rows: list[dict[str, Any]] = trials.to_dict("records")  # type: ignore[assignment]
    return f"# Claims\n\n{_table(_CLAIM, claims)}\n# Trials\n\n{_table(_TRIAL, rows)}"


def _table(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [[_word(row[name]) for name in names] for row in rows]
    return markdown_table([name.replace("_", " ") for name in names], cells)


def _word(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
