"""Options of factories as parts of a trial and as axes of a grid."""

from __future__ import annotations

import pytest

from adambias.config import Grid, Trial, naming
from adambias.config.claims import ClaimSpec
from adambias.config.trial import gather, is_field, is_option, spread
from adambias.core.errors import ConfigError

BASE = {"h": 1e-3, "epochs": 3}


def expanded(**grid):
    made = Grid(**grid)
    made.check(BASE)
    return list(made.expand(BASE))


def test_an_option_is_an_axis_beside_the_options_that_all_share():
    trials = expanded(
        base={"model": "mlp", "norm": "none", "model_options": {"depth": 3}},
        axes={"model_options.width": [8, 16], "seed": [0, 1]},
    )
    assert [(t.model_options["width"], t.seed) for t in trials] == [
        (8, 0),
        (8, 1),
        (16, 0),
        (16, 1),
    ]
    assert {t.model_options["depth"] for t in trials} == {3}


def test_whole_sets_of_options_are_an_axis_too():
    trials = expanded(axes={"rule_options": [{"nesterov": True}, {}]}, base={"rule": "muon"})
    assert [t.identity().get("rule_options") for t in trials] == [{"nesterov": True}, None]


def test_combinations_are_left_out_by_an_option():
    trials = expanded(
        base={"model": "mlp", "norm": "none"},
        axes={"model_options.width": [8, 16], "beta1": [0.5, 0.9]},
        exclude=[{"model_options.width": 8, "beta1": 0.5}],
    )
    assert [(t.model_options["width"], t.beta1) for t in trials] == [(8, 0.9), (16, 0.5), (16, 0.9)]


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (
            {"axes": {"modell_options.width": [1]}},
            r"^axes.modell_options.width = \(1,\): unknown key",
        ),
        ({"axes": {"h.width": [1]}}, r"^axes.h.width"),
        ({"axes": {"measures.k": [1]}}, r"^axes.measures.k"),
        (
            {"axes": {"model_options.width": [float("nan")]}},
            r"^axes.model_options.width = nan: must be true or false, a finite number",
        ),
        (
            {"axes": {"seed": [0]}, "base": {"rule_options": {"x": object}}},
            r"^base.rule_options.x = .*: must be true or false",
        ),
    ],
)
def test_errors_name_the_place(grid, words):
    with pytest.raises(ConfigError, match=words):
        expanded(**grid)


def test_a_later_layer_of_options_replaces_an_earlier_one():
    """As any field: the grid's own count more than the scale's."""
    scale = {**BASE, "rule": "muon", "rule_options.nesterov": True}
    grid = Grid(base={"rule_options": {"nesterov": False}}, axes={"seed": [0]})
    (trial,) = grid.expand(scale)
    assert trial.rule_options == {"nesterov": False}
    beside = Grid(base={"rule_options.iterations": 3}, axes={"seed": [0]})
    (trial,) = beside.expand(scale)
    assert trial.rule_options == {"nesterov": True, "iterations": 3}
    last = Grid(base={"rule_options.iterations": 3}, trials=[{"rule_options": {"iterations": 4}}])
    (trial,) = last.expand(scale)
    assert trial.rule_options == {"iterations": 4}


def test_a_section_that_is_none_is_refused_beside_an_axis():
    with pytest.raises(ConfigError, match=r"^base.rule_options = 5: must be a section"):
        expanded(base={"rule_options": 5}, axes={"rule_options.nesterov": [True]})


def test_a_measure_that_is_a_section_of_its_name_alone_is_that_name():
    named = Trial(**BASE, measures=[{"name": "sharpness"}, {"name": "weight_norm", "every": 2}])
    assert named == Trial(**BASE, measures=["sharpness", {"name": "weight_norm", "every": 2}])


def test_names_and_places_of_options():
    assert is_option("rule_options.nesterov")
    assert not is_option("rule_options.")
    assert not is_option("data_options.x")
    assert is_field("beta1")
    flat = {"h": 1e-3, "model_options.width": 3, "model_options.depth": 1}
    assert gather(flat) == {"h": 1e-3, "model_options": {"width": 3, "depth": 1}}
    assert spread(gather(flat)) == flat


def test_trials_are_named_by_the_options_in_which_they_differ():
    trials = [
        Trial(**BASE, model="mlp", norm="none", model_options={"width": width}) for width in (8, 16)
    ]
    assert naming.swept(trials) == ["model_options.width"]
    told = naming.telling(trials[0], naming.swept(trials))
    assert told[-1] == "model_options.width"
    assert naming.words(trials[0].flat(), ["beta1", told[-1]]) == ["beta1 0.9", "width 8"]
    assert naming.in_order(["seed", "rule_options.b", "beta1"]) == [
        "beta1",
        "seed",
        "rule_options.b",
    ]


def test_a_claim_may_be_along_an_option():
    claim = ClaimSpec(
        source="docs", sentence="Wider is smaller.", grids=("mine",), axis="model_options.width",
        statistic="progress", side=-1, where="model_options.depth == 2",
    )  # fmt: skip
    assert claim.axis == "model_options.width"
    with pytest.raises(ConfigError, match=r"^axis = 'width'"):
        ClaimSpec(source="d", sentence="s", grids=("mine",), axis="width", statistic="progress")
