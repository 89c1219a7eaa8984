"""benchmarks/gpu.sh, run to its end on the CPU in sizes that mean nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from adambias.config import load_params
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import make_plan

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("correctness", "rates", "paths", "floor", "prepare", "train_first", "train")
ABSENT = ("ray", "mlflow", "dvc")


@pytest.fixture
def rented(smoke_project: Path, tmp_path: Path) -> Path:
    """Return the repository on a machine that has no Ray, MLflow or DVC."""
    folder = tmp_path / "a rented machine"
    shutil.copytree(smoke_project, folder)
    for name in ("runs", "data"):
        shutil.rmtree(folder / name)
    shutil.copytree(ROOT / "tests", folder / "tests")
    for name in ABSENT:
        module = tmp_path / "absent" / name / "__init__.py"
        module.parent.mkdir(parents=True)
        module.write_text(f"raise ModuleNotFoundError({name!r}, name={name!r})\n")
    return folder


def rental(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    absent = str(folder.parent / "absent")
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": absent}
    for name in ("ADAMBIAS_STORE", "ADAMBIAS_DATA"):
        environment.pop(name, None)
    return subprocess.run(
        ["bash", "benchmarks/gpu.sh", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


@pytest.mark.soak  # two whole rentals
def test_a_rental_ends_with_an_archive_from_which_the_next_goes_on(
    rented: Path, smoke_project: Path
) -> None:
    first = rental(rented, "--tiny", "--minutes", "6", "--out", "first")
    assert first.returncode == 0, first.stdout + first.stderr
    for name in STEPS:
        assert f"== {name}\n" in first.stdout, first.stdout
    assert "== paper: not compared" in first.stdout
    assert re.findall(r"^(\d+) done, 0 diverged$", first.stdout, re.MULTILINE)[-1] != "0"
    with tarfile.open(rented / "first" / "gpu.tar.gz") as archive:
        names = archive.getnames()
        archive.extractall(rented / "home", filter="data")
    assert {"gpu/rates.json", "gpu/paths.txt", "gpu/steps/train"} <= set(names)

    again = rental(
        rented, "--tiny", "--minutes", "6", "--out", "second", "--resume", "first/gpu.tar.gz"
    )
    assert again.returncode == 0, again.stdout + again.stderr
    for name in STEPS:
        assert (f"== {name}: done before" in again.stdout) == (name != "prepare"), again.stdout

    # At home its folders are trials that are done.
    params = load_params(smoke_project / "params.yaml", "smoke")
    ledger = Ledger.open(rented / "home" / "gpu" / "ledger")
    plan = make_plan(params, list(params.scale.grids), ledger)
    assert not plan.pending
    assert all("no GPU" not in outcome["machine"] for outcome in plan.outcomes.values())


def test_what_is_not_done_in_time_is_left_for_the_next(rented: Path) -> None:
    run = rental(rented, "--tiny", "--minutes", "0", "--out", "made")
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("left for the next time") == 5
    assert (rented / "made" / "gpu.tar.gz").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--minutes", "1"), "--out: is missing, a folder"),
        (("--what",), "--what: no such option"),
    ],
)
def test_what_is_asked_wrongly_is_a_line(rented: Path, options: tuple[str, ...], words: str):
    run = rental(rented, *options)
    assert run.returncode == 2
    assert words in run.stderr
    assert run.stderr.count("\n") == 1


def test_without_a_gpu_nothing_is_measured_and_a_line_says_so(rented: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    run = rental(rented, "--out", "made")
    assert run.returncode == 1
    assert run.stderr.startswith("torch sees no GPU (torch ")
    assert not list((rented / "made").glob("*.gz"))
