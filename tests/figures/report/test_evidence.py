"""Evidence from ledger folders alone, without the data, Ray or MLflow."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

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


def test_ledger_folders_alone_give_tables_figures_and_a_report(trained: Path) -> None:
    evidence.run(load_params(trained / "params.yaml"), trained)

    trials = pd.read_parquet(trained / "tables" / "trials.parquet")
    kept = {path.parent.name for path in trained.glob("ledger/*/done.json")}
    assert set(trials["trial"]) == kept
    claims = json.loads((trained / "tables" / "claims.json").read_text())
    assert {claim["key"].partition("_")[0] for claim in claims} == {"fig4", "fig5", "fig6", "h"}
    drawn = {row["name"] for row in json.loads((trained / "figures/figures.json").read_text())}
    of_trainings = {"fig4", "fig5", "fig6", "h", "regime_map", "loss_curves", "norm_accuracy"}
    assert drawn == of_trainings
    shown = (trained / "tables" / "README.md").read_text()
    assert all(key in shown for key in kept)
    assert all(claim["sentence"] in shown for claim in claims)
    page = (trained / "report.html").read_text()
    assert "smoke scale" in page
    assert "dvc repro evidence@smoke" in page
    assert "the law on small models" not in page, "no claim of it is judged here"


def test_a_missing_trial_is_named(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "ledger", tmp_path / "ledger")
    gone = next(tmp_path.glob("ledger/*/done.json")).parent
    shutil.rmtree(gone)

    with pytest.raises(LedgerError, match=rf"lacks 1 of .* scale smoke, the first are {gone.name}"):
        evidence.run(load_params(trained / "params.yaml"), tmp_path)
