"""The UI as people meet it: started by its command, seen by a real browser, in a moved folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
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
    needed,
    params_of,
    runs_of,
    view_of,
)

from adambias import telemetry, tracking

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
METRICS = {
    "trends": {"beta2": {"norm": {"slope": 1.5, "interval": [1.2, 1.8], "n": 2}}},
    "claims": [
        {"id": "norm rises with beta2", "verdict": "agrees", "estimate": 0.97},
        {"id": "accuracy falls with beta2", "verdict": "inconclusive", "estimate": float("nan")},
    ],
}


def analyse(root: Path, jobs) -> None:
    """Leave tables, figures and a report as the pipeline does."""
    import matplotlib.figure

    for name in ("results", "figures", "reports"):
        (root / name).mkdir(exist_ok=True)
    rows = [{"trial": j.key, "grid": "beta2", "regime": "oscillation"} for j in jobs]
    pd.DataFrame(rows).to_parquet(root / "results" / "trials.parquet")
    (root / "results" / "metrics.json").write_text(json.dumps(METRICS))
    figure = matplotlib.figure.Figure(figsize=(4, 3), dpi=100)
    figure.subplots().plot([0.9, 0.99], [1, 2])
    figure.savefig(root / "figures" / "fig4.png")
    figure.savefig(root / "figures" / "fig4.svg")
    (root / "reports" / "index.html").write_text("<h1>report</h1>")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory, empty_database) -> SimpleNamespace:
    """A project with a finished sweep and its analysis, moved to another place afterwards."""
    first = tmp_path_factory.mktemp("first") / "project"
    first.mkdir()
    shutil.copy(empty_database, first / "mlflow.db")
    grid = grid_of(betas=(0.9, 0.95, 0.99))
    jobs = jobs_of(grid, epochs=60)
    ledger = made_ledger(first / "runs", jobs)
    analyse(first, jobs)
    params = params_of(first, beta2=grid)
    tracking.sync(ledger, params, {"beta2": jobs}, uri=f"sqlite:///{first}/mlflow.db")
    root = tmp_path_factory.mktemp("moved") / "a project é"
    shutil.move(first, root)
    return SimpleNamespace(root=root, jobs=jobs, uri=f"sqlite:///{root}/mlflow.db")


def command(root: Path, port: int, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    return subprocess.Popen(
        [sys.executable, "-m", "adambias.ui", "--port", str(port)],
        cwd=root,
        env={**environment, **variables, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="session")
def ui(recorded):
    """The running UI: its address and what it printed; Ctrl-C ends it and all it started."""
    port = free_port()
    process = command(recorded.root, port)
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if line.startswith("Group by"):
            break
    yield SimpleNamespace(address=f"http://127.0.0.1:{port}", lines=lines, port=port)
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[0]
    assert (process.returncode, rest.strip()) == (0, "the MLflow server is stopped")
    assert started
    assert not psutil.wait_procs(started, timeout=30)[1]


def get(address: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=60) as answer:
        return answer.read()


def test_the_analysis_is_a_run_that_is_opened_once(recorded, monkeypatch):
    monkeypatch.chdir(recorded.root)
    experiment = "adambias/laptop/analysis"
    (run,) = runs_of(recorded.uri, experiment, "analysis")
    (parent,) = runs_of(recorded.uri, "adambias/laptop/beta2", "sweep")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["trends/beta2/norm/slope"] == 1.5
    assert run.data.metrics["trends/beta2/norm/interval/1"] == 1.8
    assert "claims/accuracy falls with beta2/estimate" not in run.data.metrics
    assert run.data.tags["verdict.claims/norm rises with beta2"] == "agrees"
    assert run.data.tags["sweep.beta2"] == parent.info.run_id
    assert parent.info.run_id in run.data.tags["mlflow.note.content"]
    assert parent.data.tags["analysis_run"] == run.info.run_id
    regimes = {s.tags["regime"] for s in view_of(recorded.uri, "adambias/laptop/beta2").values()}
    assert regimes == {"oscillation"}
    arguments = {"scale": "laptop", "uri": recorded.uri}
    same = tracking.log_analysis("results", "figures", "reports/index.html", **arguments)
    assert same == run.info.run_id
    assert len(runs_of(recorded.uri, experiment, "analysis")) == 1
    (recorded.root / "reports" / "index.html").write_text("<h1>another report</h1>")
    other = tracking.log_analysis("results", "figures", "reports/index.html", **arguments)
    assert other != run.info.run_id
    assert len(runs_of(recorded.uri, experiment, "analysis")) == 2


def test_an_analysis_without_a_server_is_one_line_and_no_failure(recorded, monkeypatch, caplog):
    monkeypatch.chdir(recorded.root)
    away = f"http://127.0.0.1:{free_port()}"
    assert tracking.log_analysis("results", "figures", scale="laptop", uri=away) is None
    (said,) = caplog.messages
    assert said.startswith("the analysis is not in MLflow")
    assert "adambias sync" in said


def test_the_server_serves_the_artifacts_of_a_moved_folder(recorded, ui):
    assert ui.lines[1] == f"MLflow is at {ui.address} (Ctrl-C ends it)"
    assert any("adambias/laptop/beta2" in line and ui.address in line for line in ui.lines)
    shown = view_of(recorded.uri, "adambias/laptop/beta2")[recorded.jobs[0].key]
    run_id = shown.run.info.run_id
    served = get(f"{ui.address}/get-artifact?path=history.parquet&run_uuid={run_id}")
    history = recorded.root / "runs" / recorded.jobs[0].key / "history.parquet"
    assert served == history.read_bytes()


def test_a_sync_through_the_server_finds_everything_there(recorded, ui, monkeypatch):
    """The same runs by HTTP: what was written to the file directly is not written again."""
    from adambias.ledger import Ledger

    monkeypatch.chdir(recorded.root)
    grid = grid_of(betas=(0.9, 0.95, 0.99))
    params = params_of(recorded.root / "runs", beta2=grid, beta1=grid)
    ledger = Ledger.open(recorded.root / "runs")
    grids = {"beta2": recorded.jobs}
    summary = tracking.sync(ledger, params, grids, uri=ui.address)
    assert (summary.runs, summary.created, summary.points) == (6, 0, 0)
    summary = tracking.sync(ledger, params, {"beta1": recorded.jobs[:1]}, uri=ui.address)
    assert summary.created == 1
    (shown,) = view_of(recorded.uri, "adambias/laptop/beta1").values()
    folder = shown.run.info.artifact_uri.removeprefix("mlflow-artifacts:/")
    assert (recorded.root / "mlartifacts" / folder / "log.txt").exists()


def test_a_port_in_use_is_one_line(recorded):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        process = command(recorded.root, port)
        said = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 1
    assert len(said) == 1
    assert f"port {port} on 127.0.0.1" in said[0]
    assert f"ADAMBIAS_UI_PORT={port + 1} make ui" in said[0]


def test_a_server_of_the_group_is_only_named(recorded):
    process = command(recorded.root, free_port(), MLFLOW_TRACKING_URI="https://mlflow.example.org")
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert said.strip() == "MLFLOW_TRACKING_URI is a server: open https://mlflow.example.org"


def test_telemetry_is_off_unless_the_user_decided(monkeypatch):
    for name in telemetry.OPT_OUTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    telemetry.opt_out()
    found = {name: os.environ[name] for name in telemetry.OPT_OUTS}
    assert found == {**telemetry.OPT_OUTS, "RAY_USAGE_STATS_ENABLED": "1"}


@pytest.fixture
def page(ui):
    if not Path(CHROMIUM).exists():
        needed(f"{CHROMIUM} is absent")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        tab = browser.new_page(viewport={"width": 1900, "height": 1000})
        tab.set_default_timeout(60_000)
        yield tab
        browser.close()


def picture(page, name: str) -> None:
    """Keep a picture for a person to look at, where ``ADAMBIAS_SCREENSHOTS`` names a folder."""
    folder = os.environ.get("ADAMBIAS_SCREENSHOTS")
    if folder:
        time.sleep(2)
        page.screenshot(path=f"{folder}/{name}.png")


NAMES = """() => [...document.querySelectorAll('a')]
    .filter(a => a.innerText.includes('seed'))
    .sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)
    .map(a => a.innerText)"""
"""The trials' names from top to bottom: the table moves rows without changing their order."""


