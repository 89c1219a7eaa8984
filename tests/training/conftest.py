import os
from pathlib import Path

import pytest
import torch

import adambias as ab
from adambias.config import Trial
from adambias.data import Dataset

ARCHIVE = Path(__file__).parents[2].parent / "shared" / "data" / "cifar10-images.tar.xz"


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Dataset:
    return ab.load_dataset("digits", train_size=400, root=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory) -> Dataset:
    """40 training and 30 test digits, under the name the trials use."""
    root = tmp_path_factory.mktemp("few")
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
