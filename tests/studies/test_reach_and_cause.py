"""The stages ``reach`` and ``cause``: the laws on networks, against single runs."""

import json
import math

import pandas as pd
import pytest
import torch

from adambias.config import Cause, Grid, Reach, Trial
from adambias.core.errors import ConfigError
from adambias.core.flows import LAWS
from adambias.law import rules
from adambias.studies import cause, reach
from adambias.training.following import follow
from adambias.training.trainer import Training

WITHIN = dict.fromkeys(LAWS, 0.5)
SMOOTH = {"activation": "gelu", "norm": "none", "precision": "fp64"}


def settings(**changes):
    base = {**SMOOTH, "h": 1e-4, "epsilon": 1e-4}
    grid = Grid(base=base, axes={"beta2": [0.5, 0.9]})
    values = {"dataset": "digits", "images": 20, "steps": 6, "grids": {"small": grid}}
    return Reach(**{**values, "within": WITHIN, **changes})


def test_the_change_in_a_step_is_that_of_a_quadratic():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    matrix, theta = root @ root.T, torch.randn(6, generator=generator, dtype=torch.float64)

    def loss(x):
        return x @ matrix @ x / 2

    g = matrix @ theta
    found = reach.change_in_a_step(rules.gradient_descent(), loss, theta, 0.01)
    assert found == pytest.approx(float(0.01 * (matrix @ g).abs().sum() / g.abs().sum()))
    adam = rules.adam(epsilon=0.1)
    found = reach.change_in_a_step(adam, loss, theta, 0.01)
    change = matrix @ (g / (g * g + 0.1).sqrt())
    assert found == pytest.approx(float(0.01 * change.abs().sum() / g.abs().sum()))
    assert reach.change_in_a_step(adam, loss, theta * math.inf, 0.01) == math.inf


def test_a_row_is_what_following_shows(few_digits):
    trial = Trial(**SMOOTH, h=1e-3, epsilon=1e-6, beta2=0.9, epochs=7, eval_every=7)
    data = few_digits.first(20)
    row = reach.measure(trial, data, 6)
    last = {each["law"]: each for each in list(follow(trial, data, tuple(reach.FLOW_NAMES)))[-1]}
    floor = 77_082 * 1e-3

    def log_norm(law):
        return math.log10(last[law]["perturbed_one_norm"] - floor)

    before = log_norm("leading_order")
    assert row["memory"] == pytest.approx(log_norm("optimizer") - before, abs=1e-8)
    for law in LAWS:
        assert row[f"{law}_memory"] == pytest.approx(log_norm(law) - before, abs=1e-8)
        assert row[f"{law}_distance"] == pytest.approx(last[law]["distance"], rel=1e-6)
    assert row["travelled"] == pytest.approx(last["optimizer"]["travelled"])


def test_where_the_gradient_hardly_changes_every_law_predicts_memorys_effect(few_digits, tmp_path):
    found = reach.run(settings(), {"digits": few_digits}, tmp_path)
    for row in found["rows"]:
        assert row["moment_number"] == row["r"]
        assert row["modified_number"] == row["resummed_number"] == row["r"] * row["age"]
        assert row["modified_number"] < 0.1
        for law in LAWS:
            assert row[f"{law}_memory"] == pytest.approx(row["memory"], rel=0.1)
        assert row["first_order_cosine"] > 0.99
        assert row["moment_distance"] < row["modified_distance"]
        assert row["modified_distance"] < 0.2 * row["leading_order_distance"]
    written = json.loads((tmp_path / "reach.json").read_text())
    assert [row["beta2"] for row in written["rows"]] == [0.5, 0.9]
    assert written["settings"]["within"] == WITHIN


def test_a_flow_that_blows_up_leaves_a_hole(few_digits, tmp_path):
    grid = Grid(base={"norm": "none", "h": 1e8}, axes={"beta1": [0.9]})
    found = reach.run(settings(grids={"wild": grid}, steps=12), {"digits": few_digits}, tmp_path)
    (row,) = found["rows"]
    assert math.isnan(row["modified_memory"])
    (row,) = json.loads((tmp_path / "reach.json").read_text())["rows"]
    assert row["modified_memory"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"within": {"modified": 1.0, "resummed": 1.0}}, "within.moment: is needed"),
        ({"within": WITHIN | {"momentum": 1.0}}, "within.momentum: must be one of"),
        ({"within": WITHIN | {"moment": 0.0}}, "within.moment = 0.0: must be > 0"),
        ({"steps": 1}, "steps = 1: must be >= 2"),
        (
            {"grids": {"mine": Grid(axes={"h": [1e-3, -1.0]})}},
            r"grids.mine.axes.h = -1.0: must be > 0",
        ),
    ],
)
def test_wrong_settings_name_the_key(change, said):
    with pytest.raises(ConfigError, match=said):
        settings(**change)


@pytest.fixture(scope="module")
def caused(few_digits, tmp_path_factory):
    base = {**SMOOTH, "h": 2e-4, "epsilon": 1e-4}
    grid = Grid(base=base, axes={"seed": [0, 1], "beta1": [0.5, 0.9]})
    chosen = Cause(
        dataset="digits", images=20, test_images=30, steps=8, late_fraction=0.25,
        grids={"inside": grid},
    )  # fmt: skip
    return cause.run(chosen, {"digits": few_digits}, tmp_path_factory.mktemp("cause"))


def test_every_training_is_made_with_every_memory(caused):
    table = pd.DataFrame(caused["rows"])
    assert len(table) == 2 * 2 * 6
    assert table.groupby(["seed", "beta1"])["memory"].nunique().eq(6).all()
    forgotten = table[table["memory"] == "forgotten"]
    assert forgotten.groupby("seed")["log10_excess"].nunique().eq(1).all(), "it knows no decay"


def test_a_row_is_the_late_part_of_the_training(caused, few_digits):
    row = next(r for r in caused["rows"] if r["memory"] == "cancelled_resummed")
    trial = Trial(
        **SMOOTH, h=2e-4, epsilon=1e-4, beta1=0.5, epochs=9, eval_every=9, memory=row["memory"]
    )
    history = Training(trial, few_digits.first(20, 30))
    late = list(history)[-2:]
    norms = [record.perturbed_one_norm - history.parameters * 1e-2 for record in late]
    mean = sum(map(math.log10, norms)) / 2
    assert row["log10_excess"] == pytest.approx(mean)
    assert row["test_accuracy"] == late[-1].test_accuracy


def test_within_reach_the_term_is_the_cause(caused):
    table = pd.DataFrame(caused["rows"])
    effect = table.pivot(index=["seed", "beta1"], columns="memory", values="effect")
    norm = table.pivot(index=["seed", "beta1"], columns="memory", values="log10_excess")
    pd.testing.assert_frame_equal(effect, norm.sub(norm["forgotten"], axis=0))
    whole = table.groupby(["seed", "beta1"])["memory_effect"].agg(["min", "max"])
    assert (whole["min"] == whole["max"]).all()
    assert whole["max"].tolist() == effect["optimizer"].tolist()
    strong = effect["optimizer"].abs() > 1e-6
    assert strong.any()
    for law in ("first_order", "resummed"):
        brought = effect[f"law_{law}"] / effect["optimizer"]
        left = effect[f"cancelled_{law}"] / effect["optimizer"]
        assert brought[strong].between(0.8, 1.2).all()
        assert left[strong].abs().max() < 0.2
