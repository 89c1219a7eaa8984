"""The records of the claims: what they must hold, and what is refused in one line."""

from __future__ import annotations

import importlib
from dataclasses import fields

import at_the_edge
import pandas as pd
import pytest

from adambias.analysis.claims.findings import Findings
from adambias.analysis.claims.judge import judge
from adambias.config import Analyse, ClaimSpec, Figures
from adambias.config.claims import CLAIMS, EFFECTS, STATISTICS, claims_of
from adambias.config.figures import FIGURES
from adambias.core.errors import ConfigError

TREND = {"sentence": "It rises.", "grids": ["beta2"], "axis": "beta2", "statistic": "peak"}


@pytest.mark.parametrize("key", CLAIMS)
def test_a_claim_of_the_paper_is_shown_by_a_figure_and_decided_by_a_known_effect(key):
    claim = CLAIMS[key]

    assert claim.figure in FIGURES
    assert claim.about.effect in ("", *EFFECTS)
    assert set(claim.grids) <= set(FIGURES[claim.figure].grids)


@pytest.mark.parametrize("name", STATISTICS)
def test_every_statistic_is_a_function_and_needs_fields_of_a_claim(name):
    module, _, function = STATISTICS[name].function.partition(":")

    assert callable(getattr(importlib.import_module(module), function))
    assert set(STATISTICS[name].needs) <= {field.name for field in fields(ClaimSpec)}
    read = {n for claim in CLAIMS.values() for n in (claim.statistic, *claim.readings)}
    assert name in read | {"change"}


def test_the_claims_of_a_figure_have_names_for_its_caption():
    labels = [claim.label for claim in claims_of("fig6").values()]

    assert labels[-1] == "shape"
    assert all(labels)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"statistic": "peek"}, "claims.mine.statistic = 'peek': .*did you mean peak"),
        ({"grids": []}, "claims.mine.grids: is needed by the statistic peak"),
        ({"axis": "model"}, "claims.mine.axis = 'model': must be one of h, beta1"),
        ({"side": 0}, "claims.mine.side = 0: must be one of 1, -1"),
        ({"effect": "norm"}, "claims.mine.effect = 'norm': .* or a number"),
        ({"where": "beta3 > 0.9"}, "claims.mine.where = 'beta3 > 0.9': must compare fields"),
        ({"where": "h < small"}, "claims.mine.where = 'h < small': must compare fields"),
        ({"statistic": "change"}, "claims.mine.of: is needed by the statistic change"),
        ({"statistic": "order", "of": "modified"}, "claims.mine.grids = .*: leave it out"),
        ({"statistic": "growing_order", "of": "modified", "grids": []}, "must be one of moment"),
        ({"statistic": "order", "of": "x", "grids": []}, "claims.mine.of = 'x': must be one of"),
        ({"wher": "h > 1"}, "claims.mine.wher = .*unknown key.*did you mean where"),
    ],
)
def test_a_bad_claim_is_refused_in_one_line(change, said):
    with pytest.raises(ConfigError, match=said) as caught:
        Analyse(claims={"mine": {**TREND, **change}})

    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("key", ["fig4_norm", "a/b", ""])
def test_a_key_is_ones_own_and_can_name_a_metric(key):
    with pytest.raises(ConfigError, match=f"claims.{key}: "):
        Analyse(claims={key: TREND})


@pytest.mark.parametrize("name", ["fig4", "a/b"])
def test_a_figure_of_ones_own_has_a_name_of_its_own(name):
    with pytest.raises(ConfigError, match=f"own.{name}: "):
        Figures(own={name: {"module": "mine"}})


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("", [0, 1, 2]),
        ("beta1 >= beta2", [0, 1]),
        ("beta1 ≥ beta2 and h < 1e-3", [1]),
        ("model == resnet14", [2]),
        ("bias_correction == true", [0, 2]),
    ],
)
def test_where_keeps_the_rows_that_it_is_true_of(where, rows):
    table = pd.DataFrame(
        {
            "beta1": [0.9, 0.9, 0.5],
            "beta2": [0.5, 0.9, 0.9],
            "h": [1e-3, 5e-4, 1e-4],
            "model": ["resnet8", "resnet8", "resnet14"],
            "bias_correction": [True, False, True],
        }
    )

    assert list(ClaimSpec(**TREND, where=where).select(table).index) == rows


def test_a_claim_on_trainings_of_two_kinds_of_devices_says_so():
    trials, curves = at_the_edge.tables(lambda seed, beta1: {})
    two = "; trained on cpu and cuda"
    for devices, said in ((["cpu"], ""), (["cpu", "cuda"], two), (["cpu", "cpu and cuda"], two)):
        mixed = trials.assign(device=[devices[i % len(devices)] for i in range(len(trials))])
        findings = Findings(trials=mixed, curves=curves, settings=Analyse())
        claims = {claim.key: claim.reason for claim in judge(findings)}
        assert claims["hill_oscillation"].endswith(said)
        assert ("trained on" in claims["hill_oscillation"]) is bool(said)
