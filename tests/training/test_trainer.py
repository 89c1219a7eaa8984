import dataclasses
import multiprocessing
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

import adambias as ab
from adambias.config.measures import COLUMNS, CORRECTION
from adambias.core.errors import AdambiasError, ConfigError
from adambias.data.dataset import Dataset
from adambias.law.norms import gradient_norms
from adambias.networks import build as models
from adambias.training.objective import Objective

CPU = torch.device("cpu")


def _values(record):
    """A record without its wall time."""
    return dataclasses.replace(record, seconds=0.0)


def _records(trial, data, **keywords):
    return [_values(r) for r in ab.train(trial, data, device="cpu", **keywords)]


def test_a_training_loads_neither_torchs_compiler_nor_torchvision(tmp_path):
    """Both take longer to import than torch, in every worker and notebook."""
    code = """
import sys, adambias as ab
data = ab.load_dataset("digits", train_size=20, test_size=20)
list(ab.train(ab.Trial(h=1e-3, epochs=2, correction_every=1), data, device="cpu"))
print({"torch", "torch._dynamo", "torchvision", "sympy"} & set(sys.modules))
"""
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert shown.stdout == "{'torch'}\n"


def test_records_are_those_of_a_plain_loop_before_each_step(few_digits, quick):
    """An independent loop: torch's Adam, one pass, BatchNorm in training mode."""
    trial = quick(precision="fp64", epsilon_placement="outside", epsilon=1e-4, epochs=8)
    model = models.build("resnet8", input_shape=(1, 8, 8), outputs=10, seed=0).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.99), eps=1e-4)
    images = few_digits.standardised(few_digits.train_inputs, torch.float64)
    for n, record in enumerate(ab.train(trial, few_digits, device="cpu")):
        logits = model(images)
        loss = functional.cross_entropy(logits, few_digits.train_targets)
        optimizer.zero_grad()
        loss.backward()
        grad = torch.cat([p.grad.flatten() for p in model.parameters()])
        expected = {
            "epoch": n,
            "train_loss": loss.item(),
            "train_accuracy": (logits.argmax(1) == few_digits.train_targets).double().mean().item(),
            "perturbed_one_norm": ab.perturbed_one_norm(grad, 1e-4).item(),
            "one_norm": grad.norm(1).item(),
            "two_norm": grad.norm(2).item(),
            "max_norm": grad.abs().max().item(),
            "mean_abs_grad": grad.abs().mean().item(),
        }
        for name, value in expected.items():
            assert getattr(record, name) == pytest.approx(value, rel=1e-9), (n, name)
        optimizer.step()


def test_norms_follow_their_formulas():
    grad = torch.tensor([3.0, -4.0, 0.0])
    found = gradient_norms(grad, 1e-2).tolist()
    perturbed = sum((g * g + 1e-2) ** 0.5 for g in (3.0, -4.0, 0.0))
    assert found == pytest.approx([perturbed, 7.0, 5.0, 4.0, 7 / 3], rel=1e-6)
    assert ab.perturbed_one_norm(grad, 1e-2).item() == pytest.approx(perturbed, rel=1e-6)
    assert grad.tolist() == [3.0, -4.0, 0.0]


@pytest.mark.parametrize("model", ["resnet8", "paper_cnn"])
def test_accumulated_gradient_is_the_gradient_of_a_single_pass(few_digits, quick, model):
    trial = quick(model=model, norm="none", precision="fp64")
    whole, blocks = (
        Objective(trial.replace(ghost_batch_size=size), few_digits, CPU) for size in (None, 7)
    )
    fit, in_blocks = whole.gradient(), blocks.gradient()
    assert torch.allclose(fit, in_blocks, rtol=0, atol=1e-12)
    difference = (whole.flat.grad - blocks.flat.grad).abs().max()
    assert whole.flat.grad.any()
    assert difference <= 1e-12 * max(1.0, whole.flat.grad.abs().max().item())


def test_ghost_blocks_change_a_batchnorm_network_and_nothing_else(few_digits, quick):
    losses = {
        norm: [
            Objective(quick(norm=norm, ghost_batch_size=size), few_digits, CPU).gradient()[0].item()
            for size in (None, 10)
        ]
        for norm in ("batch", "group")
    }
    assert losses["group"][0] == pytest.approx(losses["group"][1], rel=1e-6)
    assert abs(losses["batch"][0] - losses["batch"][1]) > 1e-4


@pytest.mark.parametrize("size", [None, 12])
def test_exact_statistics_are_those_of_the_whole_training_set(few_digits, quick, size):
    """The stem's output does not depend on blocks: its statistics can be taken at once."""
    objective = Objective(quick(precision="fp64", ghost_batch_size=size), few_digits, CPU)
    objective.gradient()
    images = few_digits.standardised(few_digits.train_inputs, torch.float64)
    features = objective.model.conv1(images)
    layer = objective.model.bn1
    assert torch.allclose(layer.running_mean, features.mean((0, 2, 3)), rtol=0, atol=1e-13)
    variance = features.var((0, 2, 3), correction=0)
    assert torch.allclose(layer.running_var, variance, rtol=1e-11, atol=0)