@pytest.mark.browser
def test_a_person_browses_sweep_trials_and_analysis(recorded, ui, page):
    page.goto(ui.address)
    page.get_by_role("link", name="adambias/laptop/beta2").first.wait_for()
    picture(page, "home")

    experiment = view_of(recorded.uri, "adambias/laptop/beta2")[recorded.jobs[0].key].run.info
    table = f"{ui.address}/#/experiments/{experiment.experiment_id}/runs"
    page.goto(f"{table}?workflowType=machine_learning")
    parent = page.get_by_role("row").filter(has_text="Sweep beta2 (laptop)")
    parent.wait_for()
    assert page.evaluate(NAMES) == []
    parent.get_by_role("button").first.click()  # unfolds the children
    page.get_by_text("beta2 0.9 seed 0").first.wait_for()
    assert len(page.evaluate(NAMES)) == len(recorded.jobs)
    picture(page, "children")

    page.get_by_role("button", name="Sort").first.click()
    page.get_by_placeholder("Search").last.fill("peak_perturbed")
    page.get_by_test_id("sort-select-peak_perturbed_one_norm").click()
    peaks = {
        shown.run.info.run_name: shown.run.data.metrics["peak_perturbed_one_norm"]
        for shown in view_of(recorded.uri, "adambias/laptop/beta2").values()
    }
    falling = sorted(peaks, key=peaks.__getitem__, reverse=True)
    page.wait_for_function(
        f"names => JSON.stringify(({NAMES})()) === JSON.stringify(names)", arg=falling
    )
    picture(page, "sorted")

    page.get_by_role("link", name=falling[0]).click()
    page.get_by_role("tab", name="Model metrics").click()
    page.get_by_placeholder("Search metric charts").fill("^perturbed_one_norm$")
    curve = page.locator(".js-plotly-plot .scatterlayer path.js-line").first
    curve.wait_for()
    assert curve.get_attribute("d").count("L") >= 50
    picture(page, "curve")


