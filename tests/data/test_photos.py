"""The rotations of the photographs' tiles, read back from the photographs themselves."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

import adambias as ab
from adambias.config import DatasetSpec
from adambias.core.errors import ConfigError, DataError
from adambias.data.manifest import read_manifest
from adambias.data.preparation import prepare


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Return all 2,080 images of each split."""
    return ab.load_dataset("photos", train_size=2080, root=tmp_path_factory.mktemp("photos"))


def upright(images, labels):
    """Turn images (N, C, H, W) back, so that all have the class 0."""
    turned = zip(images.numpy(), labels.numpy(), strict=True)
    return [np.rot90(image, -label, axes=(1, 2)) for image, label in turned]


def tiles_of(images):
    """Return the tiles that images come from: of a tile and its mirror image, the lesser bytes."""
    return {min(image.tobytes(), image[:, :, ::-1].tobytes()) for image in images}


def halved(name):
    """Return the tiles of a photograph that Pillow, not NumPy, has halved."""
    full = Image.fromarray(load_sample_image(name)).crop((0, 0, 640, 416))
    half = np.asarray(full.reduce(2)).transpose(2, 0, 1)
    corners = [(i, j) for i in range(0, 208, 16) for j in range(0, 320, 16)]
    return [half[:, i : i + 16, j : j + 16] for i, j in corners]


def test_the_images_are_all_rotations_of_the_photographs_tiles(everything):
    train = upright(everything.train_inputs, everything.train_targets)
    test = upright(everything.test_inputs, everything.test_targets)
    expected = tiles_of(halved("china.jpg") + halved("flower.jpg"))
    assert len(expected) == 520
    assert tiles_of(train) | tiles_of(test) == expected
    # Each tile is there eight times: as it is and mirrored, in four rotations.
    assert len({image.tobytes() for image in train}) == len(train) / 4 == 520
    assert everything.train_inputs.shape == everything.test_inputs.shape == (2080, 3, 16, 16)
    assert everything.test_targets.bincount().tolist() == [520] * 4


def test_no_tile_is_in_both_splits_and_each_photograph_gives_half_its_tiles(everything):
    train = tiles_of(upright(everything.train_inputs, everything.train_targets))
    test = tiles_of(upright(everything.test_inputs, everything.test_targets))
    assert not train & test
    for name in ("china.jpg", "flower.jpg"):
        tiles = tiles_of(halved(name))
        assert len(train & tiles) == len(test & tiles) == 130


def test_sizes_are_stratified_and_the_seed_draws_other_tiles(tmp_path):
    small, other = (
        ab.load_dataset("photos", train_size=100, test_size=200, seed=seed, root=tmp_path)
        for seed in (0, 1)
    )
    assert small.train_targets.bincount().tolist() == [25] * 4
    assert small.test_targets.bincount().tolist() == [50] * 4
    both = [tiles_of(upright(data.test_inputs, data.test_targets)) for data in (small, other)]
    assert both[0] != both[1]
    for key in ("train_size", "test_size"):
        with pytest.raises(ConfigError, match=rf"{key}.*at most 2080"):
            ab.load_dataset("photos", root=tmp_path, **{"train_size": 8} | {key: 2081})


def test_the_default_dataset_is_the_same_on_every_machine(tmp_path):
    prepare("photos", DatasetSpec(source="photos"), tmp_path)
    manifest = read_manifest(tmp_path / "photos")
    assert manifest["settings"]["train_size"] == manifest["train_size"] == 500
    assert manifest["digest"] == "ebe7a220aad14aec275435b3d6f7c067aab638f0abec1959c353602a0dca4695"


def test_pixels_of_another_jpeg_decoder_are_refused(tmp_path, monkeypatch):
    """One value in another last digit, as IJG's libjpeg gives some, must not be another dataset."""

    def other_decoder(name):
        pixels = load_sample_image(name).copy()
        pixels[100:102, 200:202, 1] += 1
        return pixels

    monkeypatch.setattr("sklearn.datasets.load_sample_image", other_decoder)
    with pytest.raises(DataError, match=r"china\.jpg: its pixels .* install Pillow from a wheel"):
        ab.load_dataset("photos", root=tmp_path)
    assert not any(tmp_path.iterdir())
