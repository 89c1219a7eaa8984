"""The whole road at smoke scale, in a Git and DVC repository of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import pytest
from processes import ROOT
from ruamel.yaml import YAML

Run: TypeAlias = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.timeout(900)
PICTURES = {f"figures/fig{i}.{kind}" for i in range(1, 7) for kind in ("png", "svg")}


@pytest.fixture(scope="module")
def road(smoke_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of a repository in which the pipeline has run once at smoke scale."""
    folder = tmp_path_factory.mktemp("road") / "project"
    shutil.copytree(smoke_project, folder, symlinks=True)
    return folder


def test_every_figure_and_number_is_there(road: Path) -> None:
    assert {p for p in PICTURES if not (road / p).stat().st_size} == set()
    assert json.loads((road / "results/metrics.json").read_text())
    assert (road / "reports/index.html").stat().st_size > 10_000
    assert len(list((road / "runs").glob("*/done.json"))) == 13
    assert (road / "mlflow.db").exists()


def test_one_sweep_trains_what_every_grid_lacks(road: Path) -> None:
    logs = [log.read_text() for log in (road / "runs").glob("*/log.txt")]
    workers = {re.search(r"process (\d+)", log)[1] for log in logs}
    assert len(workers) <= (os.cpu_count() or 1), "reused from the first trial to the last"


def test_nothing_changed_nothing_runs(road: Path, run: Run) -> None:
    again = run(road, "dvc", "repro", "report")
    assert "Running stage" not in again.stdout
    assert run(road, "dvc", "status", "report").stdout.strip().endswith("up to date.")


@pytest.mark.soak  # the pipeline once more
def test_made_again_from_nothing_every_output_has_the_same_hash(
    smoke_project: Path, tmp_path: Path, run: Run
) -> None:
    for name in ("pipeline", "scales", "src", ".dvc", ".git"):
        ignored = shutil.ignore_patterns("cache", "tmp", "__pycache__")
        shutil.copytree(smoke_project / name, tmp_path / name, ignore=ignored)
    for name in ("dvc.yaml", "params.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(smoke_project / name, tmp_path)
    # Figures and the report are drawn from these; that they repeat is held where they are tested.
    run(tmp_path, "dvc", "repro", "analyse", "netflow", "network_correction")
    first, second = (
        YAML(typ="safe").load(folder / "dvc.lock")["stages"] for folder in (smoke_project, tmp_path)
    )
    assert set(first) - set(second) == {"figures", "report"}
    assert {name: first[name] for name in second} == second
    seconds = [
        pd.read_parquet(folder / "results/times")["seconds"] for folder in (smoke_project, tmp_path)
    ]
    assert not seconds[0].equals(seconds[1]), "times are kept, and differ"


@pytest.mark.soak  # a minute; the stage of the data below holds the same of dvc.yaml
def test_a_number_of_a_grid_reruns_that_grid_alone(road: Path, run: Run) -> None:
    scale = road / "scales/smoke.yaml"
    before = scale.read_text()
    changed = before.replace(
        "axes: {seed: [0, 1], beta2: [0.9, 0.99]}", "axes: {beta2: [0.9, 0.98]}"
    )
    assert changed != before
    scale.write_text(changed)
    try:
        ran = run(road, "dvc", "repro", "report").stdout
    finally:
        scale.write_text(before)
    stages = {line.split("'")[1] for line in ran.splitlines() if "Running stage" in line}
    assert stages == {"needs", "sweep@beta2", "analyse", "figures", "report"}


def test_a_stage_depends_on_the_data_that_it_reads_alone(
    smoke_project: Path, tmp_path: Path, run: Run
) -> None:
    folder = tmp_path / "project"
    shutil.copytree(smoke_project, folder, symlinks=True)
    scale = folder / "scales/smoke.yaml"
    before = scale.read_text()

    def changed(old: str, new: str) -> set[str]:
        assert before.count(old) == 1
        scale.write_text(before.replace(old, new))
        run(folder, "dvc", "repro", "needs")
        return set(json.loads(run(folder, "dvc", "status", "--json", "-d", "report").stdout))

    digits = "    digits: {source: digits, train_size: 60, test_size: 60, seed: 0}\n"
    more = "    more: {source: digits, train_size: 50, test_size: 40, seed: 1}\n"
    assert changed(digits, digits + more) == set()
    grids = ("beta2", "beta1", "hills_beta2", "hills_beta1", "h", "regimes", "edge")
    stages = {"netflow", "network_correction", "reach", "cause", "stability"}
    other = changed(digits, digits.replace("seed: 0", "seed: 1"))
    assert other == stages | {f"sweep@{grid}" for grid in grids}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("beta1: 0.9\n", "beta1: 1.0\n", "trial.beta1 = 1.0"),
        ("model: resnet8", "model: resnet9", "did you mean resnet8"),
        ("h: 1e-3\n", "h: -1e-3\n", "trial.h = -0.001"),
    ],
)
def test_a_bad_value_stops_before_anything_runs(
    road: Path, run: Run, old: str, new: str, said: str
) -> None:
    scale = road / "scales/smoke.yaml"
    before = scale.read_text()
    results = (road / "results/metrics.json").read_bytes()
    scale.write_text(before.replace(old, new, 1))
    try:
        result = run(road, "python", "pipeline/sweep.py", "beta2", check=False)
    finally:
        scale.write_text(before)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert said in result.stderr
    assert (road / "results/metrics.json").read_bytes() == results


