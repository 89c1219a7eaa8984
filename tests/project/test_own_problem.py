"""docs/your-own-problem.md and the notebooks, as their readers follow them: in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from project_folder import ROOT

PAGE = (ROOT / "docs" / "your-own-problem.md").read_text(encoding="utf-8")
FILES = {
    name: text
    for _, name, text in re.findall(r"```(python|yaml)\n# ([\w.]+)\n(.*?)```", PAGE, re.DOTALL)
}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """An empty folder with the page's files."""
    made = tmp_path_factory.mktemp("empty")
    for name, text in FILES.items():
        (made / name).write_text(text, encoding="utf-8")
    return made


def in_folder(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody who has the package and nothing else."""
    dropped = ("ADAMBIAS_", "MLFLOW_", "PYTHON")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    paths = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment |= {"PATH": paths, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500
    )


@pytest.fixture(scope="module")
def table(folder) -> Path:
    done = in_folder(folder, "adambias", "run", "table.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"18 done, 0 diverged: see {folder}/table/report.html"
    return folder / "table"


def test_the_page_has_one_python_file_two_experiments_and_a_script():
    assert list(FILES) == ["mine.py", "table.yaml", "text.yaml", "sweep.py"]
    assert all(len(text.splitlines()) <= 25 for text in FILES.values())


def test_an_option_of_ones_own_is_an_axis_and_a_measure_of_ones_own_is_drawn(table):
    trials = pd.read_parquet(table / "tables" / "trials.parquet")
    widths = trials[trials["grid"] == "width"]
    assert sorted(set(widths["model_options.width"])) == [4, 16, 64]
    assert sorted(set(widths["parameters"])) == [12 * w + 1 for w in (4, 16, 64)]
    looks = trials[trials["grid"] == "look_ahead"]
    assert sorted(set(looks["rule_options.look_ahead"])) == [0, 0.5, 1]
    assert (trials["final_distance_to_init"] > 0).all()
    assert trials["late_test_accuracy"].isna().all()
    index = json.loads((table / "figures" / "figures.json").read_text(encoding="utf-8"))
    (own,) = (row for row in index if row["name"] == "own_grids")
    assert "look_ahead over look ahead; width. Thin" in own["caption"]
    assert "width: distance to init goes from" in own["alt"]
    report = (table / "report.html").read_text(encoding="utf-8")
    assert "adambias run table.yaml" in report
    assert 'id="figure-own_grids"' in report


def test_mlflow_has_the_measure_among_the_curves(table, folder):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    names = {e.name: e.experiment_id for e in client.search_experiments()}
    (width,) = (identity for name, identity in names.items() if name.endswith("width"))
    runs = client.search_runs([width], "attributes.status = 'FINISHED'")
    trained = [run for run in runs if "training/distance_to_init" in run.data.metrics]
    assert len(trained) == 9
    history = client.get_metric_history(trained[0].info.run_id, "training/distance_to_init")
    assert [point.step for point in history][:3] == [0, 5, 10]
    assert {run.data.params["model_options.width"] for run in trained} == {"4", "16", "64"}


def test_given_again_it_trains_nothing_and_after_an_edit_anew(table, folder):
    again = in_folder(folder, "adambias", "run", "table.yaml", "--no-track")
    assert again.returncode == 0
    assert "running" not in again.stderr, "nothing was left to train"
    mine = folder / "mine.py"
    text = mine.read_text(encoding="utf-8")
    mine.write_text(text.replace("width=16", "width=17"), encoding="utf-8")
    try:
        plan = in_folder(folder, "adambias", "plan", "--params", "table.yaml")
    finally:
        mine.write_text(text, encoding="utf-8")
    row = next(line for line in plan.stdout.splitlines() if line.strip().startswith("width"))
    assert row.split()[1:6] == ["9", "0", "0", "0", "9"], "its code is part of what is trained"
    said = "trials are to be trained anew: since they finished, the code of"
    assert f"9 {said} model and the code of measures has changed" in plan.stdout
    assert (
        f"9 {said} rule and the code of model and the code of measures has changed" in plan.stdout
    )


def test_an_option_that_is_not_taken_is_refused_before_anything_is_trained(table, folder):
    text = (folder / "table.yaml").read_text(encoding="utf-8")
    (folder / "bad.yaml").write_text(text.replace("model_options.width", "model_options.wdith"))
    done = in_folder(folder, "adambias", "run", "bad.yaml")
    assert done.returncode == 1
    line = "error: model_options.wdith = 4: mine:net takes no such option, must be one of width"
    assert done.stderr.strip() == f"{line} (did you mean width?)"


def test_the_switch_of_a_pipeline_is_no_experiment(folder):
    done = in_folder(ROOT, "adambias", "run", "params.yaml")
    assert done.returncode == 1
    assert done.stderr.startswith("error: FILE = 'params.yaml': is the switch of the pipeline")


@pytest.mark.soak  # 39 trials
def test_a_transformer_on_text_with_three_rules(folder):
    """The page's experiment, with fewer steps."""
    text = (folder / "text.yaml").read_text(encoding="utf-8")
    (folder / "text.yaml").write_text(text.replace("epochs: 100", "epochs: 50"), encoding="utf-8")
    done = in_folder(folder, "adambias", "run", "text.yaml", "--no-track")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("39 done, 0 diverged")
    index = json.loads((folder / "text/figures/figures.json").read_text(encoding="utf-8"))
    names = {row["name"]: row for row in index}
    assert {"fig4", "regime_map", "loss_curves"} <= names.keys()
    assert names["fig4"]["missing"] is None
    trials = pd.read_parquet(folder / "text/tables/trials.parquet")
    assert set(trials["rule"]) == {"adam", "lion", "muon"}
    assert (trials["final_train_loss"] < trials["start_train_loss"]).all()
    adam = trials[(trials["grid"] == "beta2") & (trials["rule"] == "adam")]
    assert adam["progress_log10_excess"].notna().all()
    claims = json.loads((folder / "text/tables/claims.json").read_text(encoding="utf-8"))
    (norm,) = (claim for claim in claims if claim["key"] == "fig4_norm")
    assert norm["verdict"] in ("inconclusive", "not testable"), "three seeds decide nothing"


def test_the_script(folder):
    done = in_folder(folder, sys.executable, "sweep.py")
    assert done.returncode == 0, done.stderr
    assert "model_options.width" in done.stdout
    assert int(done.stdout.split()[-1]) >= 180


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_from_top_to_bottom(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.delenv("ADAMBIAS_STORE", raising=False)
    monkeypatch.delenv("ADAMBIAS_DATA", raising=False)
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells), "kept without outputs"
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    if path.stem == "quickstart":
        assert len(pictures) == 3
    assert (tmp_path / "runs").is_dir()
