"""From the ledger's folders to two tidy tables per grid."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from adambias.config import TRIAL_FIELDS
from adambias.core.errors import LedgerError
from adambias.core.files import replacing
from adambias.core.tables import conform
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger

if TYPE_CHECKING:
    from adambias.ledger.plan import Plan

HISTORY_COLUMNS = {
    "trial": pa.dictionary(pa.int32(), pa.string()),
    "grid": pa.dictionary(pa.int32(), pa.string()),
    "epoch": pa.int64(),
    "train_loss": pa.float64(),
    "train_accuracy": pa.float64(),
    "test_loss": pa.float64(),
    "test_accuracy": pa.float64(),
    "perturbed_one_norm": pa.float64(),
    "one_norm": pa.float64(),
    "two_norm": pa.float64(),
    "max_norm": pa.float64(),
    "mean_abs_grad": pa.float64(),
    "seconds": pa.float64(),
}
CORRECTION_COLUMNS = {
    "correction_norm_ratio": pa.float64(),
    "correction_cosine": pa.float64(),
}
TRIAL_COLUMNS = (
    "trial",
    "grid",
    *TRIAL_FIELDS,
    "data_digest",
    "parameters",
    "status",
    "epochs_done",
    "seconds",
    "machine",
)
_ROWS_AT_ONCE = 500_000


def collect(plan: Plan, ledger: Ledger, out: Path) -> None:
    """Write the tables of each grid: ``<out>/<grid>/histories.parquet`` and ``trials.parquet``.

    Histories are copied one trial at a time, so that memory does not grow with their number.

    Raises
    ------
    LedgerError
        If a finished trial's history is missing or damaged.
    """
    for name, jobs in plan.grids.items():
        write_tables(ledger, name, jobs, plan.outcomes, out / name)


def write_tables(
    ledger: Ledger,
    grid: str,
    jobs: list[Job],
    outcomes: Mapping[str, Mapping[str, Any]],
    folder: Path,
) -> None:
    """Write ``histories.parquet`` and ``trials.parquet`` of one grid.

    Parameters
    ----------
    ledger : Ledger
        Holds every trial's history.
    grid : str
        Name of the grid, a column of both tables.
    jobs : list of Job
        Trials of the grid, all finished.
    outcomes : dict
        ``done.json`` of each trial, by key.
    folder : Path
        Where the tables go.

    Raises
    ------
    LedgerError
        If a history is missing or damaged; earlier tables stay as they are.
    """
    with replacing(folder / "histories.parquet") as file:
        _write_histories(ledger, grid, jobs, outcomes, file)
    rows = [_trial_row(grid, job, outcomes[job.key]) for job in jobs]
    with replacing(folder / "trials.parquet") as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=_trial_schema()), file)


def _write_histories(
    ledger: Ledger,
    grid: str,
    jobs: list[Job],
    outcomes: Mapping[str, Mapping[str, Any]],
    file: Path,
) -> None:
    schema = pa.schema(HISTORY_COLUMNS | CORRECTION_COLUMNS)
    contents = ledger.store.read_each(f"{job.key}/history.parquet" for job in jobs)
    waiting: list[pa.Table] = []
    rows = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for job, content in zip(jobs, contents, strict=True):
            table = _history(ledger, job.key, content, outcomes[job.key]["history_sha256"])
            waiting.append(conform(table, schema, {"trial": job.key, "grid": grid}))
            rows += table.num_rows
            if rows >= _ROWS_AT_ONCE:
                writer.write_table(_concatenate(waiting))
                waiting, rows = [], 0
        if waiting:
            writer.write_table(_concatenate(waiting))


def _concatenate(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).unify_dictionaries()


def _history(ledger: Ledger, key: str, content: bytes | None, digest: str) -> pa.Table:
    if content is not None and hashlib.sha256(content).hexdigest() == digest:
        return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
    where = ledger.store.where(f"{key}/history.parquet")
    reason = "is missing" if content is None else "is damaged"
    raise LedgerError(f"{where}: {reason}: delete the folder {key} and run again")


def _trial_row(grid: str, job: Job, outcome: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "trial": job.key,
        "grid": grid,
        **dataclasses.asdict(job.trial),
        "data_digest": job.data_digest,
        "parameters": outcome["parameters"],
        "status": outcome["status"],
        "epochs_done": outcome["epochs"],
        "seconds": outcome["seconds"],
        "machine": outcome["machine"],
    }


def _trial_schema() -> pa.Schema:
    types: dict[str, pa.DataType] = {
        **dict.fromkeys(TRIAL_COLUMNS, pa.string()),
        **dict.fromkeys(
            ("h", "beta1", "beta2", "epsilon", "weight_decay", "seconds"), pa.float64()
        ),
        **dict.fromkeys(
            (
                *("epochs", "seed", "batch_size", "ghost_batch_size", "eval_every"),
                *("correction_every", "parameters", "epochs_done"),
            ),
            pa.int64(),
        ),
        "bias_correction": pa.bool_(),
    }
    return pa.schema({name: types[name] for name in TRIAL_COLUMNS})
