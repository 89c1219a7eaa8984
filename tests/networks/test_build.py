import itertools

import pytest
import torch
from torch.nn import functional

from adambias.core.errors import ConfigError
from adambias.core.registry import LOSSES
from adambias.networks import build, style
from adambias.networks.batchnorm import BlockBatchNorm, twice_differentiable

CIFAR = {"input_shape": (3, 32, 32), "outputs": 10}


def _count(model):
    return sum(p.numel() for p in model.parameters())


def test_resnet8_on_digits_has_77754_parameters():
    assert _count(build.build("resnet8", input_shape=(1, 8, 8), outputs=10)) == 77_754


@pytest.mark.parametrize(("name", "blocks"), [("resnet8", 1), ("resnet14", 2), ("resnet20", 3)])
def test_small_resnets_have_the_parameters_of_their_layers(name, blocks):
    stem = 3 * 9 * 16 + 2 * 16
    stages = sum(2 * blocks * (9 * w * w + 2 * w) for w in (16, 32, 64))
    # A halving stage starts from half the channels and has a projection beside it.
    halvings = sum(w * w // 2 + 2 * w - 9 * w * w // 2 for w in (32, 64))
    assert _count(build.build(name, **CIFAR)) == stem + stages + halvings + 64 * 10 + 10


def test_the_papers_cnn_has_its_layers_and_without_norm_nothing_more():
    found = [
        tuple(m.weight.shape)
        for m in build.build("paper_cnn", **CIFAR, norm="none").modules()
        if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)
    ]
    widths = [3, 32, 32, 64, 64, 128, 128]
    convolutions = [(b, a, 3, 3) for a, b in itertools.pairwise(widths)]
    assert found == [*convolutions, (512, 128 * 4 * 4), (10, 512)]


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101"])
def test_deep_resnets_have_torchvisions_parameters_less_the_stem(name):
    import torchvision

    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)(num_classes=10)
    ours = build.build(name, **CIFAR)
    assert _count(ours) == _count(theirs) - 64 * 3 * (7 * 7 - 3 * 3)


def test_the_papers_network_computes_what_torchvisions_does_behind_another_stem():
    import torchvision

    ours = build.build("resnet50", **CIFAR, seed=0).eval()
    theirs = torchvision.models.resnet50(num_classes=10).eval()
    theirs.conv1, theirs.maxpool = ours.conv1, torch.nn.Identity()
    names = {f"stages.{i}": f"layer{i + 1}" for i in range(4)}
    state = {}
    for name, value in ours.state_dict().items():
        for mine, yours in names.items():
            name = name.replace(mine, yours)
        state[name] = value
    theirs.load_state_dict(state)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(ours(images), theirs(images), atol=1e-5)


@pytest.mark.parametrize("activation", list(style.ACTIVATIONS))
@pytest.mark.parametrize("norm", list(style.NORMS))
@pytest.mark.parametrize("name", ["resnet8", "paper_cnn", "vit_small"])
def test_every_network_learns_from_every_layer(name, norm, activation):
    model = build.build(name, **CIFAR, norm=norm, activation=activation, seed=0)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    functional.cross_entropy(model(images), torch.arange(4)).backward()
    assert all(p.grad is not None for p in model.parameters())
    kinds = {type(m).__name__ for m in model.modules()}
    assert ("BlockBatchNorm" in kinds) == (norm == "batch" and name != "vit_small")
    assert {"relu": "ReLU", "gelu": "GELU", "softplus": "Softplus", "tanh": "Tanh"}[
        activation
    ] in kinds


def test_weights_follow_the_seed_and_leave_the_global_state_alone():
    before = torch.get_rng_state()
    one, same, other = (build.build("resnet8", **CIFAR, seed=s).conv1.weight for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("key", ["name", "norm", "activation"])
def test_an_unknown_choice_names_what_there_is(key):
    choices = {"name": "resnet8", key: "resnet7"}
    with pytest.raises(ConfigError, match="'resnet7': must be one of"):
        build.build(**choices, **CIFAR)


def test_the_perceptron_has_its_layers_and_no_normalisation():
    layers = [m for m in build.build("mlp", **CIFAR, norm="none").modules() if hasattr(m, "weight")]
    assert [tuple(m.weight.shape) for m in layers] == [(32, 3072), (32, 32), (10, 32)]
    with pytest.raises(ConfigError, match="norm = 'batch': must be 'none' with model = mlp"):
        build.build("mlp", **CIFAR, norm="batch")


def blocks(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 5, 5, generator=generator, dtype=dtype)
    layer = BlockBatchNorm(3).to(dtype)
    with torch.no_grad():
        layer.weight.uniform_(0.5, 2, generator=generator)
        layer.bias.normal_(generator=generator)
    return layer, images.to(memory_format=torch.channels_last).requires_grad_()


def test_batchnorms_second_derivative_is_right():
    layer, images = blocks()

    def normalised(images, weight, bias):
        with twice_differentiable(layer):
            return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (images,))

    inputs = (images, layer.weight, layer.bias)
    assert torch.autograd.gradcheck(normalised, inputs)
    assert torch.autograd.gradgradcheck(normalised, inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_its_value_and_gradient_are_torchs_to_the_last_bit(dtype):
    layer, images = blocks(dtype)
    inputs = (images, layer.weight, layer.bias)

    def both():
        found = layer(images)
        return found, *torch.autograd.grad(found.square().sum(), inputs)

    usual = both()
    buffers = [buffer.clone() for buffer in layer.buffers()]
    with twice_differentiable(layer):
        twice = both()
    for one, other in zip(usual, twice, strict=True):
        assert torch.equal(one, other)
    for before, after in zip(buffers, layer.buffers(), strict=True):
        assert torch.equal(before, after), "buffers stay as they are"


def test_mse_is_half_the_squared_distance_from_one_hot_summed_over_images():
    outputs = torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.5, 0.0]], requires_grad=True)
    loss = LOSSES.factory("mse")()(outputs, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx((4 + 0.25) / 2)
    loss.backward()
    torch.testing.assert_close(outputs.grad, torch.tensor([[0.0, 0.0, 2.0], [0.0, -0.5, 0.0]]))
