"""The figures of the edge of stability and of the hill, from made-up trainings."""

import json

import at_the_edge
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from adambias.analysis.claims.findings import Findings
from adambias.analysis.claims.judge import judge
from adambias.config import Analyse, Figures
from adambias.figures import Tables, edge, hill, style
from adambias.figures.tables import Missing

MODULES = {"edge": edge, "hill": hill}


def written(folder, of, **ways):
    """Write what the figures are drawn from."""
    trials, curves = at_the_edge.tables(of, **ways)
    stability = at_the_edge.stability()
    findings = Findings(trials=trials, curves=curves, stability=stability, settings=Analyse())
    rows = [claim.as_row() for claim in judge(findings)]
    trials.to_parquet(folder / "trials.parquet")
    curves.astype({"trial": "category", "grid": "category"}).to_parquet(folder / "curves.parquet")
    (folder / "claims.json").write_text(json.dumps(rows))
    (folder / "stability.json").write_text(json.dumps(stability))
    return Tables(folder, Figures())


@pytest.fixture
def tables(tmp_path):
    return written(tmp_path, lambda seed, beta1: {"crosses": 30 if beta1 < 0.9 else None})


@pytest.fixture
def drawn():
    def draw(module, tables, medium="screen"):
        plt.switch_backend("agg")
        with style.use_style(medium):
            figure = module.draw(tables)
            figure.canvas.draw()
        return figure

    yield draw
    plt.close("all")


@pytest.mark.parametrize("medium", ["paper", "screen", "narrow"])
@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_every_medium_has_its_width_and_no_text_outside(tables, drawn, module, medium):
    figure = drawn(module, tables, medium)
    width, box = figure.get_size_inches()[0], figure.get_tightbbox()
    assert width in (style.MEDIA[medium].column, style.MEDIA[medium].page)
    assert box.x0 > -0.05
    assert box.x1 < width + 0.05


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_trainings_of_another_rule_in_the_grid_are_not_mixed_with_adams(
    tables, drawn, tmp_path, module
):
    def data(figure):
        return [line.get_xydata().tolist() for ax in figure.axes for line in ax.lines]

    alone, words = data(drawn(module, tables)), module.caption(tables)
    trials, curves = (tables.frame(f"{name}.parquet") for name in ("trials", "curves"))
    lion = trials.assign(trial=trials["trial"] + "-lion", rule="lion")
    wilder = curves.astype({"trial": str, "grid": str})
    wilder = wilder.assign(
        trial=wilder["trial"] + "-lion", perturbed_one_norm=wilder["perturbed_one_norm"] * 9
    )
    (tmp_path / "both").mkdir()
    for name in ("claims.json", "stability.json"):
        (tmp_path / "both" / name).write_text((tables.folder / name).read_text())
    pd.concat([trials, lion]).to_parquet(tmp_path / "both" / "trials.parquet")
    whole = pd.concat([curves.astype({"trial": str, "grid": str}), wilder])
    whole.to_parquet(tmp_path / "both" / "curves.parquet")
    both = Tables(tmp_path / "both", Figures())
    assert data(drawn(module, both)) == alone
    assert module.caption(both) != words
    assert "full batch, of adam alone" in module.caption(both)


def test_the_edge_shows_rules_sweeps_and_where_the_norm_begins_to_rise(tables, drawn):
    rules, sweeps, norms = drawn(edge, tables).axes
    assert len([line for line in rules.lines if len(line.get_xdata()) == 4]) == 2
    seeds = [line for line in sweeps.lines if line.get_gid() == "seed"]
    assert len(seeds) == 10
    np.testing.assert_allclose(seeds[0].get_ydata().max(), 1.0)
    marks = {gid: [x for line in norms.lines if line.get_gid() == gid for x in line.get_xdata()]
             for gid in ("crossing_epoch", "onset_epoch")}  # fmt: skip
    assert marks["crossing_epoch"] == [30] * 5
    assert len(marks["onset_epoch"]) == 10


def test_without_the_stage_on_rules_two_panels_are_left(tables, drawn, tmp_path):
    (tmp_path / "stability.json").unlink()
    assert len(drawn(edge, Tables(tmp_path, Figures())).axes) == 2


def test_the_hill_shows_the_norm_and_that_of_the_smooth_path(tables, drawn):
    over_epochs, over_loss = drawn(hill, tables).axes
    heights = {
        gid: max(max(li.get_ydata()) for li in over_epochs.lines if li.get_gid() == gid)
        for gid in ("norm", "smooth")
    }
    assert heights["norm"] == pytest.approx(np.log10(500))
    assert heights["smooth"] == pytest.approx(2.0)
    assert len(over_loss.lines) == 20


def test_captions_have_the_numbers(tables):
    assert "β₁ = 0.8: 5 of 5; β₁ = 0.98: 0 of 5" in edge.caption(tables)
    assert "β₁ = 0.8: 88%; β₁ = 0.98: 88%" in hill.caption(tables)
    assert "0.50 at beta1 0.98" in edge.alt(tables)
    assert "beta1 0.8: 500 and 100" in hill.alt(tables)
    for module in MODULES.values():
        assert module.settings(tables)["beta1"] == "0.8, 0.98"


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_what_was_not_measured_is_missing(module, tmp_path, results):
    with pytest.raises(Missing, match="measured"):
        module.draw(Tables(results, Figures()))