def test_with_one_block_evaluation_computes_the_function_that_is_trained(digits, quick):
    mirrored = dataclasses.replace(
        digits, test_inputs=digits.train_inputs, test_targets=digits.train_targets
    )
    for record in ab.train(quick(eval_every=1, precision="fp64"), mirrored, device="cpu"):
        assert record.test_loss == pytest.approx(record.train_loss, rel=1e-9)
        assert record.test_accuracy == record.train_accuracy


def test_running_averages_lag_and_are_an_option(digits, quick):
    exact, running = (
        _records(quick(bn_statistics=kind, beta1=0.98, epochs=12, eval_every=11), digits)
        for kind in ("exact", "running")
    )
    assert exact[-1].train_loss == running[-1].train_loss
    assert running[-1].test_loss > exact[-1].test_loss


def test_evaluation_comes_on_its_grid_and_at_the_end(few_digits, quick):
    records = _records(quick(epochs=7, eval_every=3), few_digits)
    assert [r.epoch for r in records if r.test_loss is not None] == [0, 3, 6]
    records = _records(quick(epochs=6, eval_every=3), few_digits)
    assert [r.epoch for r in records if r.test_accuracy is not None] == [0, 3, 5]


def test_history_has_the_columns_of_the_contract(few_digits, quick):
    training = ab.train(quick(epochs=3), few_digits, device="cpu")
    assert training.status == "running"
    list(training)
    history = training.history()
    assert (
        tuple(history.columns)
        == COLUMNS
        == (
            *("epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy"),
            *("perturbed_one_norm", "one_norm", "two_norm", "max_norm", "mean_abs_grad", "seconds"),
        )
    )
    assert history["test_loss"].isna().tolist() == [False, True, False]
    assert training.status == "finished"
    assert training.parameters == 77_754
    assert training.next_epoch == 3


def test_training_twice_gives_the_same_records_whatever_the_global_state(few_digits, quick):
    torch.manual_seed(1)
    first = _records(quick(), few_digits)
    torch.manual_seed(2)
    assert _records(quick(), few_digits) == first
    assert _records(quick(seed=1), few_digits) != first


class _Waits(TorchDispatchMode):
    """Count the operations for which a GPU would have to be waited for."""

    WAITING = ("aten::_local_scalar_dense", "aten::equal", "aten::is_nonzero", "aten::nonzero")
    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.name() in self.WAITING
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("changes", [{}, {"blocks": "shuffled"}, {"batch_size": 10}])
def test_no_block_waits_for_the_device(few_digits, quick, changes):
    training = ab.train(quick(ghost_batch_size=5, **changes), few_digits, device="cpu")
    next(training)
    with _Waits() as waits:
        next(training)
    assert waits.count == 0
    with waits:
        torch.ones(1).item()
    assert waits.count == 1


def test_shuffled_blocks_are_drawn_anew_and_follow_the_seed(few_digits, quick):
    trial = quick(blocks="shuffled", ghost_batch_size=10, h=1e-12)
    records = _records(trial, few_digits)
    # The step is too small to matter: what varies are the blocks.
    assert len({r.train_loss for r in records}) == len(records)
    assert _records(trial, few_digits) == records
    fixed = _records(trial.replace(blocks="fixed"), few_digits)
    assert np.ptp([r.train_loss for r in fixed]) < 1e-5 < np.ptp([r.train_loss for r in records])


def test_mini_batches_take_a_step_each_and_record_the_full_batch(few_digits, quick):
    trial = quick(batch_size=10, norm="none", rule="gradient_descent", h=0.05, precision="fp64")
    training = ab.train(trial, few_digits, device="cpu")
    objective = Objective(trial, few_digits, CPU)
    for record in training:
        fit = objective.gradient()
        assert record.train_loss == pytest.approx(fit[0].item(), rel=1e-12)
        assert record.two_norm == pytest.approx(objective.flat.grad.norm().item(), rel=1e-12)
        for start in range(0, 40, 10):
            objective.gradient(torch.arange(start, start + 10))
            objective.theta.data -= 0.05 * objective.flat.grad
    assert training.state_dict()["step"] == 24


def test_a_number_that_is_not_finite_ends_a_trial_as_diverged(few_digits, quick):
    training = ab.train(quick(h=1e30, norm="none", epochs=50), few_digits, device="cpu")
    records = list(training)
    assert training.status == "diverged"
    assert len(records) < 50
    assert not np.isfinite(records[-1].train_loss)
    assert len(training.history()) == len(records) == training.next_epoch
    assert np.isfinite(records[0].train_loss)


