"""The stage ``analyse``: from the sweeps' tables to summaries, verdicts and what figures draw."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from adambias.analysis import curves as curve_tables
from adambias.analysis import drawn
from adambias.analysis.claims.claim import Claim, by_kind, count_verdicts
from adambias.analysis.claims.findings import Findings
from adambias.analysis.claims.judge import judge
from adambias.analysis.histories import further_columns, histories
from adambias.analysis.plots import write_plots
from adambias.analysis.summaries import NEEDED, summarise
from adambias.config import Analyse
from adambias.config.analysis import REGIMES
from adambias.config.trial import is_option
from adambias.core.errors import DataError
from adambias.core.extras import need
from adambias.core.files import replacing, write_json, write_parquet
from adambias.core.tables import conform
from adambias.ledger.summary import last

LAW_RESULTS = ("bilinear", "table1", "reach", "cause", "stability")
"""What the stages of the law leave for the claims about it, as JSON in the folder of results."""
_ROWS_AT_ONCE = 250_000


def run(
    settings: Analyse,
    sweeps_dir: str | Path,
    out_dir: str | Path,
    *,
    scale: str,
    grids: Collection[str] | None = None,
    law: bool = True,
) -> dict[str, Any]:
    """Analyse every grid that has tables.

    Parameters
    ----------
    settings : Analyse
        The scale's section ``analyse``.
    sweeps_dir : path
        Holds ``<grid>/histories.parquet`` and ``<grid>/trials.parquet``.
    out_dir : path
        Gets ``histories.parquet``, ``trials.parquet``, ``curves.parquet``, ``metrics.json``,
        ``claims.json``, the tables of :mod:`adambias.analysis.drawn` and ``plots/*.csv``. Claims
        about the law are inconclusive without the files of :data:`LAW_RESULTS`.
    scale : str
        Name of the scale, which ``metrics.json`` begins with.
    grids : collection of str, optional
        Names of the grids that count; by default all that have tables. What is left of a grid that
        was renamed or removed is no evidence, see :func:`leftovers`.
    law : bool
        Judge the claims about the law too, not those about trainings alone.

    Returns
    -------
    dict
        The content of ``metrics.json``.

    Raises
    ------
    DataError
        If there are no tables, or a table lacks its other half.
    ConfigError
        If a claim of one's own names a column or function that is not there.
    """
    need("statsmodels")
    out = Path(out_dir)
    trials, curves = _reduce(_find_grids(Path(sweeps_dir), grids), out, settings)
    stages = {name: _read_json(out / f"{name}.json") for name in LAW_RESULTS}
    findings = Findings(trials=trials, curves=curves, settings=settings, **stages)
    claims = judge(findings, law=law)
    _write_to_draw(trials, curves, out, settings)
    metrics = {"scale": scale} | summarise_claims(trials, claims)
    write_json(metrics, out / "metrics.json")
    write_json([claim.as_row() for claim in claims], out / "claims.json")
    return metrics


def _reduce(
    grids: Sequence[Path], out: Path, settings: Analyse
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Merge the histories of all grids, and write a row and a thin curve for each trial."""
    out.mkdir(parents=True, exist_ok=True)
    merge([folder / "histories.parquet" for folder in grids], out / "histories.parquet")
    rows, curves = _summarise_grids(grids, settings)
    trials = _trial_table(rows)
    write_parquet(trials, out / "trials.parquet")
    write_parquet(curves, out / "curves.parquet")
    return trials, curves


def _write_to_draw(
    trials: pd.DataFrame, curves: pd.DataFrame, out: Path, settings: Analyse
) -> None:
    """Write the tables for figures and the series for ``dvc plots``."""
    tables = drawn.tables(trials, curves, settings.all_claims, settings.level)
    for name, table in tables.items():
        write_parquet(table, out / name)
    write_plots(tables, out / "plots")


def leftovers(sweeps_dir: str | Path, grids: Collection[str]) -> list[Path]:
    """Return the folders of tables that belong to none of the grids, such as a renamed one's."""
    return [path for path in _folders(Path(sweeps_dir)) if path.name not in grids]


def _folders(sweeps: Path) -> list[Path]:
    return sorted(path for path in sweeps.glob("*") if path.is_dir())


def _find_grids(sweeps: Path, grids: Collection[str] | None) -> list[Path]:
    folders = [path for path in _folders(sweeps) if grids is None or path.name in grids]
    if not folders:
        raise DataError(f"{sweeps}: no tables of a grid, run the sweeps first: dvc repro")
    for folder in folders:
        for name in ("histories.parquet", "trials.parquet"):
            if not (folder / name).is_file():
                raise DataError(f"{folder / name}: is missing, run the sweep again: dvc repro")
    return folders


def merge(sources: Iterable[Path], target: Path) -> None:
    """Write the rows of several Parquet tables into one, a bounded number at a time."""
    files = [pq.ParquetFile(path) for path in sources]
    schema = pa.unify_schemas([file.schema_arrow for file in files])
    with (
        replacing(target) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for file in files:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                writer.write_table(conform(pa.Table.from_batches([batch]), schema))


def _summarise_grids(
    grids: Iterable[Path], settings: Analyse
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Return every trial's row with its summaries, and all thinned histories."""
    rows: list[dict[str, Any]] = []
    pieces: list[pd.DataFrame] = []
    for folder in grids:
        table = pd.read_parquet(folder / "trials.parquet")
        records: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
        known = {str(row["trial"]): row for row in records}
        further = further_columns(folder / "histories.parquet")
        for key, history in histories(folder / "histories.parquet", (*NEEDED, *further)):
            if key not in known:
                raise DataError(f"{folder / 'trials.parquet'}: lacks trial {key}, sweep again")
            row = known.pop(key)
            ends = {f"final_{name}": last(history[name]) for name in further}
            rows.append({**row, **summarise(row, history, settings), **ends})
            thin = pd.DataFrame(curve_tables.thin(history, settings.curve_points, further))
            pieces.append(thin.assign(trial=key, grid=row["grid"]))
        rows += [{**row, **_without_history(row, settings)} for row in known.values()]
    return rows, _join_curves(pieces)


def _without_history(row: dict[str, Any], settings: Analyse) -> dict[str, Any]:
    """Summarise a trial that diverged before its first epoch was recorded."""
    empty = {name: np.array([], dtype=float) for name in NEEDED if name != "trial"}
    return summarise(row, empty, settings)


def _join_curves(pieces: list[pd.DataFrame]) -> pd.DataFrame:
    if not pieces:
        names = ("trial", "grid", "epoch", "train_loss", "perturbed_one_norm", "test_accuracy")
        return pd.DataFrame(columns=[*names, "train_loss_low", "train_loss_high"])
    whole = pd.concat(pieces, ignore_index=True)
    return whole.astype({"trial": "category", "grid": "category"})


def _trial_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    for name in filter(is_option, map(str, table)):
        # One grid's numbers and another's words make a column of words.
        if table[name].dropna().map(type).nunique() > 1 and table[name].dtype == object:
            table[name] = table[name].map(str, na_action="ignore")
    order = ["grid", "rule", "model", "h", "beta1", "beta2", "seed", "trial"]
    return table.sort_values(order, kind="stable", ignore_index=True)


def summarise_claims(trials: pd.DataFrame, claims: list[Claim]) -> dict[str, Any]:
    """Return the numbers of ``metrics.json``: counts, and each claim's numbers and verdict.

    Verdicts on trainings and on what was computed from the law are counted apart: the latter are
    checks of a theorem, and no evidence on networks.
    """
    once = trials.drop_duplicates("trial")
    rows = [claim.as_row() for claim in claims]
    return {
        "trials": {
            "total": len(once),
            **{regime: int((once["regime"] == regime).sum()) for regime in REGIMES},
        },
        "verdicts": {kind: count_verdicts(of_kind) for kind, of_kind in by_kind(rows).items()},
        "claims": {row["key"]: _numbers(row) for row in rows},
    }


_NUMBERS = (
    *("claimed", "value", "low", "high", "p", "p_corrected", "rank_correlation"),
    *("n", "seeds", "used", "planned", "found", "raw_verdict", "verdict"),
)
"""What ``metrics.json`` keeps of a claim and of each of its readings."""


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    kept = {name: row[name] for name in _NUMBERS if row.get(name) not in (None, [])}
    if not row.get("trained", True):
        kept.pop("raw_verdict", None)
    readings = {name: _numbers(reading) for name, reading in row.get("readings", {}).items()}
    return kept | ({"readings": readings} if readings else {})


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
