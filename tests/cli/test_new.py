"""A project that ``adambias new`` lays out runs to its report, without the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from processes import asked

import adambias
from adambias.cli import new
from adambias.config import PipelineParams, load_params

ROOT = Path(__file__).parents[2]
NAMES = {str(name): text for name, text in new.templates()}


def called(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the sources under test, without the settings of whoever runs them."""
    dropped = ("ADAMBIAS_", "MLFLOW_", "RAY_ADDRESS", "GIT_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(dropped)} | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(adambias.__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=580
    )


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after ``adambias new`` and ``dvc repro``, where there is no Git."""
    place = tmp_path_factory.mktemp("a place")
    laid_out = called(place, "adambias", "new", "my own")
    assert laid_out.returncode == 0, laid_out.stderr
    assert laid_out.stdout.splitlines()[-2:] == ["  cd 'my own'", "  dvc repro"]
    done = called(place / "my own", "dvc", "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "my own"


def test_it_runs_to_tables_figures_and_a_report(mine: Path) -> None:
    trials = pd.read_parquet(mine / "results" / "trials.parquet")
    figures = json.loads((mine / "figures" / "figures.json").read_text())
    report = (mine / "reports" / "index.html").read_text()

    assert trials.groupby("grid").size().to_dict() == {"beta2": 15, "width": 9}
    assert set(trials["status"]) == {"finished"}
    assert trials["progress_log10_excess"].notna().all()
    assert [f["name"] for f in figures] == ["fig4", "loss_curves", "norm_accuracy", "own_grids"]
    assert [f["missing"] for f in figures] == [None] * 4
    assert all(
        (mine / "figures" / f"{f['name']}.{end}").is_file()
        for f in figures
        for end in ("png", "svg")
    )
    assert "the small scale" in report
    assert "Grids of your own" in report


def test_it_judges_trainings_alone(mine: Path) -> None:
    verdicts = json.loads((mine / "results" / "metrics.json").read_text())["verdicts"]

    assert sum(verdicts["computed"].values()) == 0
    assert sum(verdicts["trained"].values()) == 10


def test_a_second_repro_does_nothing(mine: Path) -> None:
    again = called(mine, "dvc", "repro")

    assert again.returncode == 0
    assert "Running stage" not in again.stdout
    assert "up to date" in again.stdout


def test_the_commands_know_it(mine: Path) -> None:
    plan = json.loads(called(mine, "adambias", "plan", "--json").stdout)
    status = json.loads(called(mine, "adambias", "status", "--json").stdout)
    standing = called(mine, "adambias").stdout.splitlines()

    assert (plan["all"]["trials"], plan["all"]["done"], plan["notes"]) == (24, 24, [])
    assert status["counts"] == {"done": 24}
    assert f"report: {(mine / 'reports' / 'index.html').as_uri()}" in standing
    assert standing[-1].startswith("next: open the report")


def test_an_edit_of_its_network_is_trained_anew(mine: Path, tmp_path: Path) -> None:
    edited = tmp_path / "edited"
    new.lay_out(edited)
    (edited / "mine.py").write_text((mine / "mine.py").read_text() + "\n# another\n")
    for name in ("data", "runs"):
        (edited / name).symlink_to(mine / name)

    plan = json.loads(called(edited, "adambias", "plan", "--json").stdout)

    assert plan["grids"]["beta2"]["to_run"] == 0
    assert plan["grids"]["width"]["to_run"] == 9
    assert "the code of model has changed" in " ".join(plan["notes"])


def test_the_scripts_are_those_of_the_repository() -> None:
    scripts = [name for name in NAMES if name.startswith("pipeline/")]

    assert len(scripts) == 6
    for name in scripts:
        assert NAMES[name] == (ROOT / name).read_text(encoding="utf-8"), name


def test_every_line_of_the_scale_is_used(tmp_path: Path) -> None:
    new.lay_out(tmp_path / "mine")
    params = load_params(tmp_path / "mine" / "params.yaml")

    assert isinstance(params, PipelineParams)
    assert not params.scale.of_law
    assert params.name == "small"
    assert list(params.scale.needs()) == ["sweep@beta2", "sweep@width"]


@pytest.mark.parametrize("has_git", [True, False])
def test_dvc_is_told_where_there_is_no_git(tmp_path: Path, has_git: bool) -> None:
    if has_git:
        subprocess.run(["git", "init", "-q", tmp_path], check=True)

    new.lay_out(tmp_path / "mine")

    assert (tmp_path / "mine" / ".dvc" / "config.local").exists() is not has_git
    assert called(tmp_path / "mine", "dvc", "status").returncode == 0


def test_a_clone_that_is_empty_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.chdir(tmp_path)

    done = asked("new", ".")

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["  adambias plan", "  dvc repro"]


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("taken", "FOLDER = 'taken': is not empty, it has notes.txt"),
        ("taken/notes.txt", "FOLDER = 'taken/notes.txt': is a file"),
        ("a:b", "FOLDER = 'a:b': a folder's path must be without :"),
        ("bell\a", "control characters"),
        ("ends with a space ", "spaces at its ends"),
        ("x" * 300, "File name too long"),
    ],
)
def test_an_unfit_folder_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, words: str
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)

    done = asked("new", folder)

    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["taken", "notes.txt"]
