"""The edge of stability and the hill's make-up: what is read off histories, and the verdicts."""

import math

import at_the_edge
import numpy as np
import pandas as pd
import pytest

from adambias.analysis.claims.findings import Findings
from adambias.analysis.claims.judge import judge
from adambias.analysis.edge import crossing, settled
from adambias.analysis.hills import find_rise
from adambias.analysis.summaries import summarise
from adambias.config import Analyse, Verdict
from adambias.config.claims import CLAIMS, family

PROJECT = {key: spec for key, spec in CLAIMS.items() if spec.about.function.startswith(
    "adambias.analysis.claims.edge")}  # fmt: skip
TRIAL = {
    **{"epochs": 81, "epsilon": at_the_edge.EPSILON, "parameters": at_the_edge.PARAMETERS},
    "status": "finished",
}


def judged(of=lambda seed, beta1: {}, stability=None, **ways):
    trials, curves = at_the_edge.tables(of, **ways)
    findings = Findings(
        trials=trials, curves=curves, stability=stability, settings=Analyse(verdict=Verdict())
    )
    return {claim.key: claim for claim in judge(findings, PROJECT)}


def jitter(seed):
    """A little that differs between seeds, so that intervals have a width."""
    return 0.002 * (seed % 5)


def test_they_are_a_family_of_their_own():
    assert [family(key) for key in PROJECT] == ["project"] * 6
    assert family("fig4_norm") == "paper"
    assert family("mine") == "own"


def test_the_crossing_is_the_first_measured_epoch_at_the_threshold():
    epochs, edge = np.arange(8), [0.5, np.nan, 0.9, np.nan, 1.2, np.nan, 0.8, 1.0]
    assert crossing(epochs, edge) == 4
    assert settled(epochs, edge) == 1.0
    assert math.isnan(crossing(epochs, [0.5] * 8))
    assert math.isnan(settled(epochs, [0.5] * 8))
    assert crossing(epochs, [3.0, *edge[1:]]) == 4, "before a step nothing can have grown"


def test_a_rise_begins_where_the_norm_leaves_its_lowest():
    curve = np.concatenate([np.linspace(200, 10, 20), np.full(20, 10.0), np.linspace(11, 300, 40)])
    row = find_rise(curve, 0.1)
    assert 37 <= row <= 41
    assert find_rise(np.linspace(200, 10, 80), 0.1) is None
    assert find_rise(np.concatenate([curve, [np.nan]]), 0.1) is None


def test_a_history_says_where_it_crosses_and_what_is_oscillation():
    found = summarise(TRIAL, at_the_edge.history(crosses=40, begins=30, share=0.8), Analyse())
    assert found["crossing_epoch"] == 40
    assert found["edge_settled"] == 1
    assert found["onset_epoch"] == pytest.approx(30, abs=2)
    assert found["oscillation_share"] == pytest.approx(0.8, abs=0.05)
    parts = found["progress_log10_smooth"] + found["progress_log10_oscillation"]
    # The smooth path has every fifth epoch, so that levels hold other epochs.
    assert parts == pytest.approx(found["progress_log10_excess"], abs=0.1)


def test_what_was_not_measured_is_missing():
    columns = at_the_edge.history()
    for name in ("edge", "smooth_norm_16", "smooth_loss_16"):
        del columns[name]
    found = summarise(TRIAL, columns, Analyse())
    assert found["onset_epoch"] == pytest.approx(30, abs=2)
    for name in ("crossing_epoch", "edge_settled", "oscillation_share", "progress_log10_smooth"):
        assert math.isnan(found[name])


def test_a_curvature_that_stays_at_its_threshold_agrees():
    found = judged(lambda seed, beta1: {"top": 1.0 + jitter(seed)})
    claim = found["edge_sweeps"]
    assert claim.verdict == "agrees"
    assert claim.reading.estimate.used == 10
    assert judged(lambda seed, beta1: {"top": 1.3 + jitter(seed)})["edge_sweeps"].verdict == (
        "disagrees"
    )
    wide = judged(lambda seed, beta1: {"top": 1.0 + 0.1 * (seed % 5)})
    assert wide["edge_sweeps"].verdict == "inconclusive"
    few = judged(lambda seed, beta1: {"top": 1.0 + jitter(seed)}, seeds=range(20, 23))
    assert few["edge_sweeps"].reason == "3 usable of at least 5 seeds"


