"""From the ledger's folders to two tidy tables per grid, and one of times beside them.

How long an epoch took differs whenever it is trained anew, and nothing else in the tables does. So
times stand in a table of their own, which DVC does not hash: the others have the same bytes again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from adambias.config import TRIAL_FIELDS, Trial, naming
from adambias.config.measures import COLUMNS, CORRECTION, SECONDS
from adambias.config.trial import spread
from adambias.core.errors import LedgerError
from adambias.core.files import replacing
from adambias.core.options import Options
from adambias.core.tables import conform
from adambias.core.validation import kinds_of
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger

if TYPE_CHECKING:
    from adambias.ledger.plan import Plan

_NAMES = pa.dictionary(pa.int32(), pa.string())
HISTORY_COLUMNS: dict[str, pa.DataType] = {"trial": _NAMES, "grid": _NAMES} | {
    name: pa.int64() if name == "epoch" else pa.float64() for name in COLUMNS if name != SECONDS
}
TIME_COLUMNS = {"trial": _NAMES, "grid": _NAMES, "epoch": pa.int64(), SECONDS: pa.float64()}
CORRECTION_COLUMNS = dict.fromkeys(CORRECTION.columns, pa.float64())
OUTCOME_COLUMNS = {
    "data_digest": pa.string(),
    "parameters": pa.int64(),
    "status": pa.string(),
    "epochs_done": pa.int64(),
    "machine": pa.string(),
    "device": pa.string(),
}
_ROWS_AT_ONCE = 500_000


def collect(plan: Plan, ledger: Ledger, out: Path, times: Path | None = None) -> None:
    """Write the tables of each grid: ``<out>/<grid>/histories.parquet`` and ``trials.parquet``.

    How long epochs took goes into ``<times>/<grid>.parquet``, if ``times`` is given. Histories
    are copied one trial at a time, so that memory does not grow with their number.

    Raises
    ------
    LedgerError
        If a finished trial's history is missing or damaged.
    """
    for name, jobs in plan.grids.items():
        taken = times / f"{name}.parquet" if times else None
        write_tables(ledger, name, jobs, plan.outcomes, out / name, taken)


def write_tables(
    ledger: Ledger,
    grid: str,
    jobs: list[Job],
    outcomes: Mapping[str, Mapping[str, Any]],
    folder: Path,
    times: Path | None = None,
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
    times : Path, optional
        File that gets the seconds of each trial and epoch.

    Raises
    ------
    LedgerError
        If a history is missing or damaged; earlier tables stay as they are.
    """
    schemas = {folder / "histories.parquet": _history_schema(ledger, jobs)}
    if times:
        schemas[times] = pa.schema(TIME_COLUMNS)
    with contextlib.ExitStack() as stack:
        tables = [
            (stack.enter_context(_in_parts(f, schema)), schema) for f, schema in schemas.items()
        ]
        for job, history in _histories(ledger, jobs, outcomes):
            for add, schema in tables:
                add(conform(history, schema, {"trial": job.key, "grid": grid}))
    rows = [_trial_row(grid, job, outcomes[job.key]) for job in jobs]
    with replacing(folder / "trials.parquet") as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=_trial_schema(rows)), file)


def _history_schema(ledger: Ledger, jobs: list[Job]) -> pa.Schema:
    return pa.schema(HISTORY_COLUMNS | CORRECTION_COLUMNS | _further_columns(ledger, jobs))


@contextlib.contextmanager
def _in_parts(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Give a function that adds rows to a new file; a bounded number of them waits in memory."""
    waiting: list[pa.Table] = []
    rows = 0

    def write() -> None:
        nonlocal rows
        writer.write_table(pa.concat_tables(waiting).unify_dictionaries())
        waiting.clear()
        rows = 0

    def add(table: pa.Table) -> None:
        nonlocal rows
        waiting.append(table)
        rows += table.num_rows
        if rows >= _ROWS_AT_ONCE:
            write()

    with replacing(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        yield add
        if waiting:
            write()


def _histories(
    ledger: Ledger, jobs: list[Job], outcomes: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[Job, pa.Table]]:
    contents = ledger.store.read_each(f"{job.key}/history.parquet" for job in jobs)
    for job, content in zip(jobs, contents, strict=True):
        yield job, _history(ledger, job.key, content, outcomes[job.key]["history_sha256"])


def _further_columns(ledger: Ledger, jobs: list[Job]) -> dict[str, pa.DataType]:
    """Return the columns that trials measured besides, as their histories have them.

    Read off one history for each choice of measures, so that nobody's code is needed to collect.
    """
    chosen = {job.trial.measures: job.key for job in jobs if job.trial.measures}
    found: dict[str, pa.DataType] = {}
    for content in ledger.store.read_each(f"{key}/history.parquet" for key in chosen.values()):
        if content is not None:  # else it is named where it is read
            found |= dict.fromkeys(pq.read_schema(pa.BufferReader(content)).names, pa.float64())
    known = {*HISTORY_COLUMNS, *CORRECTION_COLUMNS, SECONDS}
    return {name: kind for name, kind in found.items() if name not in known}


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
        **{name: _cell(value) for name, value in spread(job.trial.identity()).items()},
        "data_digest": job.data_digest,
        "parameters": outcome["parameters"],
        "status": outcome["status"],
        "epochs_done": outcome["epochs"],
        "machine": outcome["machine"],
        "device": outcome.get("device", "cpu"),  # outcomes of before there were others have none
    }


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return ", ".join(e if isinstance(e, str) else str(Options(e)) for e in value)
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


def _trial_schema(rows: list[dict[str, Any]]) -> pa.Schema:
    """Return the columns of trials; fields that came later only where a trial uses one."""
    used = dict.fromkeys(name for row in rows for name in row)
    fields = {
        name: _arrow_type(name) if name in TRIAL_FIELDS else _common_type(rows, name)
        for name in naming.in_order(used)
    }
    return pa.schema({"trial": pa.string(), "grid": pa.string()} | fields | OUTCOME_COLUMNS)


def _arrow_type(field: str) -> pa.DataType:
    kinds = kinds_of(Trial, field)
    for kind, arrow in ((bool, pa.bool_()), (int, pa.int64()), (float, pa.float64())):
        if kind in kinds:
            return arrow
    return pa.string()


def _common_type(rows: list[dict[str, Any]], option: str) -> pa.DataType:
    """Return the type of an option's column; of values that differ in kind, text."""
    values = [row[option] for row in rows if row.get(option) is not None]
    for kinds, arrow in (((bool,), pa.bool_()), ((int,), pa.int64()), ((int, float), pa.float64())):
        if values and all(type(value) in kinds for value in values):
            return arrow
    for row in rows:
        if row.get(option) is not None:
            row[option] = str(row[option])
    return pa.string()
