"""DVC's own plots and metrics, on the declared outputs of two analyses."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import synthetic
from ruamel.yaml import YAML

from adambias.analysis import run as analysis

ROOT = Path(__file__).parents[2]


def run(folder, *command):
    """Run a command of the environment in ``folder``, with a name for Git."""
    program = [str(Path(sys.executable).parent / command[0])] if command[0] == "dvc" else ["git"]
    if program == ["git"]:
        program += ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    return subprocess.run(
        [*program, *command[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout


@pytest.fixture(scope="module")
def two_analyses(results, tmp_path_factory):
    """One analysis committed, and in the workspace another, of the opposite trends."""
    folder = tmp_path_factory.mktemp("compared")
    plots = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
    text = json.dumps({"plots": plots, "metrics": ["results/metrics.json"]})
    (folder / "dvc.yaml").write_text(text, encoding="utf-8")
    for name in ("plots", "metrics.json"):
        copy = shutil.copytree if name == "plots" else shutil.copy
        (folder / "results").mkdir(exist_ok=True)
        copy(results / name, folder / "results" / name)
    run(folder, "git", "init", "-q")
    run(folder, "dvc", "init", "-q")
    shutil.copytree(ROOT / ".dvc" / "plots", folder / ".dvc" / "plots")
    run(folder, "git", "add", "dvc.yaml", "results", ".dvc")
    run(folder, "git", "commit", "-qm", "the first")
    sweeps = synthetic.write_sweeps(folder / "sweeps", synthetic.grids(), synthetic.the_other_way)
    analysis.run(synthetic.SETTINGS, sweeps, folder / "results", scale="made-up")
    return folder


def test_plots_diff_draws_the_curves_of_both(two_analyses):
    run(two_analyses, "dvc", "plots", "diff", "HEAD", "-o", "compared")
    page = (two_analyses / "compared" / "index.html").read_text(encoding="utf-8")
    assert "DVC_METRIC" not in page
    specs = [
        json.loads(s) for s in re.findall(r"var spec = (\{.*?\});\s*vegaEmbed", page, re.DOTALL)
    ]
    titles = [spec["title"]["text"] for spec in specs]
    assert len(titles) == 7
    assert "norm against epoch over beta2 (figure 6, left)" in titles
    for spec in specs:
        values = spec["data"]["values"]
        axes = [spec["spec"]["encoding"][axis]["field"] for axis in ("x", "y")]
        assert {row["rev"] for row in values} == {"HEAD", "workspace"}
        assert all(row[axis] for row in values for axis in (*axes, spec["facet"]["field"]))


def test_metrics_diff_shows_the_verdicts_that_turned(two_analyses):
    shown = json.loads(run(two_analyses, "dvc", "metrics", "diff", "HEAD", "--json"))
    changed = shown["results/metrics.json"]
    assert changed["claims.fig4_norm.verdict"] == {"old": "agrees", "new": "disagrees"}
    assert changed["claims.fig4_norm.value"]["diff"] < 0
