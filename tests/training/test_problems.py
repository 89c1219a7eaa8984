"""Problems that are not images with classes, and networks of one's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

import adambias as ab
from adambias.core.errors import ConfigError, DataError
from adambias.networks.batchnorm import BlockBatchNorm
from adambias.training import checkpoint

OWN = """
import torch
from torch import nn
from adambias.law.rules import Moment, UpdateRule
from adambias.training import Measure


class Tied(nn.Module):
    def __init__(self, style):
        super().__init__()
        width = style.input_shape[0]
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.second.weight = self.first.weight
        self.unused = nn.Parameter(torch.ones(3))
        self.frozen = nn.Parameter(torch.full((1,), 2.0), requires_grad=False)
        self.register_buffer("shift", torch.tensor(0.5))
        self.out = nn.Linear(width, style.outputs)

    def forward(self, rows):
        hidden = torch.tanh(self.first(rows)) + self.shift
        return self.frozen * self.out(torch.tanh(self.second(hidden)))


def tied(style):
    return Tied(style)


def wide(style, *, width=4, deep=False):
    layers = [nn.Linear(style.input_shape[0], width), nn.Tanh()]
    layers += [nn.Linear(width, width), nn.Tanh()] if deep else []
    return nn.Sequential(*layers, nn.Linear(width, style.outputs))


def dropping(style):
    return nn.Sequential(nn.Linear(style.input_shape[0], 4), nn.Dropout(0.1), nn.Linear(4, 1))


def complex_weights(style):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(3, dtype=torch.complex64))
    return Net()


def frozen(style):
    return nn.Linear(style.input_shape[0], 1).requires_grad_(False)


def one_output(style):
    return nn.Sequential(nn.Linear(style.input_shape[0], 1), nn.Flatten(0))


def wrong_rows(style):
    width = style.input_shape[0]
    return nn.Sequential(nn.Linear(width, width), nn.Flatten(0), nn.Unflatten(0, (-1, 2 * width)))


def too_narrow(style):
    return nn.Linear(style.input_shape[0] + 1, 1)


def three_outputs(style):
    return nn.Linear(style.input_shape[0], 3)