def test_trainings_that_never_come_to_it_make_the_claims_untestable():
    found = judged(lambda seed, beta1: {"crosses": 30 if beta1 < 0.9 else None})
    for key in ("edge_sweeps", "hill_at_crossing"):
        assert found[key].verdict == "not testable"
        assert found[key].reason.startswith("5 of 10 trials never come to the threshold")


@pytest.mark.parametrize(
    ("share", "verdict"), [(0.9, "agrees"), (0.2, "disagrees"), (0.55, "inconclusive")]
)
def test_the_share_of_the_oscillation_decides(share, verdict):
    found = judged(lambda seed, beta1: {"share": share + jitter(seed)})["hill_oscillation"]
    assert found.verdict == verdict
    assert found.reading.estimate.value == pytest.approx(share, abs=0.06)
    assert "Student" in found.reading.interval


@pytest.mark.parametrize(
    ("later", "verdict"), [(3, "agrees"), (35, "disagrees"), (-25, "disagrees")]
)
def test_the_rise_is_at_the_crossing_or_not(later, verdict):
    def of(seed, beta1):
        crosses = 30 + seed % 3
        return {"crosses": crosses, "begins": crosses + later, "every": 1}

    found = judged(of)["hill_at_crossing"]
    assert found.verdict == verdict
    assert found.reading.estimate.value == pytest.approx(later, abs=2)


def test_crossing_and_rise_are_ranked_within_seeds():
    def of(order):
        places = dict(zip((0.5, 0.8, 0.9), order, strict=True))
        return lambda seed, beta1: {
            "crosses": round(20 + 20 * beta1) + seed % 5, "begins": places[beta1], "every": 1,
        }  # fmt: skip

    for order, rank in (((20, 30, 40), 1), ((40, 30, 20), -1)):
        found = judged(of(order), beta1=(0.5, 0.8, 0.9))["hill_at_crossing"]
        assert found.beside["onset_rank"].estimate.value == pytest.approx(rank)


def test_before_and_after_the_edge_are_told_apart():
    """Before anyone crosses the norms are alike; afterwards they fall with beta1."""

    def of(seed, beta1):
        begins = 40 if beta1 < 0.9 else 1000
        return {"crosses": 40 if beta1 < 0.9 else None, "begins": begins, "every": 1,
                "level": 50 + jitter(seed)}  # fmt: skip

    claim = judged(of)["beta1_before_edge"]
    assert claim.verdict == "inconclusive"
    assert claim.reading.estimate.value == pytest.approx(0, abs=1e-6)
    assert claim.beside["after_edge"].estimate.value == pytest.approx(-1, abs=0.15)

    def lower(seed, beta1):
        return of(seed, beta1) | {"level": (50 if beta1 < 0.9 else 40) + jitter(seed)}

    assert judged(lower)["beta1_before_edge"].verdict == "agrees"


@pytest.mark.parametrize(
    ("top", "verdict"),
    [
        (lambda rule, seed: 1.02 + jitter(seed), "agrees"),
        (lambda rule, seed: (1.02 if rule == "adam" else 1.3) + jitter(seed), "disagrees"),
        (lambda rule, seed: (1.02 if rule == "adam" else 0.4) + jitter(seed), "not testable"),
        (lambda rule, seed: 1.0 + 0.1 * seed, "inconclusive"),
    ],
)
def test_every_setting_must_keep_the_threshold(top, verdict):
    assert judged(stability=at_the_edge.stability(top))["edge_rules"].verdict == verdict


def test_a_scale_without_such_trainings_has_no_claims_on_them():
    findings = Findings(
        trials=pd.DataFrame(columns=[*at_the_edge.tables(lambda s, b: {}, seeds=[20])[0]]),
        curves=pd.DataFrame(columns=["trial", "grid"]), settings=Analyse(),
    )  # fmt: skip
    found = {claim.key: (claim.verdict, claim.reason) for claim in judge(findings, PROJECT)}
    missing = ("inconclusive", "stability.json is missing")
    assert found == {"edge_rules": missing, "edge_entropy": missing}


def test_each_loss_has_a_claim_of_its_own():
    made = at_the_edge.stability(
        lambda rule, seed: 1.02 + jitter(seed), losses=("mse", "cross_entropy")
    )
    for row in made["rows"]:
        if row["loss"] == "cross_entropy":
            row["edge"] = [1.3 * each for each in row["edge"]]
    claims = judged(stability=made)
    assert claims["edge_rules"].verdict == "agrees"
    assert claims["edge_entropy"].verdict == "disagrees"
    only = judged(stability=at_the_edge.stability())["edge_entropy"]
    assert only.reason == "stability.json has no training with loss == cross_entropy"
