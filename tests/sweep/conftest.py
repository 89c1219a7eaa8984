"""A small project folder, in which sweeps run for real."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCALE = """
prepare:
  datasets:
    digits: {source: digits, train_size: 40, test_size: 40}
bilinear: %s
trial: {model: resnet8, h: 1e-3, epochs: 6, eval_every: 3}
grids:
  tiny:
    axes: {beta2: [0.9, 0.99], seed: [0, 1]}
resources: {checkpoint_seconds: 0}
analyse: {}
figures: {}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with parameters and prepared digits; the working directory is there."""
    from ruamel.yaml import YAML

    from adambias.config import load_params
    from adambias.data import prepare

    for name in ("ADAMBIAS_STORE", "ADAMBIAS_DATA", "RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    smoke = YAML(typ="safe").load((ROOT / "scales" / "smoke.yaml").read_text())
    text = SCALE % "null"
    content = YAML(typ="safe").load(text)
    content["bilinear"] = smoke["bilinear"]
    (tmp_path / "scales").mkdir()
    with (tmp_path / "scales" / "tiny.yaml").open("w") as stream:
        YAML().dump(content, stream)
    (tmp_path / "params.yaml").write_text("scale: tiny\n")
    params = load_params()
    for name, spec in params.scale.prepare.datasets.items():
        prepare(name, spec, params.data_root)
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)
