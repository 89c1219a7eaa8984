"""The UI's command, the run of an analysis, and what Git says of both."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import psutil
import pytest
from made_ledgers import (
    free_port,
    grid_of,
    jobs_of,
    made_ledger,
    runs_of,
    tracker_of,
    ui_command,
    view_of,
)
from processes import IN_THE_BACKGROUND, SECONDS, all_end

from adambias.cli import ui
from adambias.core import no_telemetry as telemetry
from adambias.core.provenance import git_state
from adambias.tracking.mlflow.tracker import MlflowTracker

CLAIMS = [
    {"key": "fig4_norm", "sentence": "The norm | rises.", "source": "figure 4", "found": "rises"},
    {"key": "fig4_accuracy", "sentence": "It falls.", "source": "figure 4", "found": "falls"},
    {"key": "theorem_modified", "sentence": "O(h²).", "source": "theorem 3.1", "found": "order 2"},
]
VERDICTS = {"fig4_norm": "agrees", "fig4_accuracy": "inconclusive", "theorem_modified": "agrees"}
METRICS = {
    "scale": "laptop",
    "trials": {"total": 6},
    "claims": {
        "fig4_norm": {"value": 0.97, "found": "rises"},
        "fig4_accuracy": {"value": math.nan},
    },
}


def analyse(root: Path, jobs) -> None:
    """Leave tables, figures and a report as the pipeline does."""
    import matplotlib.figure

    for name in ("results", "figures", "reports"):
        (root / name).mkdir(exist_ok=True)
    rows = [{"trial": j.key, "grid": "beta2", "regime": "oscillation"} for j in jobs]
    pd.DataFrame(rows).to_parquet(root / "results" / "trials.parquet")
    (root / "results" / "metrics.json").write_text(json.dumps(METRICS))
    claims = [
        claim | {"verdict": VERDICTS[claim["key"]], "trained": claim["key"].startswith("fig")}
        for claim in CLAIMS
    ]
    (root / "results" / "claims.json").write_text(json.dumps(claims))
    figure = matplotlib.figure.Figure(figsize=(4, 3), dpi=100)
    figure.subplots().plot([0.9, 0.99], [1, 2])
    figure.savefig(root / "figures" / "fig4.png")
    (root / "reports" / "index.html").write_text("<h1>report</h1>")


@pytest.fixture
def recorded(project, uri) -> SimpleNamespace:
    """A project with a finished sweep and its analysis."""
    grid = grid_of(betas=(0.9, 0.95, 0.99))
    jobs = jobs_of(grid, epochs=20)
    ledger = made_ledger(project / "runs", jobs)
    analyse(project, jobs)
    tracker = tracker_of(project, beta2=grid)
    tracker.sync(ledger, {"beta2": jobs})
    return SimpleNamespace(root=project, jobs=jobs, uri=uri, ledger=ledger, tracker=tracker)


def test_the_analysis_is_a_run_that_is_opened_once(recorded):
    experiment = "adambias/laptop/analysis"
    (run,) = runs_of(recorded.uri, experiment, "analysis")
    (parent,) = runs_of(recorded.uri, "adambias/laptop/beta2", "sweep")
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"trials/total": 6, "claims/fig4_norm/value": 0.97}
    assert run.data.tags["verdict.fig4_norm"] == "agrees"
    assert run.data.tags["sweep.beta2"] == parent.info.run_id
    note = run.data.tags["mlflow.note.content"]
    assert note.startswith(
        "**The paper's claims at scale laptop**, on trained networks: agrees 1, inconclusive 1; "
        "checks of the laws: agrees 1."
    )
    assert "| The norm \\| rises. | figure 4 | rises | agrees |" in note
    assert "| It falls. | figure 4 | unresolved | inconclusive |" in note
    assert f"runs/{parent.info.run_id}" in note
    assert parent.data.tags["analysis_run"] == run.info.run_id
    regimes = {s.tags["regime"] for s in view_of(recorded.uri, "adambias/laptop/beta2").values()}
    assert regimes == {"oscillation"}
    said: list[str] = []
    other_scale = SimpleNamespace(**vars(recorded.tracker.params) | {"name": "paper"})
    MlflowTracker(other_scale).sync(recorded.ledger, {}, said.append)
    assert said == ["analysis: results/ are of scale laptop, left out"]
    same = recorded.tracker.log_analysis("results", "figures", "reports/index.html")
    assert same == run.info.run_id
    assert len(runs_of(recorded.uri, experiment, "analysis")) == 1
    (recorded.root / "reports" / "index.html").write_text("<h1>another report</h1>")
    other = recorded.tracker.log_analysis("results", "figures", "reports/index.html")
    assert other != run.info.run_id
    assert len(runs_of(recorded.uri, experiment, "analysis")) == 2


def test_an_analysis_without_a_server_is_one_line_and_no_failure(project, caplog):
    analyse(project, [])
    away = f"http://127.0.0.1:{free_port()}"
    assert tracker_of(project, away).log_analysis("results", "figures") is None
    (said,) = caplog.messages
    assert said.startswith("the analysis is not in MLflow")
    assert "adambias sync" in said


@pytest.mark.parametrize("words", ["abc", "0", "70000", "-1"])
def test_a_port_that_is_none_is_refused_in_one_line(words, monkeypatch, capsys):
    allowed = "must be a port, 1 to 65535\n"
    assert ui.main([f"--port={words}"]) == 1
    assert capsys.readouterr().err == f"--port = {words!r}: {allowed}"
    monkeypatch.setenv("ADAMBIAS_UI_PORT", words)
    assert ui.main([]) == 1
    assert capsys.readouterr().err == f"ADAMBIAS_UI_PORT = {words!r}: {allowed}"


@pytest.mark.parametrize(("file", "dirty"), [("results/metrics.json", False), ("code.py", True)])
def test_a_tree_is_dirty_by_what_the_pipeline_does_not_write(tmp_path, file, dirty):
    def git(*arguments):
        identity = ("-c", "user.name=tester", "-c", "user.email=tester@localhost")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    assert "not a git repository" in git_state(tmp_path)["unknown"]
    changed = tmp_path / file
    changed.parent.mkdir(exist_ok=True)
    changed.write_text("1")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "first")
    assert git_state(tmp_path)["dirty"] is False
    changed.write_text("2")
    assert git_state(tmp_path)["dirty"] is dirty


def test_a_port_in_use_is_one_line(project):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        process = ui_command(project, port)
        said = process.communicate(timeout=SECONDS)[0].splitlines()
    assert process.returncode == 1
    assert len(said) == 1
    assert f"port {port} on 127.0.0.1" in said[0]
    assert f"ADAMBIAS_UI_PORT={port + 1} make ui" in said[0]


def test_the_ui_ends_with_all_it_started_on_sigterm_from_a_script(project):
    process = ui_command(project, free_port(), *IN_THE_BACKGROUND)
    introduced = []
    while not introduced or not introduced[-1].startswith("Group by"):
        introduced.append(process.stdout.readline())
        assert process.poll() is None
    assert any(line.startswith("No report yet: dvc repro makes") for line in introduced)
    started = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    process.terminate()  # as make and the process group of both do

    said = process.communicate(timeout=SECONDS)[0]
    assert (process.returncode, said.strip()) == (0, "the MLflow server is stopped")
    assert started
    assert all_end(started)


def test_the_reports_are_named_by_addresses_to_open(tmp_path):
    pages = [tmp_path / "reports" / "index.html", tmp_path / "my table" / "report.html"]
    for page in pages:
        page.parent.mkdir()
        page.touch()

    said = ui._reports(tmp_path)

    assert said.endswith(", ".join(page.as_uri() for page in pages))
    assert "my%20table/report.html" in said


def test_a_server_of_the_group_is_only_named(project):
    process = ui_command(project, free_port(), MLFLOW_TRACKING_URI="https://mlflow.example.org")
    said = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 0
    assert said.strip() == "MLFLOW_TRACKING_URI is a server: open https://mlflow.example.org"


def test_telemetry_is_off_unless_the_user_decided(monkeypatch):
    for name in telemetry.OPT_OUTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    telemetry.opt_out()
    found = {name: os.environ[name] for name in telemetry.OPT_OUTS}
    assert found == {**telemetry.OPT_OUTS, "RAY_USAGE_STATS_ENABLED": "1"}