def test_a_loss_far_above_its_start_for_long_is_divergence(few_digits, quick):
    training = ab.train(quick(h=100.0, norm="group", epochs=200), few_digits, device="cpu")
    records = list(training)
    assert training.status == "diverged"
    assert np.isfinite(records[-1].train_loss)
    assert all(r.train_loss > 10 * records[0].train_loss for r in records[-50:])
    assert records[-51].train_loss <= 10 * records[0].train_loss


def test_a_loss_that_is_no_function_of_the_weights_is_refused(few_digits, quick):
    training = ab.train(quick(), few_digits, device="cpu")
    training._objective.model.relu = torch.nn.Dropout(0.5)
    with pytest.raises(AdambiasError, match="two gradients at the same weights differ"):
        next(training)


def _exhaust(trial, data, messages):
    """Train with 150 MiB more memory than there is now; in a process of its own."""
    training = ab.train(trial, data, device="cpu")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 150 * 2**20, -1))
    try:
        next(training)
    except AdambiasError as error:
        messages.put(str(error))


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory through RLIMIT_AS")
def test_running_out_of_memory_suggests_a_block_and_says_what_it_changes(quick):
    images = torch.zeros(2000, 3, 32, 32, dtype=torch.uint8)
    labels = torch.zeros(2000, dtype=torch.long)
    data = Dataset(
        **{
            "name": "digits",
            "digest": "",
            "num_classes": 10,
            "mean": (0.0,) * 3,
            "std": (1.0,) * 3,
        },
        train_inputs=images,
        train_targets=labels,
        test_inputs=images[:2],
        test_targets=labels[:2],
    )
    fork = multiprocessing.get_context("fork")
    messages = fork.Queue()
    worker = fork.Process(target=_exhaust, args=(quick(), data, messages))
    worker.start()
    line = messages.get(timeout=120)
    worker.join()
    assert line.startswith("out of memory with blocks of 2000 images: try ghost_batch_size = 1000")
    assert "BatchNorm" in line
    assert "\n" not in line


def test_bad_combinations_are_refused(few_digits, quick):
    with pytest.raises(ConfigError, match="dataset = 'cifar10'"):
        ab.train(quick(dataset="cifar10"), few_digits)
    with pytest.raises(ConfigError, match="ghost_batch_size = 39"):
        ab.train(quick(ghost_batch_size=39), few_digits)


@pytest.mark.parametrize("model", ["resnet8", "vit_small"])
def test_hessian_vector_product_is_the_derivative_of_the_gradient(few_digits, quick, model):
    trial = quick(model=model, precision="fp64", activation="gelu", ghost_batch_size=15)
    objective = Objective(trial, few_digits, CPU)
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(objective.parameters, generator=generator, dtype=torch.float64)
    product = objective.hessian_vector_product(vector)
    gradients, start, step = [], objective.theta.data.clone(), 1e-6
    for sign in (1, -1):
        objective.theta.data.copy_(start + sign * step * vector)
        objective.gradient()
        gradients.append(objective.flat.grad.clone())
    difference = (gradients[0] - gradients[1]) / (2 * step)
    assert (product - difference).norm() < 1e-6 * product.norm()


def test_correction_matches_on_a_smooth_network(digits, quick):
    trial = quick(
        **{"activation": "gelu", "norm": "none", "precision": "fp64", "beta1": 0.8, "beta2": 0.9},
        **{"epsilon": 1e-4, "h": 1e-4, "epochs": 13, "eval_every": 13, "correction_every": 6},
    )
    training = ab.train(trial, digits, device="cpu")
    records = list(training)
    assert [r.epoch for r in records if r.correction_norm_ratio is not None] == [0, 6, 12]
    assert records[12].correction_cosine > 0.9999
    assert training.correction["length_ratio"] == pytest.approx(1, abs=0.005)
    assert 1e-4 < records[12].correction_norm_ratio < 1e-2
    assert set(CORRECTION.columns) < set(training.history().columns)


@pytest.mark.parametrize("changes", [{}, {"model": "vit_small", "epochs": 3}])
def test_measuring_the_correction_does_not_change_the_training(few_digits, quick, changes):
    trial = quick(bn_statistics="running", **changes)
    plain = _records(trial, few_digits)
    measured = _records(trial.replace(correction_every=2), few_digits)
    assert measured[2].correction_norm_ratio > 0
    absent = CORRECTION.columns
    assert [r.without(absent) for r in measured] == [r.without(absent) for r in plain]


def test_the_correction_is_measured_with_epsilon_outside_where_gradients_vanish(few_digits, quick):
    trial = quick(epsilon_placement="outside", epsilon=1e-3, correction_every=1, epochs=3)
    training = ab.train(trial, few_digits, device="cpu")
    records = list(training)
    # Pixels that are dark in every image, and dead units, have a gradient of exactly zero.
    objective = Objective(trial, few_digits, CPU)
    objective.gradient()
    assert (objective.flat.grad == 0).any()
    assert all(-1 <= record.correction_cosine <= 1 for record in records[1:])
    assert all(record.correction_norm_ratio > 0 for record in records[1:])