def normed(style):
    return nn.Sequential(nn.Conv2d(style.in_channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(),
                         nn.Flatten(), nn.Linear(4 * (style.image_size - 2) ** 2, style.outputs))


def normed_rows(style):
    return nn.Sequential(nn.Linear(style.input_shape[0], 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def huber(*, delta=1.0):
    def loss(outputs, targets):
        return nn.functional.huber_loss(outputs[:, 0], targets, delta=delta, reduction="sum")
    return loss


def per_input():
    return lambda outputs, targets: (outputs[:, 0] - targets) ** 2


def one_row():
    return lambda outputs, targets: ((outputs[:, 0] - targets) ** 2).sum().reshape(1)


def smooth(*, epsilon=1.0):
    return lambda outputs, targets: (outputs[:, 0] - targets).square().add(epsilon).sqrt().sum()


def numpys():
    return Measure(columns=("numpys",), compute=lambda at: at.theta[:1].numpy())


def leaky(beta1=0.9, *, leak=0.0):
    return UpdateRule([Moment(beta1)], lambda m, theta: m + leak * theta, "leaky")


def distance():
    def compute(snapshot):
        start = snapshot.kept.setdefault("start", snapshot.theta.clone())
        return (snapshot.theta - start).double().norm().reshape(1)
    return Measure(columns=("distance_to_init",), compute=compute)


def vector():
    return Measure(columns=("vector",), compute=lambda snapshot: snapshot.theta)


def pushing():
    return Measure(columns=("pushed",), compute=lambda at: at.theta.mul_(1.01).norm().reshape(1))


def damping():
    return Measure(columns=("damped",), compute=lambda at: at.grad.mul_(0.5).norm().reshape(1))


def raising():
    return Measure(columns=("raising",), compute=lambda snapshot: snapshot.no_such_thing)


not_callable = 3
"""


@pytest.fixture
def own(importable) -> str:
    return importable("own_problem", OWN)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    root = tmp_path_factory.mktemp("table")
    return ab.load_dataset("diabetes", train_size=60, test_size=30, root=root)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    root = tmp_path_factory.mktemp("text")
    return ab.load_dataset("text", train_size=40, test_size=20, root=root)


def of_table(**changes):
    values = {"dataset": "diabetes", "model": "mlp", "norm": "none", "activation": "tanh"}
    values |= {"loss": "mse", "h": 1e-2, "beta2": 0.99, "epochs": 6, "eval_every": 4}
    return ab.Trial(**values | changes)


def of_words(**changes):
    values = {"dataset": "text", "model": "gpt", "activation": "gelu", "loss": "next_token"}
    values |= {"h": 1e-3, "beta2": 0.99, "epochs": 4, "eval_every": 2}
    return ab.Trial(**values | changes)


def test_regression_with_mse_is_the_half_squared_distance_and_has_no_accuracy(table):
    trial = of_table(precision="fp64", model_options={"width": 5, "depth": 1})
    training = ab.train(trial, table, device="cpu")
    first = next(training)
    model = ab.models.build(
        "mlp", input_shape=(10,), outputs=1, norm="none", activation="tanh", seed=0,
        options={"width": 5, "depth": 1},
    ).double()  # fmt: skip
    mean, std = (torch.tensor(s, dtype=torch.float64) for s in (table.mean, table.std))
    outputs = model((table.train_inputs - mean) / std)[:, 0]
    expected = 0.5 * (outputs - table.train_targets).square().mean()
    assert sum(p.numel() for p in model.parameters()) == training.parameters == 61
    assert first.train_loss == pytest.approx(expected.item(), rel=1e-12)
    assert first.train_accuracy is None
    last = list(training)[-1]
    assert last.train_loss < first.train_loss
    assert last.test_accuracy is None
    assert training.history()[["train_accuracy", "test_accuracy"]].isna().all(axis=None)


def test_next_token_loss_and_accuracy_are_means_over_all_places(words):
    trial = of_words(precision="fp64", model_options={"layers": 1, "width": 8})
    training = ab.train(trial, words, device="cpu")
    first = next(training)
    model = ab.models.build(
        "gpt", input_shape=words.input_shape, outputs=words.outputs, vocabulary=words.vocabulary,
        activation="gelu", seed=0, options={"layers": 1, "width": 8},
    ).double()  # fmt: skip
    logits = model(words.train_inputs)
    loss = functional.cross_entropy(logits.flatten(0, 1), words.train_targets.flatten())
    right = (logits.argmax(-1) == words.train_targets).double().mean()
    assert first.train_loss == pytest.approx(loss.item(), rel=1e-12)
    assert first.train_accuracy == pytest.approx(right.item(), rel=1e-12)
    assert list(training)[-1].train_loss < first.train_loss


def test_a_gpt_sees_no_token_that_comes_later(words):
    model = ab.models.build(
        "gpt", input_shape=(32,), outputs=words.outputs, vocabulary=words.vocabulary, seed=0
    )
    tokens = words.train_inputs[:1]
    changed = tokens.clone()
    changed[0, 20:] = (changed[0, 20:] + 1) % words.vocabulary
    assert torch.equal(model(tokens)[0, :20], model(changed)[0, :20])
    assert not torch.allclose(model(tokens)[0, 20], model(changed)[0, 20])


def test_tied_weights_are_one_parameter(words):
    sizes = []
    for tied in (False, True):
        options = {"layers": 1, "width": 8, "tied": tied}
        training = ab.train(of_words(model_options=options), words, device="cpu")
        records = list(training)
        assert records[-1].train_loss < records[0].train_loss
        sizes.append(training.parameters)
    assert sizes[0] - sizes[1] == 8 * words.vocabulary


def test_tied_unused_and_frozen_parameters_and_buffers(table, own):
    trial = of_table(model=f"{own}:tied", precision="fp64", measures=["sharpness"], measure_every=1)
    training = ab.train(trial, table, device="cpu")
    model = training._objective.model
    records = list(training)
    assert records[-1].train_loss < records[0].train_loss
    assert records[1].sharpness > 0
    assert model.second.weight.data_ptr() == model.first.weight.data_ptr()
    assert model.unused.tolist() == [1.0] * 3
    assert model.frozen.item() == 2.0
    # 10 x 10 weights once, two biases of 10, three unused, and the last layer.
    assert training.parameters == 100 + 20 + 3 + 11
    again = ab.train(trial, table, device="cpu")
    next(again)
    state = checkpoint.loads(checkpoint.dumps(again.state_dict()), trial=trial)
    resumed = list(ab.train(trial, table, state=state, device="cpu"))
    assert resumed[-1].train_loss == records[-1].train_loss


def test_torchs_own_batchnorm_is_evaluated_with_exact_statistics(few_digits, quick, own):
    trial = quick(model=f"{own}:normed", eval_every=1)
    training = ab.train(trial, few_digits, device="cpu")
    layer = training._objective.model[1]
    assert type(layer) is BlockBatchNorm
    next(training)
    images = few_digits.standardised(few_digits.train_inputs, torch.float32)
    before = ab.models.build(f"{own}:normed", input_shape=(1, 8, 8), outputs=10, seed=0)[0](images)
    assert torch.allclose(layer.running_mean, before.mean((0, 2, 3)), atol=1e-5)


def test_options_of_a_network_a_loss_and_a_rule_reach_their_factories(table, own):
    first = {}
    for name, changes in {
        "plain": {},
        "wide": {"model_options": {"width": 6}},
        "deep": {"model_options": {"deep": True}},
        "huber": {"loss": f"{own}:huber"},
        "narrow": {"loss": f"{own}:huber", "loss_options": {"delta": 0.1}},
        "leaky": {"rule": f"{own}:leaky"},
        "leak": {"rule": f"{own}:leaky", "rule_options": {"leak": 0.5}},
    }.items():
        trial = of_table(**{"model": f"{own}:wide"} | changes)
        training = ab.train(trial, table, device="cpu")
        first[name] = (training.parameters, [r.train_loss for r in training][:2])
    assert [first[name][0] for name in ("plain", "wide", "deep")] == [49, 73, 69]
    assert first["narrow"][1][0] < first["huber"][1][0]
    assert first["leaky"][1][0] == first["leak"][1][0]
    assert first["leaky"][1][1] != first["leak"][1][1]


def test_an_option_may_have_a_name_that_is_a_hyperparameter_of_rules(table, own):
    """Only a rule's factory gets those; of a loss it is the loss's own."""
    losses = {}
    for epsilon in (1.0, 4.0):
        trial = of_table(loss=f"{own}:smooth", loss_options={"epsilon": epsilon})
        losses[epsilon] = next(ab.train(trial, table, device="cpu")).train_loss
    assert losses[4.0] > losses[1.0]


def test_the_loss_of_classes_refuses_tokens_even_where_shapes_would_fit(words):
    with pytest.raises(ConfigError, match=r"it is of logits \(N, classes\) and classes"):
        ab.train(of_words(loss="cross_entropy"), words, device="cpu")
    with pytest.raises(ConfigError, match=r"it is of numbers, or of outputs"):
        ab.train(of_words(loss="mse"), words, device="cpu")


def test_a_measure_of_ones_own_every_so_many_epochs(table, own):
    entry = {"name": f"{own}:distance", "every": 3}
    trial = of_table(measures=[entry, "weight_norm", {"name": "sharpness", "every": 2, "k": 3}])
    records = list(ab.train(trial, table, device="cpu"))
    assert [r.epoch for r in records if r.distance_to_init is not None] == [0, 3]
    assert [r.epoch for r in records if r.sharpness_3 is not None] == [0, 2, 4]
    assert records[3].distance_to_init > 0
    for record in records[::2]:
        assert record.sharpness >= record.sharpness_2 >= record.sharpness_3
    plain = list(ab.train(of_table(), table, device="cpu"))
    assert [r.train_loss for r in records] == [r.train_loss for r in plain]


def test_a_clipped_gradient_has_at_most_that_length(table):
    """Gradient descent moves by h times what it is given."""
    trial = of_table(rule="gradient_descent", h=0.1, clip_norm=0.05, precision="fp64", epochs=4)
    training = ab.train(trial, table, device="cpu")
    before = training._objective.theta.detach().clone()
    for record in training:
        moved = (training._objective.theta.detach() - before).norm()
        assert moved.item() == pytest.approx(0.1 * min(record.two_norm, 0.05), rel=1e-12)
        assert record.two_norm > 0.05, "the record has the gradient as it is"
        before = training._objective.theta.detach().clone()
    loose = of_table(clip_norm=1e9)
    assert [r.train_loss for r in ab.train(loose, table, device="cpu")] == [
        r.train_loss for r in ab.train(of_table(), table, device="cpu")
    ]


def test_random_labels_say_nothing(tmp_path):
    data = ab.load_dataset("digits", train_size=400, root=tmp_path)
    noise = ab.load_dataset("digits", train_size=400, label_noise=1.0, root=tmp_path)
    agree = (data.train_targets == noise.train_targets).double().mean()
    assert 0.04 < agree < 0.18, "one in ten by chance"
    assert torch.equal(data.test_targets, noise.test_targets)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "own_problem:dropping"}, r"^model = .*its layer 1 drops at random"),
        ({"model": "own_problem:complex_weights"}, r"its parameter w is torch.complex64"),
        ({"model": "own_problem:frozen"}, r"has no parameters that are trained$"),
        ({"model": "own_problem:too_narrow"}, r"^model = .*fails on inputs of shape \(2, 10\)"),
        ({"model": "own_problem:wrong_rows"}, r"a row for each of 2 inputs, not \(1, 20\)$"),
        ({"model": "own_problem:three_outputs"}, r"^loss = 'mse': fails on outputs \(2, 3\)"),
        ({"model": "own_problem:not_callable"}, r"^model = .*must name a function that returns"),
        ({"model": "own_problem:normed_rows"}, r"BatchNorm1d, of which no exact statistics"),
        (
            {"model": "own_problem:no_such"},
            r"^model = .*own_problem has no no_such, must be one of ",
        ),
        ({"model": "resnet8"}, r"^model = \(10,\): inputs of this shape are no images"),
        ({"model": "gpt"}, r"^model = 'gpt': needs inputs that are tokens"),
        ({"model_options": {"widht": 3}}, r"^model_options.widht = 3: .*did you mean width"),
        ({"model_options": {"width": 0}}, r"^model_options.width = 0: must be an integer >= 1"),
        ({"loss": "cross_entropy"}, r"^loss = 'cross_entropy': fails on outputs \(2, 1\)"),
        ({"loss": "own_problem:one_row"}, r"must give one number, .*, not \(1,\)$"),
        (
            {"measures": ["own_problem:numpys"]},
            r"^measures = 'numpys': must give a tensor of shape",
        ),
        ({"loss_options": {"label_smoothing": "x"}, "loss": "cross_entropy"}, r"^loss_options = {"),
        ({"loss": "own_problem:per_input"}, r"must give one number, .*, not \(2,\)$"),
        ({"loss_options": {"delta": 1}}, r"^loss_options.delta = 1: mse takes no such option"),
        ({"rule": "own_problem:leaky", "rule_options": {"lek": 1}}, r"^rule_options.lek = 1: "),
        (
            {"measures": ["own_problem:vector"]},
            r"^measures = 'vector': must give a tensor of shape",
        ),
        ({"measures": ["own_problem:raising"]}, r"^measures = 'raising': raised AttributeError at"),
        (
            {"measures": ["own_problem:pushing"]},
            r"^measures = 'pushed': changed the weights at epoch",
        ),
        ({"measures": ["own_problem:damping"]}, r"^measures = 'damped': changed the gradient at"),
        ({"measures": [{"name": "sharpness", "k": 0}]}, r"^measures sharpness k = 0: must be an"),
        ({"measures": [{"name": "sharpness", "kk": 2}]}, r"^measures sharpness.kk = 2: .*must be"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(table, own, changes, words):
    with pytest.raises(ConfigError, match=words) as error:
        next(ab.train(of_table(**changes), table, device="cpu"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"measures": [{"every": 2}]}, r"must hold the measure's name"),
        ({"measures": [{"name": "sharpness", "every": 0}]}, r"^measures sharpness every = 0: "),
        ({"measures": ["sharpness", {"name": "sharpness"}]}, r"must name each measure once"),
        ({"measures": [{"name": "sharpnes"}]}, r"did you mean sharpness"),
        ({"rule_options": {"beta1": 0.5}}, r"^rule_options.beta1 = 0.5: is a field of a trial"),
        ({"model_options": [1]}, r"^model_options = \[1\]: must be a section"),
        ({"model_options": {"a-b": 1}}, r"^model_options.a-b = 1: must have a word"),
        ({"record_every": 2}, r"^record_every = 2: must be 1 without batch_size"),
        ({"record_every": 3, "batch_size": 10}, r"^eval_every = 4: must be a multiple of record_e"),
        (
            {"record_every": 4, "batch_size": 10, "measures": ["weight_norm"], "measure_every": 6},
            r"^measure_every = 6: must be a multiple of record_every = 4",
        ),
        (
            {"record_every": 4, "batch_size": 10, "measures": [{"name": "sharpness", "every": 3}]},
            r"^measure_every = 10: must be|^measures sharpness every = 3: must be a multiple",
        ),
        (
            {"record_every": 4, "batch_size": 10, "measures": ["smooth_norm"], "measure_every": 8},
            r"^record_every = 4: must be 1 where measures hold smooth_norm",
        ),
        ({"schedule": "cosin"}, r"^schedule = 'cosin': .*did you mean cosine"),
        ({"schedule": "cosine", "memory": "forgotten"}, r"must be constant where memory is forgot"),
        (
            {"clip_norm": 1.0, "memory": "forgotten"},
            r"^clip_norm = 1.0: must be left out where mem",
        ),
        ({"clip_norm": 0.0}, r"^clip_norm = 0.0: must be > 0"),
        ({"schedule": "linear", "correction_every": 1}, r"must be constant where correction_every"),
    ],
)
def test_what_a_trial_refuses_before_anything_is_loaded(changes, words):
    with pytest.raises(ConfigError, match=words):
        of_table(**changes)


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ({"inputs": np.ones((4, 2)), "targets": np.arange(4.0)}, {}, "give the rows to train on"),
        ({"inputs": np.ones((4, 2))}, {"train_size": 2}, "has no targets, inputs are there"),
        (
            {"train_inputs": np.ones((4, 2)), "train_targets": np.arange(4.0)},
            {},
            "has no test_inputs",
        ),
        (
            {"inputs": np.ones((4, 2)), "targets": np.arange(4.0) * math.nan},
            {"train_size": 2},
            "train_targets has values that are not finite",
        ),
        (
            {"inputs": np.ones((4, 2)), "targets": np.array(list("abcd"))},
            {"train_size": 2},
            "must be integers or real numbers",
        ),
        (
            {"inputs": np.ones((4, 2)), "targets": np.arange(4.0)},
            {"train_size": 4},
            "must be below 4, all rows",
        ),
        (
            {"inputs": np.ones((4, 2)), "targets": np.array([0, 1, -1, 0])},
            {"train_size": 2},
            "must be integers from 0",
        ),
        (
            {"inputs": np.ones((4, 2)), "targets": np.arange(4.0)},
            {"train_size": 2, "label_noise": 0.1},
            "the targets are no classes",
        ),
    ],
)
def test_arrays_that_cannot_be_trained_on_are_refused(tmp_path, content, options, words):
    np.savez(tmp_path / "mine.npz", **content)
    with pytest.raises((DataError, ConfigError), match=words):
        ab.load_dataset(
            "mine", source="arrays", path=tmp_path / "mine.npz", root=tmp_path / "d", **options
        )
