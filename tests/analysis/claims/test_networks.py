"""Verdicts on the reach of the laws and on what their memory term causes."""

import math

import pandas as pd
import pytest

from adambias.analysis.claims.findings import Findings
from adambias.analysis.claims.judge import judge
from adambias.analysis.claims.networks import shares_of_effect, within
from adambias.config import Analyse, Verdict
from adambias.config.claims import CLAIMS

ON_NETWORKS = {key: spec for key, spec in CLAIMS.items() if "networks" in spec.about.function}
EFFECTS = [0.1, -0.2, 0.3, -0.05, 0.04, 0.5]


def judged(reach=None, cause=None):
    settings = Analyse(verdict=Verdict(seeds=3))
    findings = Findings(
        trials=pd.DataFrame(), curves=pd.DataFrame(), reach=reach, cause=cause, settings=settings
    )
    return {claim.key: claim for claim in judge(findings, ON_NETWORKS)}


def reach(predict=lambda effect: effect, r=0.01, age=5.0, effects=EFFECTS):
    rows = [
        {
            **{"modified_number": r * age, "resummed_number": r * age, "moment_number": r},
            "memory": effect,
            **{f"{law}_memory": predict(effect) for law in ("modified", "resummed", "moment")},
        }
        for effect in effects
    ]
    return {
        "settings": {"within": {"modified": 0.5, "resummed": 0.5, "moment": 1.0}},
        "rows": rows,
    }


def verdicts(found, start):
    return [claim.verdict for key, claim in found.items() if key.startswith(start)]


def test_there_are_claims_on_each_law_and_each_place():
    assert [spec.of for spec in ON_NETWORKS.values()] == [
        *("modified", "resummed", "moment"),
        *("inside", "edge", "outside"),
    ]


def test_without_results_nothing_is_decided():
    assert set(verdicts(judged(), "")) == {"inconclusive"}


@pytest.mark.parametrize(
    ("predict", "verdict"),
    [
        (lambda effect: effect, "agrees"),
        (lambda effect: 1.09 * effect, "agrees"),
        (lambda effect: 1.2 * effect, "disagrees"),
        (lambda effect: 0.8 * effect, "disagrees"),
        (lambda effect: -effect, "disagrees"),
        (lambda effect: effect if abs(effect) > 0.045 else -effect, "inconclusive"),
        (lambda effect: None if effect == 0.04 else effect, "disagrees"),
    ],
)
def test_a_law_must_predict_sign_and_size(predict, verdict):
    assert verdicts(judged(reach(predict)), "reach") == [verdict] * 3


def test_the_sign_of_an_effect_that_does_not_count_decides_nothing():
    effects = [*EFFECTS, 0.001]
    found = judged(reach(lambda e: -e if e == 0.001 else e, effects=effects))
    assert verdicts(found, "reach") == ["agrees"] * 3
    assert found["reach_moment"].reading.estimate.n == 7
    assert found["reach_moment"].reading.estimate.low == pytest.approx(1)


def test_few_effects_within_reach_are_not_testable():
    found = judged(reach(effects=EFFECTS[:4]))
    assert verdicts(found, "reach") == ["not testable"] * 3


def test_the_moment_flow_reaches_over_a_step_the_others_over_the_memory():
    content = reach(r=0.2, age=5.0)
    assert len(within(content, "moment")) == len(EFFECTS)
    assert len(within(content, "modified")) == len(within(content, "resummed")) == 0
    found = judged(content)
    assert verdicts(found, "reach") == ["not testable", "not testable", "agrees"]


def cause(left=0.0, brought=1.0, seeds=(10, 11, 12), grid="inside"):
    """Trainings in which the term takes all but ``left`` of the effect and brings ``brought``."""
    rows = []
    for seed in seeds:
        for beta1, effect in ((0.5, 0.1 + 0.01 * seed), (0.9, -0.3)):
            values = {
                "forgotten": 0.0,
                "optimizer": effect,
                **{f"cancelled_{law}": left * effect for law in ("first_order", "resummed")},
                **{f"law_{law}": brought * effect for law in ("first_order", "resummed")},
            }
            rows += [
                {
                    **{"grid": grid, "seed": seed, "beta1": beta1, "beta2": 0.9},
                    **{"memory": memory, "effect": value, "memory_effect": effect},
                }
                for memory, value in values.items()
            ]
    return {"rows": rows}


@pytest.mark.parametrize(
    ("left", "verdict"),
    [(0.0, "agrees"), (0.2, "agrees"), (-0.3, "agrees"), (0.9, "disagrees"), (-2.0, "disagrees")],
)
def test_a_cause_takes_its_effect_along(left, verdict):
    claim = judged(cause=cause(left))["cause_inside"]
    assert claim.reading.estimate.value == pytest.approx(1 - left)
    assert claim.verdict == verdict
    assert claim.beside["restored_resummed"].estimate.value == pytest.approx(1)


def test_shares_that_scatter_over_the_bounds_are_inconclusive():
    content = cause(0.0, seeds=(10, 11))
    content["rows"] += cause(0.9, seeds=(12,))["rows"]
    assert judged(cause=content)["cause_inside"].verdict == "inconclusive"


def test_too_few_seeds_are_inconclusive():
    assert judged(cause=cause(seeds=(10, 11)))["cause_inside"].verdict == "inconclusive"


def test_a_seed_with_a_training_that_diverged_has_no_share():
    content = cause()
    row = next(row for row in content["rows"] if row["memory"] == "cancelled_first_order")
    row["effect"] = None
    shares = shares_of_effect(pd.DataFrame(content["rows"]), "inside", "cancelled_first_order")
    assert math.isnan(shares[10])
    assert shares[11] == pytest.approx(1)
    assert judged(cause=content)["cause_inside"].reading.estimate.n == 2


def test_each_claim_reads_its_own_trainings():
    found = judged(cause=cause(grid="edge"))
    assert found["cause_edge"].verdict == "agrees"
    assert found["cause_inside"].reading.estimate.n == 0
