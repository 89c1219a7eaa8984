"""The UI over the smoke pipeline: what it serves, and what a person sees in a real browser."""

from __future__ import annotations

import os
import shutil
import time
import urllib.request

import matplotlib.image
import pytest
from made_ledgers import needed, runs_of, tracker_of, view_of
from processes import SECONDS

from adambias.config import load_params
from adambias.core.provenance import git_state
from adambias.ledger.ledger import Ledger
from adambias.ledger.plan import make_plan
from adambias.tracking.mlflow.tracker import MlflowTracker

pytestmark = pytest.mark.timeout(900)  # The first to need the pipeline waits for it.
CHROMIUM = shutil.which("chromium")
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
LOGARITHMIC = "document.querySelector('.js-plotly-plot')?.layout?.yaxis?.type === 'log'"
"""Whether the first chart is drawn over powers of ten."""
NAMES = """() => [...document.querySelectorAll('a')]
    .filter(a => a.innerText.includes('seed'))
    .sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)
    .map(a => a.innerText)"""
"""The trials' names from top to bottom: the table moves rows without changing their order."""
SECTION = "experiment-view-compare-runs-section-header"
"""The heading of a section of charts, with their number."""
DRAWN = """values => [...document.querySelectorAll('.js-plotly-plot')].some(plot =>
    plot.querySelector('.scatterlayer path.js-line')
    && JSON.stringify(plot.data?.[0]?.y) === JSON.stringify(values))"""
"""Whether some chart draws a line through these values, and no others."""


def get(address: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=SECONDS) as answer:
        return answer.read()


def test_the_server_serves_the_artifacts_of_a_moved_folder(browsed, ui):
    assert ui.lines[1] == f"MLflow is at {ui.address} (Ctrl-C ends it)"
    assert any("adambias/smoke/beta2" in line and ui.address in line for line in ui.lines)
    for key, shown in view_of(browsed.uri, "adambias/smoke/beta2").items():
        run_id = shown.run.info.run_id
        served = get(f"{ui.address}/get-artifact?path=history.parquet&run_uuid={run_id}")
        assert served == (browsed.root / "runs" / key / "history.parquet").read_bytes()


def test_runs_name_the_commit_that_the_sweep_ran_from(browsed):
    state = git_state(browsed.root)
    assert state["dirty"] is False
    runs = [shown.run for shown in view_of(browsed.uri, "adambias/smoke/beta2").values()]
    for run in [*runs, *runs_of(browsed.uri, "adambias/smoke/beta2", "sweep")]:
        assert run.data.tags["mlflow.source.git.commit"] == state["commit"]
        assert run.data.tags["git_dirty"] == "no"


def test_a_sync_through_the_server_finds_everything_there(browsed, ui, monkeypatch, capfd):
    """The same runs by HTTP: what the sweeps wrote to the file is not written again."""
    monkeypatch.chdir(browsed.root)
    params = load_params()
    ledger = Ledger.open(params.store)
    plan = make_plan(params, params.scale.grids, ledger)
    summary = MlflowTracker(params, ui.address).sync(ledger, plan.grids)
    wanted = sum(map(len, plan.grids.values()))
    assert (summary.runs, summary.created, summary.points) == (wanted, 0, 0)
    assert len(runs_of(browsed.uri, "adambias/smoke/analysis", "analysis")) == 1
    again = tracker_of(browsed.root / "runs", ui.address, again=params.scale.grids["beta2"])
    summary = again.sync(ledger, {"again": plan.grids["beta2"][:1]})
    assert summary.created == 1
    assert "View run" not in capfd.readouterr().out
    (shown,) = view_of(browsed.uri, "adambias/laptop/again").values()
    folder = shown.run.info.artifact_uri.removeprefix("mlflow-artifacts:/")
    assert (browsed.root / "mlartifacts" / folder / "log.txt").exists()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        needed("chromium is absent")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser, ui):
    """A tab of its own, which knows nothing of those before it."""
    tab = browser.new_page(viewport={"width": 1900, "height": 1000})
    tab.set_default_timeout(1000 * SECONDS)
    yield tab
    tab.close()


@pytest.fixture
def trials(browsed):
    return view_of(browsed.uri, "adambias/smoke/beta2").values()


def picture(page, name: str) -> None:
    """Keep a picture for a person to look at, where ``ADAMBIAS_SCREENSHOTS`` names a folder."""
    folder = os.environ.get("ADAMBIAS_SCREENSHOTS")
    if folder:
        time.sleep(2)
        page.screenshot(path=f"{folder}/{name}.png")


def sections(page) -> list[str]:
    """Return the names of the sections of charts from top to bottom."""
    page.get_by_test_id(SECTION).filter(has_text="Model metrics").wait_for()
    found = page.get_by_test_id(SECTION).all_inner_texts()
    return [text.partition("(")[0].strip() for text in found]


