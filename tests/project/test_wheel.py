"""What ``uv build`` makes, installed without extras where there is no clone of the project."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from project_folder import ROOT

PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
pytestmark = pytest.mark.skipif(
    shutil.which("uv", path=PATH) is None, reason="uv is not on PATH, where make test has it"
)
MEGABYTE = 2**20
SOURCES = {
    path.relative_to(ROOT / "src").as_posix()
    for path in (ROOT / "src" / "adambias").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
}
LAW = """
import torch, adambias as ab

loss, rule = ab.losses.bilinear(x=2.0, y=1.5), ab.rules.adam(beta1=0.3, beta2=0.6, epsilon=1e-2)
theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
assert ab.iterate(rule, loss, theta0, h=0.01, n_steps=80).shape == (81, 2)
report = ab.observed_order(rule, loss, theta0, horizon=0.8, step_sizes=[0.01, 0.005, 0.0025])
print(round(report.leading_order), round(report.modified))
report.plot()
"""
TRAINING = """
import adambias as ab

data = ab.load_dataset("digits", train_size=60, test_size=30)
trial = ab.Trial(dataset="digits", model="resnet8", h=1e-3, epochs=3)
alone = [record.train_loss for record in ab.train(trial, data)]
ab.sweep([trial, trial.replace(seed=1)], "ledger", data=data)
table = ab.load("ledger")
assert list(table[table.seed == 0].train_loss) == alone
print(len(table), *table.status.unique())
ab.load_dataset("photos")
"""
EXPERIMENT = """
prepare: {datasets: {digits: {source: digits, train_size: 60, test_size: 30}}}
trial: {dataset: digits, model: resnet8, h: 1e-3, epochs: 3}
grids:
  beta2: {axes: {beta2: [0.9, 0.99]}}
"""


def command(folder: Path, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program as somebody who has neither a clone nor its environment."""
    dropped = ("ADAMBIAS_", "MLFLOW_", "RAY_", "PYTHON", "VIRTUAL_ENV")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    return subprocess.run(
        words,
        cwd=folder,
        env=environment | {"PATH": PATH, "OMP_NUM_THREADS": "1"} | variables,
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both archives."""
    out = tmp_path_factory.mktemp("dist")
    done = command(ROOT, "uv", "build", "--quiet", "--out-dir", out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def bare(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs of an environment that has the wheel and what it requires, no extra."""
    folder = tmp_path_factory.mktemp("bare")
    wheel, python = next(built.glob("*.whl")), folder / "bin" / "python"
    lock = ROOT / "requirements.lock"
    install = ("uv", "pip", "install", "--quiet", "--python", python)
    steps = (
        ("uv", "venv", "--quiet", "--clear", "--python", sys.executable, folder),
        # The local part of a version, as of torch's builds for a CPU, is left to what is there.
        (*install, "--constraints", lock, wheel),
        ("uv", "pip", "check", "--quiet", "--python", python),
    )
    for step in steps:
        done = command(folder, *step)
        assert done.returncode == 0, f"{step}\n{done.stderr}"
    yield folder / "bin"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def experiment(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiment's file and its data."""
    folder = tmp_path_factory.mktemp("experiment")
    (folder / "mine.yaml").write_text(EXPERIMENT)
    prepare = "import adambias as ab; ab.load_dataset('digits', train_size=60, test_size=30)"
    done = command(folder, bare / "python", "-c", prepare)
    assert done.returncode == 0, done.stderr
    return folder


def said(done: subprocess.CompletedProcess[str], extra: str) -> None:
    """Check that a program ended with one line that names what to install."""
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.endswith(f' is not installed: pip install "adambias[{extra}]"')
    assert "Traceback" not in line


def test_the_wheel_is_the_library_and_its_licence(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
        about = {name.partition("/")[2] for name in file.namelist() if ".dist-info/" in name}
        (place,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(file.read(place))

    assert names == SOURCES
    assert {"adambias/py.typed", "adambias/figures/report/page.html"} <= names
    assert about >= {"licenses/LICENSE", "entry_points.txt"}
    assert wheel.stat().st_size < MEGABYTE
    required = [each for each in metadata.get_all("Requires-Dist", []) if "extra ==" not in each]
    assert not [each for each in required if each.startswith(("ray", "mlflow", "dvc", "matplot"))]
    assert metadata["License-Expression"] == "MIT"


def test_the_source_archive_has_what_builds_it_and_no_results(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}

    project = {"CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml"}
    assert names == {f"src/{name}" for name in SOURCES} | project | {"PKG-INFO", ".gitignore"}
    assert archive.stat().st_size < MEGABYTE


def test_the_law_needs_no_extra_but_for_its_pictures(bare: Path, tmp_path: Path) -> None:
    done = command(tmp_path, bare / "python", "-c", LAW)

    assert done.stdout == "1 2\n", done.stderr
    assert done.stderr.splitlines()[-1].endswith(
        'MissingPackage: matplotlib is not installed: pip install "adambias[figures]"'
    )


def test_a_training_and_a_ledger_need_no_extra(bare: Path, tmp_path: Path) -> None:
    done = command(tmp_path, bare / "python", "-c", TRAINING)

    assert done.stdout == "6 finished\n", done.stderr
    assert (tmp_path / "ledger").is_dir()
    assert done.stderr.splitlines()[-1].endswith(
        'MissingPackage: PIL is not installed: pip install "adambias[images]"'
    )


def test_the_command_trains_and_names_the_extra_of_what_it_cannot_do(
    bare: Path, experiment: Path
) -> None:
    def adambias(*words: str) -> subprocess.CompletedProcess[str]:
        return command(experiment, bare / "adambias", *words)

    here = ("--params", "mine.yaml")

    assert adambias("--help").returncode == 0
    assert adambias("--version").stdout.split()[-1] == "0.1.0"
    said(adambias("sweep", *here), "sweep")
    said(adambias("sweep", *here, "--executor", "inline"), "tracking")
    said(adambias("run", "mine.yaml"), "figures")
    said(adambias("sync", *here), "tracking")
    ui = command(experiment, bare / "python", "-m", "adambias.cli.ui", ADAMBIAS_UI_PORT="5999")
    assert ui.stderr.endswith('mlflow is not installed: pip install "adambias[tracking]"\n')
    assert ui.returncode == 1

    done = adambias("sweep", *here, "--executor", "inline", "--no-track")
    assert done.stdout == "2 done, 0 diverged\n", done.stderr
    assert adambias("status", *here).returncode == 0


def test_doctor_says_what_each_extra_lacks_and_fails_for_none_of_them(
    bare: Path, experiment: Path, tmp_path: Path
) -> None:
    done = command(experiment, bare / "adambias", "doctor", "--params", "mine.yaml")

    assert done.returncode == 0, done.stdout + done.stderr
    for extra in ("images", "figures", "sweep", "tracking", "pipeline"):
        assert f'not installed, if you need it: pip install "adambias[{extra}]"' in done.stdout
    alone = command(tmp_path, bare / "adambias", "doctor")
    assert alone.returncode == 1, "there is no params.yaml"
    assert 'pip install "adambias[sweep]"' in alone.stdout
