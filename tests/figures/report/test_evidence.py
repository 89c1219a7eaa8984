"""Evidence from ledger folders alone, without the data, Ray or MLflow."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from adambias.config import load_params
from adambias.core.errors import LedgerError
from adambias.figures.report import evidence

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def trained(smoke_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder whose ledger holds the smoke scale's trials, and nothing of their data."""
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(smoke_project / "scales", folder / "scales")
    shutil.copy(smoke_project / "params.yaml", folder)
    shutil.copytree(smoke_project / "runs", folder / "ledger")
    return folder


def read_tables(page: Path) -> dict[str, pd.DataFrame]:
    """Return the tables of a page in Markdown by their headings."""
    found = {}
    for part in page.read_text(encoding="utf-8").split("# ")[1:]:
        rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line[:1] == "|"]
        found[part.splitlines()[0]] = pd.DataFrame(rows[2:], columns=rows[0])
    return found


def assert_shown(table: pd.DataFrame, claims: list[dict[str, Any]]) -> None:
    """Check that a table shows the claims, and nothing else."""
    for name, field in {
        **{name: name for name in ("sentence", "source", "claimed", "verdict", "reason")},
        **{"claim": "key", "raw verdict": "raw_verdict"},
    }.items():
        assert list(table[name]) == [claim[field] for claim in claims]
    for row, claim in zip(table.to_dict("records"), claims, strict=True):
        name = claim["name"] or claim["decided_by"]
        assert row["decided by"] == f"{name}: {claim['statistic']}"
        assert int(row["n"]) == claim["n"]
        assert row["trials"] == f"{claim['used']} of {claim['planned']}"
        assert row["found"] != claim["found"] or claim["verdict"] in ("agrees", "disagrees")
        if claim["value"] is not None:
            value = float(row["value"].replace("−", "-"))
            assert value == pytest.approx(claim["value"], rel=5e-3)


def test_ledger_folders_alone_give_tables_figures_and_a_report(trained: Path) -> None:
    evidence.run(load_params(trained / "params.yaml"), trained)

    trials = pd.read_parquet(trained / "tables" / "trials.parquet")
    kept = {path.parent.name for path in trained.glob("ledger/*/done.json")}
    assert set(trials["trial"]) == kept
    claims = json.loads((trained / "tables" / "claims.json").read_text())
    of_the_paper = {
        claim["key"].partition("_")[0] for claim in claims if claim["family"] == "paper"
    }
    assert of_the_paper == {"fig4", "fig5", "fig6", "h"}
    project = [claim["key"] for claim in claims if claim["family"] == "project"]
    assert project == ["edge_sweeps", "hill_oscillation", "hill_at_crossing", "beta1_before_edge"]
    drawn = {row["name"] for row in json.loads((trained / "figures/figures.json").read_text())}
    # The smoke scale has too few trials of a seed for norm_accuracy, and too few epochs for hill.
    assert drawn == {"fig4", "fig5", "fig6", "h", "regime_map", "loss_curves", "edge"}
    shown = read_tables(trained / "tables" / "README.md")
    assert set(shown["Trials"]["trial"]) == kept
    assert_shown(shown["Claims"], claims)
    beside = shown["Other readings"].set_index(["claim", "reading"])
    readings = [(c["key"], r) for c in claims for r in c["readings"].values()]
    assert list(beside.index) == [(key, f"{r['name']}: {r['statistic']}") for key, r in readings]
    assert list(beside["verdict"]) == [r["verdict"] for _, r in readings]
    page = (trained / "report.html").read_text()
    assert "smoke scale" in page
    assert "dvc repro evidence@smoke" in page
    assert "the laws themselves" not in page, "no claim of it is judged here"


def test_a_missing_trial_is_named(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "ledger", tmp_path / "ledger")
    gone = next(tmp_path.glob("ledger/*/done.json")).parent
    shutil.rmtree(gone)

    with pytest.raises(LedgerError, match=rf"lacks 1 of .* scale smoke, the first are {gone.name}"):
        evidence.run(load_params(trained / "params.yaml"), tmp_path)
