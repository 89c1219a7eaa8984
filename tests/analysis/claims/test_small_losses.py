import pandas as pd
import pytest

from adambias.analysis.claims.findings import Findings
from adambias.analysis.claims.judge import judge
from adambias.config import Analyse
from adambias.config.claims import CLAIMS

ON_THE_LAW = {key: spec for key, spec in CLAIMS.items() if "small_losses" in spec.about.function}
NONE = pd.DataFrame()


def orders(*pairs, rule="adam"):
    """Return orders as at fixed decays and along growing memory; all laws have the second."""
    rows = [
        {"rule": rule, "leading_order": a, "modified": b, "resummed": b, "moment": b}
        for a, b in pairs
    ]
    return {"orders": rows, "growing_memory": rows}


def cell(size, beta1, beta2, penalised, cosine=1.0):
    norms = ("one_norm", "squared_two_norm")
    return {
        "epsilon": size,
        "beta1": beta1,
        "beta2": beta2,
        "penalised": penalised,
        "candidates": {norm: {"cosine": cosine, "coefficient": cosine} for norm in norms},
    }


def arrivals(panel, varied, factors, **fixed):
    values = [0.1, 0.5, 0.9, 0.95][: len(factors)]
    base = {"beta1": 0.5, "beta2": 0.7, "h": 0.01, **fixed}
    return [
        {"panel": panel, **base, varied: value, "norm_factor": factor}
        for value, factor in zip(values, factors, strict=True)
    ]


def verdicts(bilinear=None, table1=None):
    findings = Findings(
        trials=NONE, curves=NONE, bilinear=bilinear, table1=table1, settings=Analyse()
    )
    return {claim.key: claim.verdict for claim in judge(findings, ON_THE_LAW)}


def test_without_tables_everything_is_inconclusive():
    found = verdicts()
    assert len(found) == 12
    assert set(found.values()) == {"inconclusive"}


@pytest.mark.parametrize(
    ("pairs", "modified", "leading"),
    [
        ([(1.0, 2.0), (0.9, 1.9)], "agrees", "agrees"),
        ([(1.0, 2.6)], "agrees", "agrees"),
        ([(2.0, 1.0), (2.1, 1.1)], "disagrees", "disagrees"),
        ([(1.0, 2.0), (1.0, 1.95), (0.5, 1.4)], "inconclusive", "inconclusive"),
    ],
)
def test_orders(pairs, modified, leading):
    found = verdicts(orders(*pairs))
    assert (found["theorem_modified"], found["theorem_leading"]) == (modified, leading)
    laws = ("order_resummed", "order_moment", "order_growing_memory")
    assert [found[key] for key in laws] == [modified] * 3


def test_each_claim_on_orders_reads_its_own_flow():
    row = {"rule": "adam", "leading_order": 1.0, "modified": 2.0, "resummed": 1.0, "moment": 2.0}
    growing = {"rule": "adam", "leading_order": 0.0, "modified": 0.1, "moment": 1.2}
    batches = row | {"moment": None}
    found = verdicts({"orders": [row, batches], "growing_memory": [growing]})
    assert (found["theorem_leading"], found["theorem_modified"]) == ("agrees", "agrees")
    assert found["order_resummed"] == "disagrees"
    assert found["order_moment"] == "agrees"
    assert found["order_growing_memory"] == "disagrees"


def test_results_of_before_the_laws_decide_nothing_of_them():
    row = {"rule": "adam", "leading_order": 1.0, "modified": 2.0}
    found = verdicts({"orders": [row]})
    assert found["theorem_modified"] == "agrees"
    assert found["order_moment"] == found["order_growing_memory"] == "inconclusive"


def test_the_theorem_is_about_adam_and_rmsprop_only():
    assert verdicts(orders((1.0, 2.0), rule="lion"))["theorem_modified"] == "inconclusive"


@pytest.mark.parametrize(
    ("cells", "key", "verdict"),
    [
        ([("small", 0.9, 0.5, "one_norm")], "table1_small_above", "agrees"),
        ([("small", 0.9, 0.5, "-one_norm")], "table1_small_above", "disagrees"),
        ([("small", 0.5, 0.9, "-one_norm")], "table1_small_below", "agrees"),
        ([("large", 0.5, 0.9, "squared_two_norm")] * 2, "table1_large", "agrees"),
        (
            [("large", 0.5, 0.9, "squared_two_norm"), ("large", 0.9, 0.5, "one_norm")],
            "table1_large",
            "inconclusive",
        ),
    ],
)
def test_table1(cells, key, verdict):
    assert verdicts(table1=[cell(*each) for each in cells])[key] == verdict


FALLING, RISING = [3.0, 2.5, 2.0, 1.5], [1.5, 2.0, 2.5, 3.0]
MIXED = [1.0, 3.0, 2.0, 1.5]


@pytest.mark.parametrize(
    ("rows", "key", "verdict"),
    [
        (arrivals("a", "beta1", FALLING), "fig2_beta1", "agrees"),
        (arrivals("a", "beta1", RISING), "fig2_beta1", "disagrees"),
        (arrivals("a", "beta2", RISING), "fig2_beta2", "agrees"),
        (arrivals("a", "h", FALLING, beta1=0.9), "fig3_above", "agrees"),
        (arrivals("a", "h", FALLING), "fig3_below", "disagrees"),
        (arrivals("a", "h", [1.0, 3.0, 2.0, 1.5]), "fig3_below", "inconclusive"),
        (arrivals("a", "h", RISING[:2]), "fig3_below", "inconclusive"),
    ],
)
def test_fans(rows, key, verdict):
    assert verdicts({"arrivals": rows})[key] == verdict


def evidence(*, right: bool):
    """Everything as the paper says, or everything the other way round."""
    order = (1.0, 2.0) if right else (2.0, 1.0)
    norm, other = ("one_norm", "-one_norm") if right else ("-one_norm", "one_norm")
    down, up = (FALLING, RISING) if right else (RISING, FALLING)
    rows = [
        *arrivals("a", "beta1", down),
        *arrivals("b", "beta2", up),
        *arrivals("c", "h", down, beta1=0.9),
        *arrivals("d", "h", up),
    ]
    cells = [
        cell("small", 0.9, 0.5, norm),
        cell("small", 0.5, 0.9, other),
        cell("large", 0.5, 0.9, "squared_two_norm" if right else "one_norm"),
    ]
    return {**orders(order), "arrivals": rows}, cells


@pytest.mark.parametrize(("right", "verdict"), [(True, "agrees"), (False, "disagrees")])
def test_every_claim_can_come_out_either_way(right, verdict):
    found = verdicts(*evidence(right=right))
    assert len(found) == 12
    assert set(found.values()) == {verdict}


def test_every_claim_on_mixed_evidence_is_inconclusive():
    (fans, cells), (_, others) = evidence(right=True), evidence(right=False)
    mixed = [
        {**row, "norm_factor": factor}
        for row, factor in zip(fans["arrivals"], MIXED * 4, strict=True)
    ]
    found = verdicts(
        {**orders((1.0, 2.0), (1.0, 1.9), (0.3, 1.0)), "arrivals": mixed}, cells + others
    )
    assert set(found.values()) == {"inconclusive"}
