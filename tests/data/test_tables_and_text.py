"""Sources that are not images: arrays, tables and text."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

import adambias as ab
from adambias.config import DatasetSpec
from adambias.core.errors import ConfigError, DataError
from adambias.data.manifest import prepared_digest
from adambias.data.preparation import expected_shape, prepare


def test_the_diabetes_table_is_split_and_its_target_standardised(tmp_path):
    data = ab.load_dataset("diabetes", root=tmp_path)
    assert (len(data.train_inputs), len(data.test_inputs)) == (300, 142)
    assert data.input_shape == (10,)
    assert (data.num_classes, data.outputs, data.vocabulary) == (0, 1, None)
    assert float(data.train_targets.mean()) == pytest.approx(0, abs=1e-12)
    assert float(data.train_targets.std(unbiased=False)) == pytest.approx(1)
    scaled = data.standardised(data.train_inputs, torch.float64)
    assert torch.allclose(scaled.mean(0), torch.zeros(10, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(scaled.std(0, unbiased=False), torch.ones(10, dtype=torch.float64))
    assert "300 training and 142 test inputs of (10,), 1 numbers" in repr(data)
    assert expected_shape(DatasetSpec(source="diabetes")) == (300, 10)


def test_text_is_to_be_continued_by_one_token_at_every_place(tmp_path):
    (tmp_path / "mine.txt").write_text("abcdefghij" * 40, encoding="utf-8")
    data = ab.load_dataset(
        "mine", source="text", path=tmp_path / "mine.txt", root=tmp_path / "data",
        train_size=20, options={"length": 7},
    )  # fmt: skip
    assert data.train_inputs.shape == data.train_targets.shape == (20, 7)
    assert data.vocabulary == data.outputs == 10
    assert torch.equal(data.train_targets, (data.train_inputs + 1) % 10)
    assert torch.equal(data.test_targets, (data.test_inputs + 1) % 10)
    starts = {tuple(row) for row in data.train_inputs.tolist()}
    assert len(starts) > 1
    assert data.standardised(data.train_inputs, torch.float32) is data.train_inputs


def test_training_and_test_text_do_not_overlap(tmp_path):
    text = "".join(chr(0x4E00 + i) for i in range(4000))
    (tmp_path / "mine.txt").write_text(text, encoding="utf-8")
    data = ab.load_dataset(
        "mine", source="text", path=tmp_path / "mine.txt", root=tmp_path / "data",
        options={"length": 10},
        train_size=300,
    )  # fmt: skip
    assert not set(data.train_inputs.ravel().tolist()) & set(data.test_targets.ravel().tolist())


def test_pythons_own_text_needs_no_file_and_bytes_are_256_tokens(tmp_path):
    data = ab.load_dataset("text", train_size=30, test_size=10, root=tmp_path)
    assert data.input_shape == (32,)
    assert 60 < data.vocabulary < 400
    manifest = json.loads((tmp_path / "text" / "manifest.json").read_text(encoding="utf-8"))
    read = "".join(manifest["classes"][i] for i in data.train_inputs[0])
    assert sum(letter.isalpha() or letter.isspace() for letter in read) > 16
    other = ab.load_dataset(
        "text", train_size=30, test_size=10, root=tmp_path, options={"tokens": "bytes"}
    )
    assert other.vocabulary == 256
    assert other.digest != data.digest


@pytest.mark.parametrize("classes", [False, True])
def test_arrays_in_a_file(tmp_path, classes):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(40, 3, 5)).astype(np.float32)
    targets = np.arange(40) % 4 if classes else rng.normal(size=(40, 2))
    np.savez(tmp_path / "mine.npz", inputs=inputs, targets=targets)
    data = ab.load_dataset(
        "mine", source="arrays", path=tmp_path / "mine.npz", train_size=24, root=tmp_path / "data"
    )
    assert data.input_shape == (3, 5)
    assert data.outputs == (4 if classes else 2)
    assert len(data.mean) == 5
    if classes:
        assert data.train_targets.bincount().tolist() == [6] * 4
    trial = ab.Trial(
        dataset="mine", model="mlp", norm="none", loss="cross_entropy" if classes else "mse",
        h=1e-2, epochs=3,
    )  # fmt: skip
    losses = [record.train_loss for record in ab.train(trial, data, device="cpu")]
    assert losses[-1] < losses[0]


def test_arrays_with_a_split_of_their_own_keep_it(tmp_path):
    arrays = {
        "train_inputs": np.arange(12.0).reshape(6, 2), "train_targets": np.arange(6.0),
        "test_inputs": np.ones((3, 2)), "test_targets": np.ones(3),
    }  # fmt: skip
    np.savez(tmp_path / "mine.npz", **arrays)
    data = ab.load_dataset("mine", source="arrays", path=tmp_path / "mine.npz", root=tmp_path / "d")
    assert sorted(data.train_targets.tolist()) == [0, 1, 2, 3, 4, 5]
    order = data.train_targets.long()
    assert torch.equal(data.train_inputs, torch.from_numpy(arrays["train_inputs"])[order])


def test_a_file_with_a_split_takes_no_sizes_and_one_that_changed_is_prepared_anew(tmp_path):
    arrays = {
        "train_inputs": np.ones((6, 2)), "train_targets": np.arange(6.0),
        "test_inputs": np.ones((3, 2)), "test_targets": np.ones(3),
    }  # fmt: skip
    file = tmp_path / "mine.npz"
    np.savez(file, **arrays)
    spec = DatasetSpec(source="arrays", path=str(file))
    with pytest.raises(ConfigError, match=r"^train_size = 3: leave it out"):
        prepare("mine", DatasetSpec(source="arrays", path=str(file), train_size=3), tmp_path)
    prepare("mine", spec, tmp_path)
    first = prepared_digest("mine", spec, tmp_path)
    np.savez(file, **(arrays | {"test_targets": np.zeros(3)}))
    with pytest.raises(DataError, match="was prepared with other settings"):
        prepared_digest("mine", spec, tmp_path)
    file.unlink()
    assert prepared_digest("mine", spec, tmp_path) == first, "a node needs the data, not the file"


def test_a_table_in_parquet(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"a": rng.normal(size=30), "b": np.arange(30), "price": rng.normal(size=30)}
    )
    table.to_parquet(tmp_path / "mine.parquet")
    common = {"source": "arrays", "path": tmp_path / "mine.parquet", "train_size": 20}
    data = ab.load_dataset("mine", **common, options={"target": "price"}, root=tmp_path / "d")
    assert data.input_shape == (2,)
    assert set(data.train_targets.tolist()) <= set(table["price"])
    with pytest.raises(ConfigError, match=r"^options.target = 'prize': .*did you mean price"):
        ab.load_dataset("other", **common, options={"target": "prize"}, root=tmp_path / "d")
    table.assign(a="word").to_parquet(tmp_path / "mine.parquet")
    with pytest.raises(DataError, match="column a must hold numbers"):
        ab.load_dataset("third", **common, options={"target": "price"}, root=tmp_path / "d")


def test_a_manifest_of_before_there_were_options_still_counts(tmp_path):
    spec = DatasetSpec(source="digits", train_size=50)
    folder = prepare("digits", spec, tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert "options" not in manifest["settings"]
    assert prepared_digest("digits", spec, tmp_path) == manifest["digest"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"source": "text", "options": {"length": 0}}, r"^options.length = 0"),
        ({"source": "text", "options": {"tokens": "words"}}, r"^options.tokens = 'words'"),
        (
            {"source": "text", "options": {"lenght": 9}},
            r"^options.lenght = 9: .*did you mean length",
        ),
        ({"source": "text", "train_size": 10**7}, r"^train_size = 10000000: must be at most"),
        ({"source": "text", "label_noise": 0.5}, r"^label_noise = 0.5: .*are no classes"),
        ({"source": "diabetes", "train_size": 442}, r"^train_size = 442: must be below 442"),
        (
            {"source": "digits", "options": {"length": 3}},
            r"digits takes no such option, leave it out",
        ),
    ],
)
def test_bad_settings_are_refused(tmp_path, spec, words):
    with pytest.raises(ConfigError, match=words):
        prepare("mine", DatasetSpec(**spec), tmp_path)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"source": "arrays"}, r"^path = None: is needed by sources image_folder and arrays"),
        ({"source": "digits", "path": "x"}, r"^path = 'x': is needed by sources"),
    ],
)
def test_a_path_is_for_those_that_read_one(spec, words):
    with pytest.raises(ConfigError, match=words):
        DatasetSpec(**spec)


def test_a_file_that_is_none_is_refused(tmp_path):
    for name, content in (("a.npz", b"no"), ("a.parquet", b"no")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            ab.load_dataset(
                "mine", source="arrays", path=tmp_path / name, train_size=2, root=tmp_path
            )
    with pytest.raises(DataError, match="cannot be read"):
        ab.load_dataset("mine", source="arrays", path=tmp_path / "none.npz", root=tmp_path)
    (tmp_path / "t.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match="text in UTF-8"):
        ab.load_dataset("mine", source="text", path=tmp_path / "t.txt", root=tmp_path)
