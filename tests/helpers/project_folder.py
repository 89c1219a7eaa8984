"""A project's folder with the smoke scale, and damaged versions of it."""

from __future__ import annotations

import functools
import io
import os
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from adambias.config import ScaleFiles

ROOT = Path(__file__).parents[2]


SWEEPS = """
prepare:
  datasets:
    digits: {source: digits, train_size: 60, test_size: 60, seed: 0}

trial:
  dataset: digits
  model: resnet8
  rule: adam
  h: 1e-3
  beta1: 0.9
  beta2: 0.99
  epsilon: 1e-8
  epochs: 8
  eval_every: 4

grids:
  beta2:
    axes: {seed: [0, 1], beta2: [0.9, 0.99]}
  beta1:
    axes: {seed: [0, 1], beta1: [0.5, 0.9]}
  h:
    horizon: 0.008
    trials:
      - {h: 1e-3, beta2: 0.9}
      - {h: 2e-3, beta2: 0.9}
  regimes:
    axes: {beta2: [0.9, 0.999], beta1: [0.0, 0.9]}

resources:
  cpus_per_trial: 1
"""


@functools.cache
def smoke_text() -> str:
    """Return the smoke scale with fixed data, trials and grids, as YAML."""
    settings = ScaleFiles(ROOT / "params.yaml", "smoke").settings()
    for name in ("prepare", "trial", "grids", "resources"):
        del settings[name]
    for section in ("netflow", "network_correction"):
        settings[section]["dataset"] = "digits"
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(settings, text)
    return SWEEPS + "\n" + text.getvalue()


def make_project(folder: Path, text: str | None = None) -> Path:
    """Write ``params.yaml`` with scale smoke, whose file holds ``text``; return its path."""
    (folder / "scales").mkdir(parents=True)
    (folder / "params.yaml").write_text("scale: smoke\n", encoding="utf-8")
    content = smoke_text() if text is None else text
    (folder / "scales" / "smoke.yaml").write_text(content, encoding="utf-8")
    return folder / "params.yaml"


def changed(old: str, new: str) -> str:
    """Return the smoke scale with one text replaced, which must be there."""
    text = smoke_text()
    assert old in text, old
    return text.replace(old, new, 1)


def adambias(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the real command in ``folder``."""
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("ADAMBIAS_", "RAY_"))},
        "OMP_NUM_THREADS": "1",
        **variables,
    }
    return subprocess.run(
        [sys.executable, "-m", "adambias.cli", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
