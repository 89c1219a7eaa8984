"""What several folders of tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from once import made_once

from adambias.config import Trial

if TYPE_CHECKING:
    from adambias.data.dataset import Dataset

pytest_plugins = ["leftovers"]

# Ray's workers are nice to other programs, so nice that beside two tests that compute, a trial of
# seconds takes minutes: a wait for it then fails.
FAIR = {"RAY_worker_niceness": "0"}
os.environ |= FAIR

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
BUCKET = "ledgers"
ARCHIVE = ROOT.parent / "shared" / "data" / "cifar10-images.tar.xz"
LONGEST = (
    "sweep/test_ray.py",
    "project/test_road.py",
    "tracking/test_mirror.py",
    "sweep/test_losses.py",
    "sweep/test_sweep.py",
    "project/test_own_problem.py",
    "sweep/test_interruptions.py",
    "sweep/test_time.py",
    "sweep/test_dvc.py",
    "cli/test_new.py",
    "cli/test_doctor.py",
    "tracking/test_browser.py",
    "data/test_places.py",
    "analysis/test_simulations.py",
    "project/test_wheel.py",
    "project/test_setup.py",
    "training/test_trainer.py",
    "cluster/test_gpu_rental.py",  # not earlier: it would wait for the project that test_road makes
    "law/test_integration.py",
)
"""Files that take longest: they begin, and others fill their waits for Ray and for servers."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, which ``--no-loadscope-reorder`` then starts with."""
    first = {TESTS / name: rank for rank, name in enumerate(LONGEST)}
    if missing := [path for path in first if not path.exists()]:
        raise pytest.UsageError(f"LONGEST in {__file__}: there is no {missing[0]}")
    items.sort(key=lambda item: first.get(item.path, len(first)))


@pytest.fixture(scope="session")
def smoke_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which the pipeline has run at smoke scale; change a copy, not this."""
    return made_once(tmp_path_factory, "smoke", _run_pipeline)


def _run_pipeline(folder: Path) -> None:
    for name in ("dvc.yaml", "pyproject.toml", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    for name in ("pipeline", "scales", "src", "benchmarks"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    (folder / "params.yaml").write_text("scale: smoke\n")
    (folder / ".gitignore").write_text(
        "__pycache__/\n/data/\n/runs/\n/results/times/\n/mlflow.db\n/mlartifacts/\n"
    )
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@localhost")
    run_in(folder, "git", "init", "-q")
    run_in(folder, "dvc", "init", "-q")
    run_in(folder, "git", "add", "-A")
    run_in(folder, "git", *identity, "commit", "-q", "-m", "a project at smoke scale")
    run_in(folder, "dvc", "repro", "report")


@pytest.fixture(scope="session")
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Give ``run(folder, *command, check=True)``; the folder's own sources are what runs."""
    return run_in


def run_in(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command in a copy of the project, without the settings of whoever runs the tests."""
    dropped = ("ADAMBIAS_", "MLFLOW_", "RAY_", "PYTHONPATH")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    paths = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= paths | {"PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}
    environment |= FAIR
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=580
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """A real S3 server on this machine: ``{}`` in the URI stands for a path of the bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server.start()
        host, port = server.get_host_and_port()
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield f"s3://{BUCKET}/{{}}?scheme=http&endpoint_override={host}%3A{port}&region=us-east-1"
        server.stop()


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Dataset:
    import adambias as ab

    return ab.load_dataset("digits", train_size=400, root=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory) -> Dataset:
    """40 training and 30 test digits, under the name the trials use."""
    root = tmp_path_factory.mktemp("few")
    import adambias as ab

    return ab.load_dataset("digits", train_size=40, test_size=30, root=root)


@pytest.fixture(scope="session")
def cifar_archive() -> Path:
    path = Path(os.environ.get("ADAMBIAS_CIFAR10_ARCHIVE") or ARCHIVE)
    if not path.is_file():
        pytest.skip(f"no CIFAR-10 image archive at {path}; name one in ADAMBIAS_CIFAR10_ARCHIVE")
    return path


@pytest.fixture
def quick():
    """Return a small trial; keyword arguments change its fields."""

    def make(**changes) -> Trial:
        return Trial(**{"h": 1e-3, "beta2": 0.99, "epochs": 6, "eval_every": 4} | changes)

    return make


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of every grid, with the paper's trends put in."""
    import synthetic

    from adambias.analysis import run as analysis

    root = tmp_path_factory.mktemp("results")
    synthetic.write_sweeps(root / "sweeps", synthetic.grids())
    analysis.run(synthetic.SETTINGS, root / "sweeps", root, scale="made-up")
    return root


@pytest.fixture(scope="session")
def pictures(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every figure that these results allow, without the paper's sizes."""
    from adambias.config import Figures
    from adambias.figures import run as figures

    settings = Figures(formats=("png", "svg"))
    return made_once(tmp_path_factory, "pictures", lambda out: figures.run(settings, results, out))
