"""Where data are read and written: beside the parameters, from whatever folder one asks."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from project_folder import ROOT, adambias

from adambias.config import load_params
from adambias.core.errors import ConfigError, DataError
from adambias.data.dataset import dataset_of
from adambias.data.manifest import prepared_digest
from adambias.data.preparation import prepare
from adambias.data.sources import downloads_root

FILE = """
prepare:
  datasets:
    pictures: {source: image_folder, path: my pictures, train_size: 6, test_size: 4}
    numbers: {source: arrays, path: numbers.npz, train_size: 6}
    mine: {source: "own_source:read", path: numbers.npz}
trial: {dataset: numbers, model: mlp, norm: none, h: 1e-3, epochs: 1}
grids:
  seeds: {axes: {seed: [0]}}
"""
SOURCE = """
import numpy as np


def read(spec):
    held = np.load(spec.path)
    inputs, targets = held["inputs"], held["targets"]
    parts = (inputs[:6], targets[:6], inputs[6:], targets[6:])
    names = ("train_inputs", "train_targets", "test_inputs", "test_targets")
    return dict(zip(names, parts)), ["a", "b"]
"""


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of parameters with data beside it, named relative to it; the current folder is not."""
    folder, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    elsewhere.mkdir()
    for label in ("a", "b"):
        (folder / "my pictures" / label).mkdir(parents=True)
        for i in range(5):
            pixels = np.full((4, 4), 40 * i, np.uint8)
            Image.fromarray(pixels).save(folder / "my pictures" / label / f"{i}.png")
    rng = np.random.default_rng(0)
    np.savez(folder / "numbers.npz", inputs=rng.normal(size=(10, 3)), targets=np.arange(10) % 2)
    (folder / "own_source.py").write_text(SOURCE)
    (folder / "mine.yaml").write_text(FILE)
    monkeypatch.chdir(elsewhere)
    for name in ("ADAMBIAS_DATA", "ADAMBIAS_DOWNLOADS", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.syspath_prepend(str(folder))
    yield folder / "mine.yaml"
    sys.modules.pop("own_source", None)


def test_relative_paths_of_data_are_of_the_folder_of_the_parameters(experiment: Path) -> None:
    params = load_params(experiment)
    assert set(params.datasets) == {"pictures", "numbers", "mine"}
    for name, spec in params.datasets.items():
        prepare(name, spec, params.data_root)
        digest = prepared_digest(name, spec, params.data_root)
        # A node without the data: the specification comes there pickled.
        sent = pickle.loads(pickle.dumps(spec))
        assert dataset_of(name, sent, experiment.parent / "fresh").digest == digest
    given = load_params(experiment).scale.prepare.datasets["numbers"]
    assert given.path == "numbers.npz", "as written, so that a folder that moved is recognised"


def test_an_experiment_runs_from_another_folder(experiment: Path) -> None:
    done = adambias(Path.cwd(), "run", str(experiment), "--no-track")
    assert done.returncode == 0, done.stderr
    assert not list(Path.cwd().iterdir())


def test_a_project_that_moved_knows_its_data(experiment: Path, tmp_path: Path) -> None:
    params = load_params(experiment)
    prepare("numbers", params.datasets["numbers"], params.data_root)
    before = prepared_digest("numbers", params.datasets["numbers"], params.data_root)
    experiment.parent.rename(tmp_path / "moved")
    params = load_params(tmp_path / "moved" / "mine.yaml")
    assert prepared_digest("numbers", params.datasets["numbers"], params.data_root) == before


def test_a_node_with_the_data_needs_no_file(experiment: Path) -> None:
    params = load_params(experiment)
    spec = params.datasets["numbers"]
    prepare("numbers", spec, params.data_root)
    (experiment.parent / "numbers.npz").unlink()
    found = dataset_of("numbers", spec, params.data_root)
    assert found.digest == prepared_digest("numbers", spec, params.data_root)
    assert [path.name for path in params.data_root.iterdir()] == ["numbers"]


def test_downloads_are_beside_the_parameters_and_the_folder_is_no_setting(
    experiment: Path,
) -> None:
    spec = load_params(experiment).datasets["numbers"]
    assert downloads_root(spec.base) == experiment.parent / "downloads"
    shutil.rmtree(experiment.parent / "my pictures")
    with pytest.raises(DataError, match=r"project/my pictures: no such folder or archive"):
        dataset_of("p", load_params(experiment).datasets["pictures"], Path.cwd())
    experiment.write_text(FILE.replace("path: numbers.npz,", "path: numbers.npz, base: /,", 1))
    with pytest.raises(ConfigError, match=r"datasets\.numbers\.base = '/': unknown key"):
        load_params(experiment)


def test_links_in_a_tree_of_images_are_followed_or_refused(experiment: Path) -> None:
    folder = experiment.parent
    spec = load_params(experiment).datasets["pictures"]
    prepare("pictures", spec, folder / "plain")
    pictures = folder / "my pictures"
    (pictures / "a").rename(folder / "elsewhere")
    (pictures / "a").symlink_to(folder / "elsewhere")
    prepare("pictures", spec, folder / "linked")
    digests = {prepared_digest("pictures", spec, folder / root) for root in ("plain", "linked")}
    assert len(digests) == 1, "a class that is a link has its images"

    (pictures / "b" / "gone.png").symlink_to(folder / "nothing")
    with pytest.raises(DataError, match=r"b/gone\.png: is a link to nothing; mend or remove it"):
        prepare("pictures", spec, folder / "none")
    (pictures / "b" / "gone.png").unlink()
    (pictures / "b" / "round").symlink_to(pictures)
    with pytest.raises(DataError, match=r"b/round: is a link to a folder that it is in; remove it"):
        prepare("pictures", spec, folder / "none")


@pytest.mark.soak  # a whole experiment, through links
def test_project_ledger_and_data_may_be_links(experiment: Path, tmp_path: Path) -> None:
    for name in ("runs", "data", "disk"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(experiment.parent)
    (experiment.parent / "runs").symlink_to(tmp_path / "runs")
    (experiment.parent / "data").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "numbers").symlink_to(tmp_path / "disk")

    for _ in range(2):
        done = adambias(Path.cwd(), "run", str(tmp_path / "link" / "mine.yaml"), "--no-track")
        assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "runs").glob("*/done.json"))) == 1
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert names == {"numbers", "pictures", "mine"}


def test_under_dvc_data_are_nowhere_but_where_dvc_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "scales", tmp_path / "scales")
    (tmp_path / "params.yaml").write_text("scale: smoke\n")
    command = [sys.executable, str(ROOT / "pipeline" / "prepare.py")]
    elsewhere = {"ADAMBIAS_DATA": str(tmp_path / "elsewhere")}
    stage = os.environ | elsewhere | {"DVC_STAGE": "prepare"}

    done = subprocess.run(command, cwd=tmp_path, env=stage, capture_output=True, text=True)

    assert done.returncode == 1
    said = f"error: ADAMBIAS_DATA = '{tmp_path}/elsewhere': is not where DVC keeps the data of its"
    assert done.stderr.strip() == f"{said} stages, data/: unset it for dvc repro"
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "prepare")
    monkeypatch.setenv("ADAMBIAS_DATA", str(tmp_path / "link" / "data"))
    assert load_params(tmp_path / "params.yaml").data_root.resolve() == tmp_path / "data"
    monkeypatch.delenv("DVC_STAGE")
    monkeypatch.setenv("ADAMBIAS_DATA", elsewhere["ADAMBIAS_DATA"])
    assert load_params(tmp_path / "params.yaml").data_root == tmp_path / "elsewhere"