def test_damaged_data_stops_a_sweep_with_one_line(road: Path, run: Run) -> None:
    file = road / "data/digits/train_labels.npy"
    before = file.read_bytes()
    shutil.copy(file, road / "labels")
    file.unlink()
    file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    code = "import adambias; adambias.load_dataset('digits')"
    try:
        result = run(road, "python", "-c", code, check=False)
    finally:
        file.unlink()
        shutil.move(road / "labels", file)
    assert result.returncode != 0
    assert "train_labels.npy: is damaged" in result.stderr


def test_a_grid_that_was_removed_counts_no_more_and_its_tables_are_named(
    smoke_project: Path, tmp_path: Path, run: Run
) -> None:
    folder = tmp_path / "project"
    shutil.copytree(smoke_project, folder, symlinks=True)
    for name, old, new in (
        ("dvc.yaml", "regimes, edge]", "regimes]"),
        ("scales/smoke.yaml", "\n  edge:\n    base:", "\n  # edge:\n  #  base:"),
        ("scales/smoke.yaml", "    axes: {seed: [0], beta1: [0.5, 0.9]}\n", ""),
    ):
        before = (folder / name).read_text()
        assert before.count(old) == 1
        (folder / name).write_text(before.replace(old, new))
    ran = run(folder, "dvc", "repro", "analyse").stdout
    assert (
        "results/sweeps/edge: no grid of scale smoke is called edge, so it does not count; "
        "remove it with rm -rf results/sweeps/edge results/times/edge.parquet\n"
    ) in ran
    named = {"beta2", "beta1", "hills_beta2", "hills_beta1", "h", "regimes"}
    for name in ("trials", "histories", "curves"):
        assert set(pd.read_parquet(folder / f"results/{name}.parquet")["grid"]) == named


def test_a_clone_that_would_turn_line_ends_has_them_as_committed(tmp_path: Path) -> None:
    folder, clone = tmp_path / "project", tmp_path / "clone"
    folder.mkdir()
    # What stages depend on and what they leave in Git: DVC goes by the bytes of each file.
    for name in (".gitattributes", "Makefile", "params.yaml", "dvc.yaml", "dvc.lock"):
        shutil.copy(ROOT / name, folder / name)
    for name in (".ci", "cluster", "pipeline", "scales", "src", "results/cifar10", "figures"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    turning = ("-c", "core.autocrlf=true", "-c", "user.name=tester", "-c", "user.email=t@localhost")
    for where, command in (
        (folder, ("init", "-q")),
        (folder, ("add", "-A")),
        (folder, ("commit", "-q", "-m", "a project")),
        (tmp_path, ("clone", "-q", str(folder), str(clone))),
    ):
        subprocess.run(("git", *turning, *command), cwd=where, check=True)
    tracked = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    ours = {name: path for name, path in tracked.items() if name.parts[0] != ".git"}
    assert len(ours) > 400
    assert [n for n, path in ours.items() if (clone / n).read_bytes() != path.read_bytes()] == []
    assert b"\r" not in (clone / "cluster/slurm.sh").read_bytes()
