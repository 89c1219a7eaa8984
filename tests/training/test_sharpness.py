"""Sharpness against dense Hessians, and the norm of the smooth path against means of iterates."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from plain import COMPONENTWISE

import adambias as ab
from adambias.core.errors import ConfigError
from adambias.law.stability import linear_weights, stability_threshold
from adambias.training import sharpness
from adambias.training.measures import WINDOWS
from adambias.training.sharpness import largest_eigenpairs

SMALL = """
from torch import nn


def net(style):
    return nn.Sequential(
        nn.AvgPool2d(4), nn.Flatten(), nn.Linear(4, 12), nn.Tanh(), nn.Linear(12, style.num_classes)
    )


def normed(style):
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, stride=4), style.norm(3), nn.Softplus(), nn.Flatten(),
        nn.Linear(12, style.num_classes),
    )
"""
OTHER = {"adamw": {"weight_decay": 0.1}}


@pytest.fixture
def small(importable) -> str:
    return importable("small_networks", SMALL)


@pytest.fixture
def exact(monkeypatch):
    """Ask for eigenvalues to rounding."""
    monkeypatch.setattr(largest_eigenpairs, "__kwdefaults__", {"tolerance": 1e-9})
    monkeypatch.setattr(sharpness, "BASIS", 20)


def dense(objective):
    """Return the Hessian at theta, column by column."""
    size = objective.theta.numel()
    columns = [objective.hessian_vector_product(e) for e in torch.eye(size, dtype=torch.float64)]
    return torch.stack(columns).numpy()


CASES = [(rule, "net") for rule in COMPONENTWISE] + [("adam", "normed"), ("nadam", "normed")]


@pytest.mark.parametrize(("rule", "model"), CASES)
def test_eigenvalues_are_those_of_the_dense_hessian(rule, model, small, few_digits, quick, exact):
    trial = quick(
        model=f"{small}:{model}", rule=rule, precision="fp64", epsilon=1e-4, epochs=3,
        measure_every=1, measures=["sharpness", "preconditioned_sharpness"], **OTHER.get(rule, {}),
    )  # fmt: skip
    training = ab.train(trial, few_digits, device="cpu")
    objective, optimizer = training._objective, training._optimizer
    for _ in range(3):
        # What the next record sees: its gradient, at the weights before its step.
        objective.gradient()
        theta = objective.theta
        _, inverse = linear_weights(optimizer.rule, optimizer.next_estimates(theta), theta)
        hessian, scale = dense(objective), inverse.sqrt().numpy()
        plain = np.linalg.eigvalsh(hessian)[-1]
        seen = np.linalg.eigvalsh(scale[:, None] * hessian * scale)[-1]
        record = next(training)
        assert record.sharpness == pytest.approx(plain, rel=1e-6)
        assert record.preconditioned_sharpness == pytest.approx(seen, rel=1e-6)
        edge = trial.h * seen / stability_threshold(optimizer.rule, record.epoch)
        assert record.edge == pytest.approx(edge, rel=1e-6)
        assert record.sharpness_residual < 1e-4
        assert record.preconditioned_products >= 1


def test_a_large_eigenvalue_takes_few_products():
    generator = np.random.default_rng(0)
    vectors = np.linalg.qr(generator.normal(size=(200, 200)))[0]
    values = np.concatenate([np.linspace(-3, 5, 197), [9.0, 13.0, 20.0]])
    matrix = (vectors * values) @ vectors.T
    start = generator.normal(size=200)
    loose = largest_eigenpairs(lambda v: matrix @ v, start)
    exact = largest_eigenpairs(lambda v: matrix @ v, start, tolerance=1e-9)
    assert loose.values[0] == pytest.approx(20, rel=5e-3)
    assert exact.values[0] == pytest.approx(20, rel=1e-12)
    assert loose.residual < sharpness.TOLERANCE
    assert loose.products < exact.products
    assert abs(exact.vectors[:, 0] @ vectors[:, -1]) == pytest.approx(1, abs=1e-8)
    three = largest_eigenpairs(lambda v: matrix @ v, start, 3, tolerance=1e-9)
    assert three.values == pytest.approx([20, 13, 9], rel=1e-8)
    assert np.abs((three.vectors * vectors[:, :-4:-1]).sum(0)) == pytest.approx([1, 1, 1], abs=1e-4)


def lanczos(product, size, steps=60):
    """Return the largest Ritz value of a Lanczos run with full orthogonalisation."""
    basis = [torch.randn(size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)]
    basis[0] /= basis[0].norm()
    images = []
    for _ in range(steps):
        images.append(product(basis[-1]))
        new = images[-1].clone()
        for _ in range(2):
            for each in basis:
                new -= (each @ new) * each
        basis.append(new / new.norm())
    small = torch.stack(basis[:-1]) @ torch.stack(images).T
    return float(torch.linalg.eigvalsh((small + small.T) / 2)[-1])


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_on_resnet8_it_is_what_an_independent_lanczos_run_finds(activation, few_digits, quick):
    trial = quick(activation=activation, epochs=6, h=2e-3, beta2=0.99, measure_every=5,
                  measures=["sharpness", "preconditioned_sharpness"])  # fmt: skip
    training = ab.train(trial, few_digits, device="cpu")
    for _ in range(5):
        next(training)
    objective, optimizer = training._objective, training._optimizer
    objective.gradient()
    theta = objective.theta
    _, inverse = linear_weights(optimizer.rule, optimizer.next_estimates(theta), theta)
    scale = inverse.double().sqrt()

    def plain(v):
        return objective.hessian_vector_product(v.float()).double()

    expected = lanczos(plain, len(theta))
    seen = lanczos(lambda v: scale * plain(scale * v), len(theta))
    record = next(training)
    assert record.sharpness == pytest.approx(expected, rel=0.01)
    assert record.preconditioned_sharpness == pytest.approx(seen, rel=0.01)


def test_a_solver_that_does_not_come_to_an_end_leaves_a_gap(few_digits, quick, monkeypatch):
    monkeypatch.setattr(sharpness, "RESTARTS", 1)
    monkeypatch.setattr(largest_eigenpairs, "__kwdefaults__", {"tolerance": 1e-12})
    trial = quick(measures=["sharpness"], epochs=2)
    records = list(ab.train(trial, few_digits, device="cpu"))
    assert records[0].sharpness is None
    assert records[1].train_loss < records[0].train_loss


def test_where_there_is_no_gradient_there_is_nothing_to_begin_with():
    none = torch.zeros(3)
    found = sharpness._largest(SimpleNamespace(theta=none, grad=none), None, 1)
    assert all(math.isnan(number) for number in found)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"memory": "forgotten"}, "memory = 'forgotten': must be 'optimizer' where measures hold"),
        ({"batch_size": 20}, "batch_size = 20: must be left out where measures hold"),
    ],
)
def test_the_edge_is_that_of_the_optimizers_own_full_batch_step(quick, changes, said):
    with pytest.raises(ConfigError, match=said):
        quick(measures=["preconditioned_sharpness"], **changes)


def test_what_measures_keep_is_of_its_own_type_after_a_resume(few_digits, quick):
    training = ab.train(quick(), few_digits, device="cpu")
    next(training)
    kept = {"count": torch.tensor(2**24 + 1), "sum": torch.tensor(1 / 3, dtype=torch.float64)}
    training._kept |= kept
    resumed = ab.train(quick(), few_digits, state=training.state_dict(), device="cpu")
    for name, value in kept.items():
        assert resumed._kept[name].dtype == value.dtype
        assert torch.equal(resumed._kept[name], value)


def test_what_is_not_finite_is_missing_and_the_training_goes_on(few_digits, quick, monkeypatch):
    trial = quick(measures=["sharpness", "preconditioned_sharpness"], epochs=3)
    training = ab.train(trial, few_digits, device="cpu")
    monkeypatch.setattr(training._objective, "hessian", lambda: lambda vector: vector * math.nan)
    records = list(training)
    assert training.status == "finished"
    assert all(record.sharpness is record.edge is None for record in records)
    assert all(math.isfinite(record.train_loss) for record in records)


MEASURED = ("smooth_norms", "sharpness", "preconditioned_sharpness")


def test_they_change_nothing_of_the_training(few_digits, quick):
    plain = ab.train(quick(epochs=13), few_digits, device="cpu")
    measured = ab.train(quick(epochs=13, measures=MEASURED), few_digits, device="cpu")
    for one, other in zip(plain, measured, strict=True):
        assert one.train_loss == other.train_loss
        assert one.perturbed_one_norm == other.perturbed_one_norm
        assert one.test_accuracy == other.test_accuracy


def test_a_resumed_training_measures_the_same(few_digits, quick):
    trial = quick(epochs=23, measures=MEASURED)
    whole = list(ab.train(trial, few_digits, device="cpu"))
    begun = ab.train(trial, few_digits, device="cpu")
    for _ in range(15):
        next(begun)
    resumed = ab.train(trial, few_digits, state=begun.state_dict(), device="cpu")
    rest = list(resumed)
    for one, other in zip(whole[15:], rest, strict=True):
        assert one.values == other.values
    assert rest[5].smooth_norm_16 is not None
    assert resumed.next_epoch == 23


def test_the_smooth_norm_is_that_at_the_mean_of_the_last_iterates(few_digits, quick):
    trial = quick(epochs=21, measures=["smooth_norms"], measure_every=4, h=3e-3)
    training = ab.train(trial, few_digits, device="cpu")
    path = []
    for _ in range(21):
        path.append(training._objective.theta.detach().clone())
        record = next(training)
        for k in WINDOWS:
            found = getattr(record, f"smooth_norm_{k}")
            if record.epoch % trial.measure_every or record.epoch < k - 1:
                assert found is None
                continue
            other = ab.train(trial, few_digits, device="cpu")._objective
            other.theta.data.copy_(torch.stack(path[-k:]).mean(0))
            loss = float(other.gradient()[0])
            norm = float((other.flat.grad**2 + trial.epsilon).sqrt().sum())
            assert found == pytest.approx(norm, rel=1e-4)
            assert getattr(record, f"smooth_loss_{k}") == pytest.approx(loss, rel=1e-5)
    assert not [name for name in training._kept if name.endswith("/8")], "sums that are used go"


def test_one_graph_serves_several_products(few_digits, quick):
    for trial in (quick(), quick(ghost_batch_size=20)):
        objective = ab.train(trial, few_digits, device="cpu")._objective
        objective.gradient()
        buffers = [buffer.clone() for buffer in objective.model.buffers()]
        hessian = objective.hessian()
        for seed in range(3):
            generator = torch.Generator().manual_seed(seed)
            vector = torch.randn(objective.theta.numel(), generator=generator)
            once = objective.hessian_vector_product(vector)
            torch.testing.assert_close(hessian(vector), once, rtol=1e-5, atol=1e-7)
        for before, after in zip(buffers, objective.model.buffers(), strict=True):
            assert torch.equal(before, after)
