"""What docs/extending.md shows is what happens: its blocks, put beside a scale, in one pipeline."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from project_folder import ROOT
from ruamel.yaml import YAML

from adambias.analysis import run as analysis
from adambias.config import load_params
from adambias.config.measures import curves_of
from adambias.data.manifest import read_manifest
from adambias.data.preparation import prepare
from adambias.figures import run as figures
from adambias.figures.report import page as report
from adambias.ledger.collect import collect
from adambias.ledger.ledger import Ledger
from adambias.sweep import run as sweep

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
CODE = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
SETTINGS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SMALL = {
    "trial": {"epochs": 4, "eval_every": 2},
    "grids": {"beta2": {"axes": {"seed": [0, 1], "beta2": [0.9, 0.99]}}},
    "figures": {"formats": ["png"]},
}


def merged(below: Any, above: Any) -> Any:
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    return {**below, **{k: merged(below.get(k), v) for k, v in above.items()}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A project that has every block of the page, after its pipeline has run."""
    root = tmp_path_factory.mktemp("extended")
    (root / "scales").mkdir()
    (root / "params.yaml").write_text("scale: smoke\n")
    shutil.copy(ROOT / "scales" / "common.yaml", root / "scales")
    yaml = YAML(typ="safe", pure=True)
    settings = yaml.load((ROOT / "scales" / "smoke.yaml").read_text())
    for text in SETTINGS:
        settings = merged(settings, yaml.load(text))
    with (root / "scales" / "smoke.yaml").open("w") as stream:
        yaml.dump(merged(settings, SMALL), stream)
    for name, text in CODE.items():
        (root / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ADAMBIAS_STORE", "ADAMBIAS_DATA"):
            patch.delenv(name, raising=False)
        patch.syspath_prepend(str(root))
        yield run_pipeline(root)
        for name in CODE:
            sys.modules.pop(name.removesuffix(".py"), None)


def run_pipeline(root: Path) -> SimpleNamespace:
    params = load_params(root / "params.yaml")
    for name, spec in params.scale.prepare.datasets.items():
        prepare(name, spec, params.data_root)
    plan = sweep.run(params, ["beta2"], executor="inline", track=False)
    results, pictures = root / "results", root / "figures"
    collect(plan, Ledger.open(params.store), results / "sweeps")
    analysis.run(params.scale.analyse, results / "sweeps", results, scale="smoke", law=False)
    figures.run(params.scale.figures, results, pictures)
    page = report.run(
        results, pictures, root / "report.html", scale="smoke", analyse=params.scale.analyse
    )
    return SimpleNamespace(
        root=root,
        params=params,
        plan=plan,
        trials=pd.read_parquet(results / "trials.parquet"),
        histories=pd.read_parquet(results / "histories.parquet"),
        claims={claim["key"]: claim for claim in json.loads((results / "claims.json").read_text())},
        page=page.read_text(),
    )


def test_the_page_has_a_block_for_each_of_the_seven():
    rows = re.findall(r"^\| \[(?:a|an) ([\w ]+)\]\(#", PAGE, re.MULTILINE)

    assert rows == ["network", "optimizer", "dataset", "loss", "measured column", "figure", "claim"]
    assert len(CODE) == 6
    assert len(SETTINGS) == 7


def test_a_network_is_trained_and_its_code_is_part_of_the_key(made):
    assert set(made.trials["model"]) == {"own_network:one_hidden_layer"}
    assert set(made.trials["parameters"]) == {64 * 16 + 16 + 16 * 2 + 2}
    for job in made.plan.jobs:
        assert len(job.sources["model_source"]) == 64


def test_an_optimizer_is_trained_once_where_it_does_not_take_the_axis(made):
    trained = made.trials.groupby("rule")["beta2"].apply(lambda values: sorted(set(values)))

    assert trained.to_dict() == {"adam": [0.9, 0.99], "own_rule:soft_sign": [0.9]}
    assert made.plan.twins == {"own_rule:soft_sign takes no beta2": 2}
    assert (made.trials["final_train_loss"] < 1).all()


def test_a_dataset_is_prepared_with_checksums_and_known_by_its_code(made):
    manifest = read_manifest(made.params.data_root / "stripes")

    assert manifest["classes"] == ["across", "along"]
    assert len(manifest["settings"]["source_code"]) == 64
    assert set(made.trials["dataset"]) == {"stripes"}
    assert set(made.trials["data_digest"]) == {manifest["digest"]}


def test_a_loss_is_what_is_trained_under(made):
    # Two classes at a loss of 1/2 each are what the first, undecided network has.
    first = made.histories[made.histories["epoch"] == 0]["train_loss"]

    assert set(made.trials["loss"]) == {"own_loss:brier"}
    assert first.between(0.3, 0.9).all()


def test_a_measured_column_is_in_histories_tables_and_mlflows_curves(made):
    assert made.histories["zero_gradients"].between(0, 1).all()
    assert (made.trials["final_weight_norm"] > 0).all()
    assert {"zero_gradients", "weight_norm"} < set(curves_of(made.plan.jobs[0].trial))


def test_a_command_finds_the_files_beside_the_parameters(made):
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "ADAMBIAS_STORE")}
    environment["PYTHONPATH"] = str(ROOT / "src")
    script = Path(sys.executable).parent / "adambias"
    shown = subprocess.run(
        [script, "plan", "beta2"], cwd=made.root, env=environment, capture_output=True, text=True
    )

    assert shown.returncode == 0, shown.stderr
    (row,) = (line for line in shown.stdout.splitlines() if line.split()[:1] == ["beta2"])
    assert row.split()[1:4] == ["6", "6", "0"]
    assert "own_rule:soft_sign takes no beta2: 2 trials" in shown.stdout
    assert "no file to be found" not in shown.stdout


def test_a_figure_is_drawn_and_in_the_report(made):
    assert (made.root / "figures" / "weights.png").exists()
    assert 'id="figure-weights"' in made.page
    assert "Weights at the end" in made.page


def test_a_claim_is_judged_and_in_the_report(made):
    claim = made.claims["accuracy_over_beta2"]

    assert claim["verdict"] in ("agrees", "disagrees", "inconclusive")
    assert claim["n"] == 2
    assert 'id="claim-accuracy_over_beta2"' in made.page
    assert "Raising beta2 raises the test accuracy." in made.page