@pytest.mark.browser
def test_a_person_browses_a_sweep_and_its_trials(ui, page, trials):
    page.goto(f"{ui.address}/#/experiments")
    page.get_by_role("link", name="adambias/smoke/beta2").first.wait_for()
    picture(page, "experiments")

    (experiment,) = {shown.run.info.experiment_id for shown in trials}
    page.goto(f"{ui.address}/#/experiments/{experiment}/runs?workflowType=machine_learning")
    parent = page.get_by_role("row").filter(has_text="Sweep beta2 (smoke)")
    parent.wait_for()
    assert page.evaluate(NAMES) == []
    parent.get_by_role("button").first.click()  # unfolds the children
    page.get_by_text("beta2 0.9 seed 0").first.wait_for()
    assert sorted(page.evaluate(NAMES)) == sorted(s.run.info.run_name for s in trials)
    picture(page, "children")

    page.get_by_role("button", name="Sort").first.click()
    page.get_by_placeholder("Search").last.fill("peak_perturbed")
    page.get_by_test_id("sort-select-peak_perturbed_one_norm").click()
    peaks = {s.run.info.run_name: s.run.data.metrics["peak_perturbed_one_norm"] for s in trials}
    falling = sorted(peaks, key=peaks.__getitem__, reverse=True)
    page.wait_for_function(
        f"names => JSON.stringify(({NAMES})()) === JSON.stringify(names)", arg=falling
    )
    picture(page, "sorted")

    page.get_by_role("link", name=falling[0]).click()
    page.get_by_text("Parent run").first.wait_for()
    picture(page, "trial")
    page.get_by_role("tab", name="Model metrics").click()
    assert sections(page) == ["norm", "training", "Model metrics"]
    picture(page, "curves")
    page.get_by_placeholder("Search metric charts").fill("/perturbed_one_norm$")
    (shown,) = (trial for trial in trials if trial.run.info.run_name == falling[0])
    recorded = {step: value for name, step, value in shown.points if name == "perturbed_one_norm"}
    page.wait_for_function(DRAWN, arg=[recorded[epoch] for epoch in range(8)])
    picture(page, "curve")


@pytest.mark.browser
def test_a_person_sees_figure_4_in_the_analysis(browsed, ui, page):
    (run,) = runs_of(browsed.uri, "adambias/smoke/analysis", "analysis")
    table = f"{ui.address}/#/experiments/{run.info.experiment_id}/runs"
    page.goto(f"{table}?workflowType=machine_learning")
    page.get_by_role("link", name=run.info.run_name).click()
    page.get_by_text("Raising beta2 raises the perturbed one-norm").first.wait_for()
    picture(page, "analysis")
    page.get_by_text("Show more").click()
    picture(page, "verdicts")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Sweep beta2 (smoke)").click()
    sweep = opened.value
    sweep.get_by_role("heading", name="Sweep beta2 (smoke)").wait_for(timeout=1000 * SECONDS)
    sweep.get_by_text("dvc repro sweep@beta2").wait_for()
    picture(sweep, "sweep")
    assert "workflowType=machine_learning" in sweep.url
    assert not sweep.get_by_text("Evaluation runs").is_visible(), "a page of language models"

    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("figures", exact=True).click()
    page.get_by_text("fig4.png", exact=True).click()
    height, width = matplotlib.image.imread(browsed.root / "figures" / "fig4.png").shape[:2]
    page.wait_for_function(
        "size => [...document.images].some("
        "i => i.naturalWidth === size[0] && i.naturalHeight === size[1])",
        arg=[width, height],
    )
    picture(page, "figure")


@pytest.mark.browser
def test_the_printed_address_opens_the_table_with_its_columns(ui, page):
    (line,) = [line for line in ui.lines if "adambias/smoke/beta2" in line]
    page.goto(line.split()[-1])
    page.get_by_text("beta2 0.99 seed 1").first.wait_for()
    for column in ("beta2", "seed", "peak_perturbed_one_norm", "best_test_accuracy", "regime"):
        page.get_by_role("columnheader", name=column).first.wait_for()
    picture(page, "columns")
    assert not page.get_by_text("is invalid").is_visible()
    page.goto(f"{line.split()[-1]}&compareRunsMode=CHART")
    assert sections(page) == ["norm", "training", "Model metrics"]
    page.wait_for_function(LOGARITHMIC)
    picture(page, "charts")
    with page.context.expect_page() as opened:
        above = page.get_by_role("paragraph")  # the table has a link, too, where it ends
        above.get_by_role("link", name="Sweep beta2 (smoke)").click()
    sweep = opened.value
    sweep.set_default_timeout(1000 * SECONDS)
    with sweep.context.expect_page() as opened:
        sweep.get_by_role("link", name="figure", exact=True).click()
    figure = opened.value
    figure.wait_for_function(
        "[...document.images].some(i => i.naturalWidth > 300)",
        timeout=1000 * SECONDS,
    )
    picture(figure, "linked_figure")
