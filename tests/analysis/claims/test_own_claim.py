"""A claim of one's own, given in a scale file, is judged and shown like the paper's."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import synthetic

from adambias.analysis import run as analysis
from adambias.config import Analyse, load_params
from adambias.core.errors import ConfigError
from adambias.figures.report import page as report

ROOT = Path(__file__).parents[3]
OWN = """
  claims:
    small_h:
      sentence: With a small beta1 the norm rises with beta2.
      source: a note of mine
      grids: [regimes]
      axis: beta2
      statistic: peak
      where: beta1 < 0.95 and h == 1e-3
      figure: regime_map
    loss:
      sentence: A larger beta1 ends at a lower loss.
      grids: [beta1]
      axis: beta1
      statistic: change
      of: final_train_loss
      side: -1
      effect: 0.01
      directions: [higher, lower]
"""


def scale_with(folder: Path, claims: str) -> Path:
    """Return the params.yaml of a copy of the laptop scale with claims of one's own."""
    (folder / "scales").mkdir()
    text = (ROOT / "scales" / "laptop.yaml").read_text(encoding="utf-8")
    shared = "\nanalyse:\n"
    assert text.count(shared) == 1
    text = text.replace(shared, f"\nanalyse:{claims}")
    (folder / "scales" / "laptop.yaml").write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "scales" / "common.yaml", folder / "scales")
    (folder / "params.yaml").write_text("scale: laptop\n", encoding="utf-8")
    return folder / "params.yaml"


def settings_with(folder: Path, claims: str) -> Analyse:
    """Return those claims with the rule that the made-up results were judged by."""
    own = load_params(scale_with(folder, claims)).scale.analyse.claims
    return dataclasses.replace(synthetic.SETTINGS, claims=own)


def test_it_is_judged_after_the_papers_and_linked_to_its_figure(results, pictures, tmp_path):
    settings = settings_with(tmp_path, OWN)
    metrics = analysis.run(settings, results / "sweeps", tmp_path, scale="made-up")
    claims = {row["key"]: row for row in json.loads((tmp_path / "claims.json").read_text())}

    assert list(claims)[-2:] == ["small_h", "loss"]
    mine, loss = claims["small_h"], claims["loss"]
    assert mine["source"] == "a note of mine"
    assert (mine["claimed"], mine["planned"], mine["verdict"]) == ("rises", 9, "inconclusive")
    assert mine["reason"] == "1 usable of at least 5 seeds"
    assert (loss["claimed"], loss["n"]) == ("lower", 8)
    assert loss["statistic"] == "change of final_train_loss across the grid"
    assert metrics["claims"]["loss"]["verdict"] == loss["verdict"]

    page = report.run(tmp_path, pictures, tmp_path / "r.html", scale="made-up", analyse=settings)
    text = page.read_text(encoding="utf-8")
    assert "With a small beta1 the norm rises with beta2." in text
    assert '<a href="#figure-regime_map">a note of mine</a>' in text


def test_the_papers_claims_are_the_same_beside_it(results, tmp_path):
    settings = settings_with(tmp_path, OWN)
    analysis.run(settings, results / "sweeps", tmp_path, scale="made-up")
    papers = json.loads((results / "claims.json").read_text())

    assert json.loads((tmp_path / "claims.json").read_text())[: len(papers)] == papers


def test_an_unknown_grid_is_named(tmp_path):
    path = scale_with(tmp_path, OWN.replace("grids: [beta1]", "grids: [beta3]"))
    with pytest.raises(ConfigError, match=r"analyse\.claims\.loss\.grids = 'beta3': must be one"):
        load_params(path)


def claim(**changes):
    base = {"sentence": "It rises.", "grids": ["beta1"], "axis": "beta1", "statistic": "peak"}
    return Analyse(claims={"mine": {**base, **changes}})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"statistic": "change", "of": "final_loss", "effect": 0.1},
            r"analyse\.claims\.mine\.of = 'final_loss': must be a column of numbers: ",
        ),
        (
            {"statistic": "not_there:number"},
            r"analyse\.claims\.mine\.statistic = 'not_there:number': cannot be imported",
        ),
    ],
)
def test_what_only_the_tables_can_tell_is_one_line_too(results, tmp_path, changes, said):
    with pytest.raises(ConfigError, match=said):
        analysis.run(claim(**changes), results / "sweeps", tmp_path, scale="made-up")


def test_a_claim_of_several_grids_compares_within_each(results, tmp_path):
    both = claim(grids=["beta1", "hills_beta1"], side=-1)
    metrics = analysis.run(both, results / "sweeps", tmp_path, scale="made-up")

    found = metrics["claims"]["mine"]
    assert (found["used"], found["planned"], found["verdict"]) == (56, 56, "agrees")


def test_a_statistic_of_ones_own_is_a_function(results, tmp_path, monkeypatch):
    (tmp_path / "my_statistics.py").write_text(
        "from adambias.analysis.claims.trainings import over_seeds\n"
        "from adambias.analysis.trends import mean_over_seeds\n"
        "def spikes(findings, claim):\n"
        "    per_seed = findings.usable(claim).groupby('seed')['spikes'].mean() + 1\n"
        "    found = mean_over_seeds(per_seed, findings.settings.level)\n"
        "    return over_seeds(findings, claim, found, statistic='spikes, and one')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    mine = claim(statistic="my_statistics:spikes", directions=["some", "none"])
    analysis.run(mine, results / "sweeps", tmp_path, scale="made-up")
    last = json.loads((tmp_path / "claims.json").read_text())[-1]

    assert (last["statistic"], last["value"], last["claimed"]) == ("spikes, and one", 1.0, "some")
