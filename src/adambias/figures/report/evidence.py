"""A scale's evidence from ledger folders kept with the project; trains nothing.

Trainings that take more than a laptop are made once, wherever there is room, and their ledger
folders are kept under ``results/<scale>/ledger``. From these alone come the same tables, verdicts
and figures that ``dvc repro`` would make at that scale, without the data they were trained on.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from adambias.analysis import run as analysis
from adambias.config import Params
from adambias.core.errors import LedgerError
from adambias.core.files import markdown_table, write_text
from adambias.figures import run as figures
from adambias.figures.report import page as report
from adambias.figures.report import rows
from adambias.ledger.collect import collect
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import Plan, make_plan

_TRIAL = (
    *("trial", "grid", "model", "h", "beta1", "beta2", "seed", "epochs_done", "regime"),
    *("progress_log10_excess", "peak_log10_excess", "hill_log10_excess", "late_test_accuracy"),
    "final_train_loss",
)


def run(params: Params, folder: Path, *, workers: int = 1) -> None:
    """Write ``tables/``, ``figures/`` and ``report.html`` beside a folder's ``ledger/``.

    ``tables/README.md`` shows the claims, their other readings, and the trials by their keys in the
    ledger.

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
    plan, name = _complete(params, folder / "ledger"), params.name
    commands = (
        ("make setup", "the environment"),
        (f"dvc repro evidence@{name}", "this page and all it shows, from the kept trials"),
        (f"dvc exp run -S scale={name}", "the trainings too"),
    )
    names = list(params.scale.figures.of_trainings)
    show(params, plan, Ledger.open(folder / "ledger"), folder, commands, names, workers=workers)


def show(
    params: Params,
    plan: Plan,
    ledger: Ledger,
    folder: Path,
    commands: Sequence[tuple[str, str]],
    names: Sequence[str],
    *,
    workers: int = 1,
) -> Path:
    """Write ``tables/``, ``figures/`` and ``report.html`` of finished trials into a folder.

    Parameters
    ----------
    params : Params
        What was trained, and how it is analysed and drawn.
    plan : Plan
        Its trials, all finished.
    ledger : Ledger
        Holds them.
    folder : Path
        Where everything goes.
    commands : sequence of (str, str)
        What makes the page again, each with what it does.
    names : sequence of str
        Figures to draw.
    workers : int
        Processes to draw in.

    Returns
    -------
    Path
        The page.
    """
    settings = params.scale
    tables, pictures = folder / "tables", folder / "figures"
    with tempfile.TemporaryDirectory() as sweeps:
        collect(plan, ledger, Path(sweeps))
        analysis.run(settings.analyse, sweeps, tables, scale=params.name, law=False)
    write_text(_readme(tables), tables / "README.md")
    figures.run(settings.figures, tables, pictures, names=names, workers=workers)
    return report.run(
        *(tables, pictures, folder / "report.html"),
        scale=params.name,
        analyse=settings.analyse,
        commands=commands,
    )


def _complete(params: Params, kept: Path) -> Plan:
    """Return the plan of every grid, whose trials must all be there."""
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
    return plan


def _readme(tables: Path) -> str:
    """Return the claims, their other readings and the trials as tables in Markdown."""
    claims = json.loads((tables / "claims.json").read_text(encoding="utf-8"))
    trials = pd.read_parquet(tables / "trials.parquet", columns=list(_TRIAL))
    records: list[dict[str, Any]] = trials.to_dict("records")  # type: ignore[assignment]
    beside = [_reading(claim, name, row) for claim in claims for name, row in rows.readings(claim)]
    return (
        "# Claims\n\nEach is decided by one number. The raw verdict is that of this number alone, "
        "and the verdict is\nwhat stands after Holm's procedure over all claims.\n\n"
        f"{_table([_claim(row) for row in claims])}\n"
        f"# Other readings\n\nThey decide nothing.\n\n{_table(beside)}\n"
        f"# Trials\n\n{_table([_trial(row) for row in records])}"
    )


def _claim(row: rows.Row) -> dict[str, str]:
    """Return the cells of a claim by their headings."""
    return {
        "claim": row["key"],
        "sentence": row["sentence"],
        "source": row["source"],
        "decided by": f"{row['name'] or row['decided_by']}: {row['statistic']}",
        **_numbers(row),
        "trials": f"{row['used']} of {row['planned']}",
        "raw verdict": row["raw_verdict"],
        **_verdict(row),
    }


def _reading(claim: rows.Row, name: str, row: rows.Row) -> dict[str, str]:
    """Return the cells of a reading by their headings."""
    named = {"claim": claim["key"], "reading": f"{name}: {row['statistic']}"}
    return {**named, **_numbers(row), **_verdict(row)}


def _numbers(row: rows.Row) -> dict[str, str]:
    return {
        "claimed": row["claimed"],
        "found": rows.found(row),
        "value": rows.number(row["value"]),
        "interval": rows.interval(row),
        "n": str(row["n"]),
        "seeds": rows.seeds(row),
    }


def _verdict(row: rows.Row) -> dict[str, str]:
    return {"verdict": row["verdict"], "reason": row["reason"]}


def _trial(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the cells of a trial by their headings."""
    return {name.replace("_", " "): _word(row[name]) for name in _TRIAL}


def _table(lines: Sequence[Mapping[str, str]]) -> str:
    return markdown_table(list(lines[0]), [list(line.values()) for line in lines]) if lines else ""


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "–"
    return str(value)
