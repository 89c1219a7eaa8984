"""DVC's own plots and metrics, on the declared outputs of two analyses."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
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
    templates = shutil.ignore_patterns("vega.js")
    shutil.copytree(ROOT / ".dvc" / "plots", folder / ".dvc" / "plots", ignore=templates)
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
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


def test_the_page_takes_vega_from_the_project_and_else_from_the_network(two_analyses):
    run(two_analyses, "dvc", "plots", "show", "-o", "shown")
    page = (two_analyses / "shown" / "index.html").read_text(encoding="utf-8")
    kept = page.index('<script src="../.dvc/plots/vega.js"></script>')
    network = page.index("https://")
    assert kept < page.index('<template id="network">') < network < page.index("</template>")
    assert page.index("</template>") < page.index("could not be loaded") < page.index("var spec")


@pytest.mark.browser
def test_without_network_and_vega_the_page_says_what_to_do(two_analyses):
    if (chromium := shutil.which("chromium")) is None:
        pytest.skip("chromium is absent")
    from playwright.sync_api import sync_playwright

    run(two_analyses, "dvc", "plots", "show", "-o", "alone")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_context(offline=True).new_page()
        tab.goto((two_analyses / "alone" / "index.html").as_uri())
        said = tab.inner_text("body")
        browser.close()
    assert "could not be loaded: there is no network, and no .dvc/plots/vega.js" in said


def test_another_epsilon_alone_moves_no_curve(results, tmp_path, monkeypatch):
    """The norm is at least p√ε: trainings of the same excess are the same to whoever compares."""
    monkeypatch.setattr(synthetic, "FLOOR", 100 * synthetic.FLOOR)
    grids = {
        name: [trial.replace(epsilon=1e4 * trial.epsilon) for trial in trials]
        for name, trials in synthetic.grids().items()
    }
    synthetic.write_sweeps(tmp_path / "sweeps", grids)
    analysis.run(synthetic.SETTINGS, tmp_path / "sweeps", tmp_path, scale="made-up")
    declared = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
    for plot in declared:
        for settings in plot.values():
            ((file, column),) = settings["y"].items()
            one, other = (
                pd.read_csv(folder / file.removeprefix("results/"))
                for folder in (results, tmp_path)
            )
            assert len(one) > 1
            np.testing.assert_allclose(one[column], other[column], atol=1e-5, err_msg=column)


def test_metrics_diff_shows_the_verdicts_that_turned(two_analyses):
    shown = json.loads(run(two_analyses, "dvc", "metrics", "diff", "HEAD", "--json"))
    changed = shown["results/metrics.json"]
    assert changed["claims.fig4_norm.verdict"] == {"old": "agrees", "new": "disagrees"}
    assert changed["claims.fig4_norm.value"]["diff"] < 0