@pytest.mark.browser
def test_a_person_sees_figure_4_in_the_analysis(recorded, ui, page):
    run = runs_of(recorded.uri, "adambias/laptop/analysis", "analysis")[-1].info
    page.goto(f"{ui.address}/#/experiments/{run.experiment_id}/runs?workflowType=machine_learning")
    page.get_by_role("link", name=run.run_name).click()
    page.get_by_text("norm rises with beta2").first.wait_for()
    picture(page, "analysis")
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("figures", exact=True).click()
    page.get_by_text("fig4.png", exact=True).click()
    page.wait_for_function(
        "() => [...document.images].some(i => i.naturalWidth === 400 && i.naturalHeight === 300)"
    )
    picture(page, "figure")
    page.get_by_role("tab", name="Overview").click()
    page.get_by_text("Show more").click()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Sweep beta2 (laptop)").click()
    opened.value.get_by_role("heading", name="Sweep beta2 (laptop)").wait_for(timeout=60_000)
    picture(opened.value, "sweep")


@pytest.mark.browser
def test_the_printed_address_opens_the_table_with_its_columns(recorded, ui, page):
    (line,) = [line for line in ui.lines if "adambias/laptop/beta2" in line]
    page.goto(line.split()[-1])
    page.get_by_text("beta2 0.99 seed 1").first.wait_for()
    for column in ("beta2", "seed", "peak_perturbed_one_norm", "best_test_accuracy", "regime"):
        page.get_by_role("columnheader", name=column).first.wait_for()
    picture(page, "columns")
    assert not page.get_by_text("is invalid").is_visible()
