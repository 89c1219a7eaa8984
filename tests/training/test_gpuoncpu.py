"""What only a GPU can show; benchmarks/gpu.sh runs it with ``pytest -m gpu``."""

from __future__ import annotations

import warnings

import pytest
import torch

import adambias as ab
from adambias.core.errors import AdambiasError
from adambias.data.dataset import Dataset
from adambias.training import devices
from adambias.training.objective import Objective

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(False, reason="needs a GPU that torch sees"),
]
GPU = torch.device("cpu")
CPU = torch.device("cpu")
NETWORKS = [
    {},
    {"bn_statistics": "running", "activation": "gelu"},
    {"norm": "none", "activation": "tanh"},
    {"norm": "group"},
    {"model": "resnet8", "batch_size": 30, "ghost_batch_size": None},
]


@pytest.fixture(scope="module")
def images() -> Dataset:
    """300 random images of CIFAR's shape, and 50 more: made here, so that nothing is read."""
    drawn = torch.Generator().manual_seed(0)

    def some(count):
        pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=drawn).to(torch.uint8)
        return pixels, torch.randint(0, 10, (count,), generator=drawn)

    inputs, targets = some(60)
    tests, answers = some(50)
    return Dataset(
        name="digits", digest="random", train_inputs=inputs, train_targets=targets,
        test_inputs=tests, test_targets=answers, num_classes=10, mean=(127.5,) * 3, std=(73.9,) * 3,
    )  # fmt: skip


@pytest.fixture
def trial(quick):
    def make(**changes):
        return quick(**{"epochs": 3, "ghost_batch_size": 32} | changes)

    return make


@pytest.fixture
def block_by_block(monkeypatch):
    """Return a function that trains without a graph."""

    def train(trial, images):
        with monkeypatch.context() as patch:
            patch.setattr(Objective, "record", lambda objective: None)
            return columns(ab.train(trial, images, device=GPU))

    return train


def columns(records):
    return [record.values for record in records]


def difference(found, expected, name):
    """Return the largest difference of a column, relative to its largest value."""
    pairs = [(one[name], two[name]) for one, two in zip(found, expected, strict=True)]
    return max(abs(a - b) for a, b in pairs) / max(abs(b) for _, b in pairs)


@pytest.mark.parametrize("precision", ["fp64", "fp32", "tf32", "bf16"])
@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_a_training_by_a_graph_is_the_one_without_to_the_last_bit(
    trial, images, block_by_block, network, precision
):
    chosen = trial(precision=precision, **network)
    training = ab.train(chosen, images, device=GPU)
    found = columns(training)
    pass
    assert found == block_by_block(chosen, images)
    assert found == columns(ab.train(chosen, images, device=GPU)), "it is not deterministic"


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_in_fp64_gpu_and_cpu_agree(trial, images, network):
    chosen = trial(precision="fp64", epochs=3, **network)
    found, expected = (columns(ab.train(chosen, images, device=where)) for where in (GPU, CPU))
    for name in ("train_loss", "one_norm", "two_norm", "perturbed_one_norm"):
        assert difference(found[:1], expected[:1], name) < 1e-10, name
        # Adam divides by the root of the smallest gradients: a training multiplies the rounding.
        assert difference(found, expected, name) < 1e-7, name


@pytest.mark.parametrize(
    ("precision", "first", "later"), [("fp32", 1e-4, 1e-2), ("tf32", 1e-2, 0.1), ("bf16", 0.1, 0.3)]
)
def test_profiles_are_near_fp64(trial, images, precision, first, later):
    found = columns(ab.train(trial(precision=precision), images, device=GPU))
    expected = columns(ab.train(trial(precision="fp64"), images, device=CPU))
    for name in ("train_loss", "one_norm"):
        assert difference(found[:1], expected[:1], name) < first, name
        assert difference(found, expected, name) < later, name


def test_profiles_are_arithmetics_of_their_own(trial, images):
    losses = {
        name: columns(ab.train(trial(precision=name), images, device=GPU))[-1]["train_loss"]
        for name in ("fp64", "fp32", "tf32", "bf16")
    }
    assert len(set(losses.values())) == 4


def test_a_checkpoint_goes_from_device_to_device(trial, images):
    chosen = trial(precision="fp64", epochs=9)
    expected = columns(ab.train(chosen, images, device=CPU))
    state = None
    for where, epochs in ((CPU, 3), (GPU, 3), (CPU, 3)):
        training = ab.train(chosen, images, state=state, device=where)
        for _ in range(epochs):
            next(training)
        state = training.state_dict()
    assert training.devices == ["cpu", torch.cuda.get_device_name(GPU)]
    assert training.status == "finished"
    assert difference(columns(training.records), expected, "train_loss") < 1e-7


def test_going_on_is_going_on_to_the_last_bit(trial, images):
    chosen = trial(epochs=9)
    first = ab.train(chosen, images, device=GPU)
    for _ in range(4):
        next(first)
    second = ab.train(chosen, images, state=first.state_dict(), device=GPU)
    list(second)
    assert columns(second.records) == columns(ab.train(chosen, images, device=GPU))


def test_side_by_side_they_are_what_they_are_alone(trial, images):
    trials = [trial(seed=seed, beta1=beta1) for seed in (0, 1) for beta1 in (0.5, 0.9)]
    alone = [columns(ab.train(each, images, device=GPU)) for each in trials]
    trainings = [ab.train(each, images, device=GPU) for each in trials]
    for _ in range(3):
        for training in trainings:
            training.start()
        for training in trainings:
            next(training)
    assert [columns(training.records) for training in trainings] == alone


def test_an_epoch_waits_for_the_device_once(trial, images):
    training = ab.train(trial(epochs=8, eval_every=3), images, device=GPU)
    next(training)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            for _ in range(4):
                next(training)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    told = [str(each.message) for each in waits if "synchroniz" in str(each.message)]
    assert len(told) == 4, told


def test_too_little_memory_is_a_line_that_names_a_smaller_block(trial, images):
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.set_per_process_memory_fraction(1.2e9 / total, GPU)
    try:
        with pytest.raises(AdambiasError, match=r"out of memory with blocks of 300 images: try"):
            list(ab.train(trial(model="resnet50", ghost_batch_size=300), images, device=GPU))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, GPU)
        torch.cuda.empty_cache()


def test_products_with_the_hessian_agree_with_the_cpu(trial, images):
    chosen = trial(precision="fp64", activation="softplus", norm="none")
    found = []
    for where in (GPU, CPU):
        objective = Objective(chosen, images, where)
        vector = torch.linspace(-1, 1, objective.parameters, dtype=torch.float64).to(where)
        with objective.precision.arithmetic():
            objective.gradient()
            found.append(objective.hessian_vector_product(vector).cpu())
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


def test_the_gpu_is_named(trial, images):
    assert devices.granted_gpu() == GPU
    assert devices.gpus()[0].startswith(torch.cuda.get_device_name(GPU))
    training = ab.train(trial(epochs=1), images, device=devices.granted_gpu())
    list(training)
    assert training.history().attrs["devices"] == [torch.cuda.get_device_name(GPU)]
