"""The whole road at smoke scale, in a Git and DVC repository of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from processes import ROOT

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
    assert stages == {"sweep@beta2", "analyse", "figures", "report"}


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


def test_tables_of_a_grid_that_was_renamed_count_no_more_and_are_named(
    road: Path, run: Run
) -> None:
    before = (road / "results/metrics.json").read_text()
    shutil.copytree(road / "results/sweeps/beta2", road / "results/sweeps/an old one")
    try:
        said = run(road, sys.executable, "pipeline/analyse.py").stdout
    finally:
        shutil.rmtree(road / "results/sweeps/an old one")
    assert said.splitlines() == [
        "results/sweeps/an old one: no grid of scale smoke is called an old one, so it does not "
        "count; remove it with rm -r 'results/sweeps/an old one'"
    ]
    assert (road / "results/metrics.json").read_text() == before


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
