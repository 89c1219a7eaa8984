import json
from pathlib import Path

import pytest
import torch

import adambias as ab
from adambias.config import SEMANTICS_VERSION
from adambias.config.measures import COLUMNS
from adambias.training.objective import Objective
from adambias.training.precision import PROFILES, profile

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())


@pytest.mark.parametrize("name", list(PROFILES))
def test_a_profile_keeps_parameters_and_sums_at_least_in_fp32(few_digits, quick, name):
    objective = Objective(quick(precision=name), few_digits, torch.device("cpu"))
    with profile(name).arithmetic():
        fit = objective.gradient()
    wide = torch.float64 if name == "fp64" else torch.float32
    assert objective.theta.dtype == objective.flat.grad.dtype == wide
    assert fit.dtype == torch.float64


def test_profiles_differ_by_their_rounding_on_the_first_gradient(few_digits, quick):
    norms = {
        name: next(ab.train(quick(precision=name), few_digits, device="cpu")).one_norm
        for name in PROFILES
    }
    single = abs(norms["fp32"] / norms["fp64"] - 1)
    brain = abs(norms["bf16"] / norms["fp64"] - 1)
    assert 0 < single < 1e-5 < brain < 0.05
    # The CPU has no TF32.
    assert norms["tf32"] == norms["fp32"]


@pytest.mark.parametrize(("precision", "norm", "loss"), [("fp32", 1e-4, 1e-4), ("bf16", 0.05, 0.1)])
def test_fifty_epochs_end_where_those_in_fp64_do(few_digits, quick, precision, norm, loss):
    """Rounding grows along a training, but stays far below what the decays change."""
    exact, rounded = (
        list(ab.train(quick(precision=name, epochs=50), few_digits, device="cpu"))
        for name in ("fp64", precision)
    )
    assert rounded[-1].train_loss < 0.2 * rounded[0].train_loss
    hills = [max(r.perturbed_one_norm for r in records[12:]) for records in (exact, rounded)]
    assert hills[1] == pytest.approx(hills[0], rel=norm)
    assert rounded[-1].train_loss == pytest.approx(exact[-1].train_loss, rel=loss)


def test_the_process_keeps_its_own_settings():
    kept = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    for name in PROFILES:
        with profile(name).arithmetic():
            assert torch.backends.cuda.matmul.allow_tf32 == (name == "tf32")
            assert torch.backends.cudnn.allow_tf32 == (name == "tf32")
            assert torch.backends.cudnn.deterministic
        assert kept == (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
        assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(("precision", "tolerance"), [("fp64", 1e-6), ("fp32", 2e-2)])
def test_twenty_epochs_on_digits_are_the_golden_ones(digits, precision, tolerance):
    """If this fails, a trial computes something else: raise SEMANTICS_VERSION and pin anew."""
    trial = ab.Trial(**GOLDEN["trial"] | {"precision": precision})
    records = list(ab.train(trial, digits, device="cpu"))
    assert GOLDEN["semantics"] == SEMANTICS_VERSION
    assert digits.digest == GOLDEN["data"]
    for record, row in zip(records, GOLDEN["records"], strict=True):
        for name, value in zip(GOLDEN["columns"], row, strict=True):
            found = getattr(record, name)
            if value is None or name == "epoch":
                assert found == value
            else:
                slack = 0.01 if name.endswith("accuracy") and precision == "fp32" else 1e-9
                assert found == pytest.approx(value, rel=tolerance, abs=slack), (record.epoch, name)
    assert set(GOLDEN["columns"]) == set(COLUMNS) - {"seconds"}
