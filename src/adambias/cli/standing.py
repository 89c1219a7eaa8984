"""``adambias`` alone: where the project stands, and the next step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adambias.cli.notes import open_console
from adambias.cli.plan import pipeline_notes
from adambias.config import Params, PipelineParams
from adambias.config.files import read_yaml
from adambias.core.extras import is_installed, mend
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import LARGE, Plan, against_matrix, make_plan

NOTHING_HERE = (
    "no params.yaml here: adambias new FOLDER lays out a project, adambias --help has all commands"
)
"""What is said in a folder without a project."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """What is made of the trainings.

    Parameters
    ----------
    name : str
        In a word.
    made : Path
        The file that tells whether it is there, and since when.
    place : Path
        What to open.
    lacking : str
        Why it is to be made again, in words; empty if it is up to date.
    """

    name: str
    made: Path
    place: Path
    lacking: str


def print_standing(params: Params, path: Path) -> None:
    """Print the state of grids, tables, figures and report, and the next command.

    Parameters
    ----------
    params : Params
        The project's parameters.
    path : Path
        Their file.
    """
    # Very many trials take long to count, so those grids are only named.
    small = [name for name, grid in params.scale.grids.items() if grid.size <= LARGE]
    plan = make_plan(params, small, Ledger.open(params.store), strict=False)
    left_out, unknown = against_matrix(params, params.scale.grids)
    ours = [name for name in plan.grids if name not in left_out]
    products = list(_products(params, plan, ours))
    console = open_console()
    for line in (
        f"scale {params.name} of {path.absolute()}",
        *(f"data {name}: not prepared yet" for name in plan.unprepared),
        *(_grid_line(params, plan, name) for name in params.scale.grids),
        *(f"{each.name}: {each.lacking or each.place.absolute().as_uri()}" for each in products),
        *pipeline_notes(params, left_out, unknown),
        *(f"next: {command}" for command in _next(params, path, plan, ours, unknown, products)),
    ):
        console.print(line, soft_wrap=True)  # an address that is broken opens nothing


def _grid_line(params: Params, plan: Plan, name: str) -> str:
    if name not in plan.grids:
        size = params.scale.grids[name].size
        return f"grid {name}: {size:,} trials, not looked at: adambias plan {name} --yes"
    counts = plan.count(plan.grids[name])
    words = (f"{count} {state}" for state, count in counts.items() if count or state == "to run")
    return f"grid {name}: {', '.join(words)}"


def _products(params: Params, plan: Plan, ours: list[str]) -> Iterator[Product]:
    """Yield tables, figures and report; each is made of the one before."""
    tables, figures, report = _places(params)
    stages = _recorded(params)
    lacking = _untold(tables, plan, ours) or _edited(params, stages.get("analyse", {}))
    yield Product(name="tables", made=tables, place=tables.parent, lacking=lacking)
    before = tables
    for name, made, place in (("figures", figures, figures.parent), ("report", report, report)):
        if not made.is_file():
            lacking = "not made yet"
        elif lacking or made.stat().st_mtime < before.stat().st_mtime:
            lacking = "to be made again"
        else:
            lacking = _edited(params, stages.get(name, {}))
        yield Product(name=name, made=made, place=place, lacking=lacking)
        before = made


def _places(params: Params) -> tuple[Path, Path, Path]:
    """Return a table of every trial, the index of the figures, and the report."""
    if isinstance(params, PipelineParams):
        tables, report = params.root / "results", params.root / "reports" / "index.html"
        return tables / "trials.parquet", params.root / "figures" / "figures.json", report
    folder = params.root / params.name
    pictures = folder / "figures" / "figures.json"
    return folder / "tables" / "trials.parquet", pictures, folder / "report.html"


def _untold(table: Path, plan: Plan, names: Iterable[str]) -> str:
    """Say that finished trials are not in the table, if so; files' times tell less than keys."""
    if not table.is_file():
        return "not made yet"
    import pyarrow.parquet as pq

    known = set(pq.read_table(table, columns=["trial"])["trial"].to_pylist())
    # Grids that the pipeline leaves out have tables of their own.
    ours = {job.key: job for name in names for job in plan.grids[name]}
    lacking = sum(key in plan.outcomes and key not in known for key in ours)
    return f"made without {lacking} finished trials" if lacking else ""


def _recorded(params: Params) -> dict[str, Any]:
    """Return the stages as DVC ran them last, each with the parameters that it had."""
    lock = params.root / "dvc.lock"
    if not isinstance(params, PipelineParams) or not lock.is_file():
        return {}
    stages: dict[str, Any] = read_yaml(lock).get("stages", {})
    return stages


def _edited(params: Params, stage: Mapping[str, Any]) -> str:
    """Say which parameters of a stage have changed since DVC ran it, if any."""
    known = stage.get("params", {})
    if not any(Path(file).stem == params.name for file in known if file != "params.yaml"):
        return f"made at another scale than {params.name}" if known else ""
    for file, values in known.items():
        now = read_yaml(params.root / file) if (params.root / file).is_file() else {}
        for key, value in values.items():
            if now.get(key) != value:
                return f"made before {key} of {file} changed"
    return ""


def _next(
    params: Params,
    path: Path,
    plan: Plan,
    ours: list[str],
    unknown: list[str],
    products: list[Product],
) -> Iterator[str]:
    """Yield what to do next: a command, or what there is to look at."""
    stale = plan.unprepared or any(map(plan.lacks, ours)) or any(p.lacking for p in products)
    if not isinstance(params, PipelineParams):
        again = f"adambias run {path.name}"
    elif (params.root / "dvc.yaml").is_file():
        again = "dvc repro"
    else:
        again = "adambias sweep"
    if again == "dvc repro" and not is_installed("dvc"):
        again = f"{mend('pipeline')}, then dvc repro"
    if unknown:
        yield f"remove {', '.join(unknown)} from the matrix of dvc.yaml, then {again}"
    elif stale:
        yield again
    elif lacking := [name for name in plan.grids if name not in ours and plan.lacks(name)]:
        yield f"adambias sweep {' '.join(lacking)}"
    else:
        ui = "make ui" if (params.root / "Makefile").is_file() else "python -m adambias.cli.ui"
        yield f"open the report; {ui} shows every trial"
