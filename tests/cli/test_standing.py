"""``adambias`` alone says where the project stands and what comes next."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from made_trials import finish
from processes import asked, change

from adambias.config import load_params
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import make_plan

NEXT = "next: open the report; python -m adambias.cli.ui shows every trial"


def standing() -> list[str]:
    done = asked()
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def only_tiny(project: Path) -> None:
    """Leave the one grid ``tiny`` in a scale of trainings, and name it in a ``dvc.yaml``."""
    (project / "scales" / "small.yaml").write_text(
        "prepare: {datasets: {digits: {source: digits, train_size: 40, test_size: 40}}}\n"
        "trial: {dataset: digits, h: 1e-3, epochs: 6, eval_every: 3}\n"
        "grids: {tiny: {axes: {beta2: [0.9, 0.99], seed: [0, 1]}}}\n"
    )
    (project / "dvc.yaml").write_text("stages: {sweep: {matrix: {grid: [tiny]}}}\n")


def finish_all(count: int = 4) -> list[str]:
    """Finish some trials of the grid, and return their keys."""
    params = load_params()
    ledger = Ledger.open(params.store)
    ledger.initialise()
    jobs = make_plan(params, ["tiny"], ledger).jobs[:count]
    for job in jobs:
        finish(ledger, job)
    return [job.key for job in jobs]


def write_products(project: Path, keys: list[str]) -> None:
    """Leave a table of trials, figures and a report, each later than the one before."""
    for name in ("results", "figures", "reports"):
        (project / name).mkdir(exist_ok=True)
    files = [project / name for name in ("figures/figures.json", "reports/index.html")]
    table = project / "results" / "trials.parquet"
    pd.DataFrame({"trial": keys}).to_parquet(table)
    for later, file in enumerate(files, 1):
        file.write_text("[]")
        os.utime(file, (table.stat().st_mtime + later,) * 2)


def test_without_parameters_it_names_the_way_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    (line,) = standing()

    assert line.startswith("no params.yaml here: adambias new FOLDER")
    assert "adambias --help" in line
    assert list(tmp_path.iterdir()) == []


def test_parameters_that_are_wrong_are_one_line(project: Path) -> None:
    (project / "params.yaml").write_text("scale: smal\n")

    done = asked()

    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == "error: params.yaml: scale = 'smal': must be one of small (did you mean small?)\n"
    )


def test_before_and_after_the_trainings(project: Path) -> None:
    only_tiny(project)
    places = [project / "results", project / "figures", project / "reports" / "index.html"]

    assert standing() == [
        f"scale small of {project / 'params.yaml'}",
        "grid tiny: 4 to run",
        "tables: not made yet",
        "figures: not made yet",
        "report: not made yet",
        "next: dvc repro",
    ]
    write_products(project, finish_all())
    assert standing() == [
        f"scale small of {project / 'params.yaml'}",
        "grid tiny: 4 done, 0 to run",
        *(
            f"{n}: {p.as_uri()}"
            for n, p in zip(("tables", "figures", "report"), places, strict=True)
        ),
        NEXT,
    ]
    (project / "Makefile").touch()
    assert standing()[-1] == "next: open the report; make ui shows every trial"


def test_tables_that_lack_a_finished_trial_are_made_again(project: Path) -> None:
    only_tiny(project)
    write_products(project, finish_all()[1:])

    assert standing()[2:] == [
        "tables: made without 1 finished trials",
        "figures: to be made again",
        "report: to be made again",
        "next: dvc repro",
    ]


def test_a_report_older_than_its_figures_is_made_again(project: Path) -> None:
    only_tiny(project)
    write_products(project, finish_all())
    os.utime(project / "reports" / "index.html", (0, 0))

    assert standing()[-2:] == ["report: to be made again", "next: dvc repro"]


def test_a_grid_that_the_pipeline_leaves_out_is_swept_by_itself(project: Path) -> None:
    only_tiny(project)
    (project / "dvc.yaml").write_text("stages: {sweep: {matrix: {grid: []}}}\n")
    write_products(project, finish_all(3)[:2])

    said = standing()
    assert said[2].startswith("tables: file:")
    assert said[-2].endswith("so dvc repro leaves it out: add it there")
    assert said[-1] == "next: adambias sweep tiny"


def test_what_the_matrix_names_and_the_scale_does_not_is_to_be_removed(project: Path) -> None:
    only_tiny(project)
    (project / "dvc.yaml").write_text("stages: {sweep: {matrix: {grid: [tiny, tinny]}}}\n")

    said = standing()
    assert said[-2].startswith("grid tinny: is in the matrix of ")
    assert said[-1] == "next: remove tinny from the matrix of dvc.yaml, then dvc repro"


def test_tables_made_before_an_edit_of_the_scale_are_made_again(project: Path) -> None:
    only_tiny(project)
    write_products(project, finish_all())
    grids = "{grids: {tiny: {axes: {beta2: [0.9, 0.99], seed: [0, 1]}}}}"
    lock = "stages: {%s: {params: {scales/%s.yaml: %s}}}\n"
    (project / "dvc.lock").write_text(lock % ("analyse", "small", grids))
    assert standing()[2].startswith("tables: file:")

    (project / "dvc.lock").write_text(lock % ("analyse", "small", grids.replace("0.99", "0.999")))
    assert "tables: made before grids of scales/small.yaml changed" in standing()
    assert standing()[-1] == "next: dvc repro"

    (project / "dvc.lock").write_text(lock % ("analyse", "large", grids))
    assert "tables: made at another scale than small" in standing()


def test_an_experiment_is_run_from_its_file(project: Path) -> None:
    only_tiny(project)
    shutil.copy(project / "scales" / "small.yaml", project / "params.yaml")

    assert standing()[-1] == "next: adambias run params.yaml"


def test_data_that_are_not_prepared_are_the_first_step(project: Path) -> None:
    only_tiny(project)
    shutil.rmtree(project / "data")

    said = standing()

    assert said[1] == "data digits: not prepared yet"
    assert said[-1] == "next: dvc repro"


def test_very_many_trials_are_named_and_not_counted(project: Path) -> None:
    change(
        project,
        "grids",
        many={"axes": {"seed": list(range(200)), "h": [1e-3 + i * 1e-6 for i in range(60)]}},
    )

    assert "grid many: 12,000 trials, not looked at: adambias plan many --yes" in standing()


def test_help_is_still_there(project: Path) -> None:
    assert asked("--help").stdout.startswith("Usage: ")
    assert "adambias new mine" in asked("--help").stdout
