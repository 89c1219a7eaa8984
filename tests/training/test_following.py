"""Flows followed on the trainer's networks."""

from __future__ import annotations

import math

import pytest
import torch

import adambias as ab
from adambias.core.errors import ConfigError
from adambias.core.flows import FLOW_NAMES
from adambias.law.integration import integrate, iterate
from adambias.law.losses import network
from adambias.law.rules import adam
from adambias.training.following import COLUMNS, OPTIMIZER, NetworkLoss, follow
from adambias.training.objective import Objective

LAWS = tuple(FLOW_NAMES)
SMOOTH = {"activation": "gelu", "norm": "none", "precision": "fp64", "beta2": 0.9, "epsilon": 1e-6}


def table(trial, data, laws=LAWS, **options):
    """The rows of each law, by its name."""
    found: dict[str, list[dict]] = {}
    for rows in follow(trial, data, laws, device="cpu", **options):
        for row in rows:
            found.setdefault(row["law"], []).append(row)
    return found


def test_the_optimizer_beside_the_flows_is_the_trainers(few_digits, quick):
    trial = quick(measures=["weight_norm"])
    records = list(ab.train(trial, few_digits, device="cpu"))
    rows = table(trial, few_digits, ("moment",))[OPTIMIZER]
    for name in ("train_loss", "train_accuracy", "one_norm", "max_norm", "test_loss"):
        expected = [getattr(record, name) for record in records]
        evaluated = [row[name] for row in rows]
        assert evaluated == pytest.approx(
            [math.nan if value is None else value for value in expected], rel=1e-4, nan_ok=True
        )
    assert [row["t"] for row in rows] == [n * trial.h for n in range(trial.epochs)]
    assert all(row["distance"] == 0 for row in rows)


def test_a_networks_loss_has_the_derivatives_of_the_plain_one(few_digits, quick):
    trial = quick(**SMOOTH, ghost_batch_size=16)
    objective = Objective(trial, few_digits, torch.device("cpu"))
    loss, theta = NetworkLoss(objective), objective.theta.detach().clone()
    images = few_digits.standardised(few_digits.train_inputs, torch.float64)
    twin = Objective(trial, few_digits, torch.device("cpu"))
    plain = network(twin.model, images, few_digits.train_targets)
    named = ab.losses.parameter_vector(twin.model)

    def as_vector(vector):  # the order of the trainer's vector, and each memory format, differ
        return torch.cat([part.reshape(-1) for part in objective.flat.split(vector).values()])

    g, product = loss.slope(theta)
    along = torch.randn(theta.shape, dtype=theta.dtype, generator=torch.Generator().manual_seed(0))
    expected, twice = torch.func.vjp(torch.func.grad(plain), named)
    torch.testing.assert_close(loss(theta), plain(named), rtol=1e-12, atol=0)
    torch.testing.assert_close(as_vector(g), expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(
        as_vector(product(along)), twice(as_vector(along))[0], rtol=1e-8, atol=1e-10
    )


def test_a_networks_loss_goes_into_the_law_as_any_loss(few_digits, quick):
    trial = quick(**SMOOTH)
    objective = Objective(trial, few_digits, torch.device("cpu"))
    loss, start = NetworkLoss(objective), objective.theta.detach().clone()
    rule = adam(beta1=trial.beta1, beta2=trial.beta2, epsilon=trial.epsilon)
    rows = table(trial, few_digits)
    paths = {
        OPTIMIZER: iterate(rule, loss, start, trial.h, trial.epochs - 1),
        "resummed": integrate(
            ab.modified_flow(rule, loss, trial.h, memory="resummed"),
            *(start, trial.h, trial.epochs - 1),
        ),
        "moment": integrate(ab.moment_flow(rule, loss, trial.h), start, trial.h, trial.epochs - 1),
    }
    for law, path in paths.items():
        travelled = (path - start).norm(dim=-1).tolist()
        assert [row["travelled"] for row in rows[law]] == pytest.approx(travelled, rel=1e-9)


def test_laws_on_a_smooth_network_are_nearer_than_the_leading_order(few_digits, quick):
    rows = table(quick(**SMOOTH, h=1e-5, epochs=8), few_digits)
    far = {law: rows[law][-1]["distance"] for law in LAWS}
    assert far["modified"] < 0.1 * far["leading_order"]
    assert far["resummed"] < 0.1 * far["leading_order"]
    assert far["moment"] < 0.03 * far["leading_order"]


def test_the_moment_flow_follows_adam_through_relu_and_batchnorm(few_digits, quick):
    rows = table(quick(epochs=20, beta2=0.9), few_digits, ("leading_order", "moment"))
    last = {law: found[-1] for law, found in rows.items()}
    assert last["moment"]["train_loss"] == pytest.approx(last[OPTIMIZER]["train_loss"], rel=0.03)
    assert last["moment"]["distance"] < 0.25 * last["leading_order"]["distance"]


def test_rows_come_at_the_steps_asked_for_with_all_columns(few_digits, quick):
    rows = table(quick(epochs=6), few_digits, ("leading_order",), every=4)
    assert [row["n"] for row in rows["leading_order"]] == [0, 4, 5]
    for row in rows["leading_order"]:
        assert tuple(row) == COLUMNS
    measured = [math.isfinite(row["test_accuracy"]) for row in rows["leading_order"]]
    assert measured == [True, True, True]


def test_a_records_gradient_is_the_first_of_the_step(few_digits, quick, monkeypatch):
    taken = []
    plain = Objective.gradient
    monkeypatch.setattr(Objective, "gradient", lambda self: taken.append(0) or plain(self))
    epochs = 4
    table(quick(epochs=epochs, eval_every=100), few_digits, ("leading_order",))
    # Per step one for the optimizer and four for the flow; the last rows take one each, as do test
    # losses at the first and last step, whose gradients are taken anew.
    assert len(taken) == 5 * (epochs - 1) + 2


def test_a_flow_that_blows_up_has_a_last_row_without_numbers_and_others_go_on(few_digits, quick):
    trial = quick(h=1.0, activation="gelu", norm="none", epochs=8)
    rows = table(trial, few_digits, ("modified", "moment"))
    broken = [row for row in rows["modified"] if math.isnan(row["travelled"])]
    assert len(broken) == 1
    assert broken[0] is rows["modified"][-1]
    assert math.isnan(broken[0]["train_loss"])
    assert broken[0]["n"] < trial.epochs - 1
    assert len(rows[OPTIMIZER]) == trial.epochs


@pytest.mark.parametrize(
    ("fields", "laws", "words"),
    [
        (
            {},
            ("momentum",),
            "laws = 'momentum': must be one of leading_order, modified, res",
        ),
        ({"batch_size": 10}, ("moment",), "batch_size = 10: must be left out"),
        ({"blocks": "shuffled"}, ("moment",), "blocks = 'shuffled': must be 'fixed'"),
        ({"bias_correction": False}, ("moment",), "bias_correction = False: must be true"),
    ],
)
def test_what_no_flow_follows_is_refused(few_digits, quick, fields, laws, words):
    with pytest.raises(ConfigError) as caught:
        list(follow(quick(**fields), few_digits, laws, device="cpu"))
    assert words in str(caught.value)
