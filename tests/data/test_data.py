import hashlib
import io
import json
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

import adambias as ab
from adambias.config import DatasetSpec
from adambias.core.errors import ConfigError, DataError
from adambias.data.archives import list_images, read_images
from adambias.data.manifest import read_manifest
from adambias.data.preparation import prepare


def test_digits_split_is_stratified_disjoint_and_complete(digits):
    counts = digits.train_targets.bincount() + digits.test_targets.bincount()
    assert digits.train_inputs.shape == (400, 1, 8, 8)
    assert digits.test_inputs.shape == (1397, 1, 8, 8)
    share = digits.train_targets.bincount() / counts
    assert (share - 400 / 1797).abs().max() < 1 / counts.min()
    both = torch.cat([digits.train_inputs, digits.test_inputs]).flatten(1)
    from sklearn.datasets import load_digits

    everything = np.sort(load_digits().data.astype(np.uint8), axis=0)
    assert np.array_equal(np.sort(both.numpy(), axis=0), everything)


def test_standardised_training_images_have_mean_zero_and_variance_one(digits):
    images = digits.standardised(digits.train_inputs, torch.float64)
    assert images.mean().abs() < 1e-12
    assert abs(images.std(correction=0) - 1) < 1e-12
    assert digits.train_inputs.dtype == torch.uint8


def test_a_second_reader_finds_the_same_data_and_other_settings_their_own_folder(tmp_path):
    first = ab.load_dataset("digits", train_size=50, root=tmp_path)
    again = ab.load_dataset("digits", root=tmp_path)
    other = ab.load_dataset("digits", train_size=60, root=tmp_path)
    assert again.digest == first.digest != other.digest
    assert len(ab.load_dataset("digits", root=tmp_path).train_targets) == 50
    folders = sorted(p.name for p in tmp_path.iterdir())
    assert folders[0] == "digits"
    assert folders[1].startswith("digits-")
    assert len(folders) == 2


def test_manifest_holds_checksums_counts_and_settings(tmp_path):
    prepare("digits", DatasetSpec(source="digits", train_size=50, label_noise=0.2), tmp_path)
    manifest = read_manifest(tmp_path / "digits")
    assert sum(manifest["class_counts"]["train"]) == 50
    assert manifest["files"]["train_images.npy"]["shape"] == [50, 1, 8, 8]
    assert manifest["settings"]["label_noise"] == 0.2
    assert len(manifest["digest"]) == 64


def test_label_noise_changes_that_share_of_the_labels(tmp_path):
    clean = ab.load_dataset("digits", train_size=200, root=tmp_path)
    noisy = ab.load_dataset("digits", train_size=200, label_noise=0.25, root=tmp_path)
    assert torch.equal(clean.train_inputs, noisy.train_inputs)
    assert (clean.train_targets != noisy.train_targets).sum() == 50
    assert torch.equal(clean.test_targets, noisy.test_targets)


def test_a_damaged_array_is_refused_with_file_and_mend(tmp_path):
    ab.load_dataset("digits", train_size=50, root=tmp_path)
    file = tmp_path / "digits" / "train_images.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"train_images.npy: is damaged.*SHA-256.*dvc repro") as e:
        ab.load_dataset("digits", root=tmp_path)
    assert "\n" not in str(e.value)


def test_an_edited_manifest_is_refused(tmp_path):
    ab.load_dataset("digits", train_size=50, root=tmp_path)
    file = tmp_path / "digits" / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["normalisation"]["mean"] = [0.0]
    file.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"manifest.json: is damaged"):
        read_manifest(tmp_path / "digits")


def test_preparing_twice_writes_the_same_bytes(tmp_path):
    spec = DatasetSpec(source="digits", train_size=50)
    one, two = (prepare("digits", spec, tmp_path / side) for side in ("a", "b"))
    for file in one.iterdir():
        assert file.read_bytes() == (two / file.name).read_bytes()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["digits"]


@pytest.mark.parametrize(("key", "size"), [("train_size", 1797), ("test_size", 1500)])
def test_too_large_a_part_is_refused(tmp_path, key, size):
    with pytest.raises(ConfigError, match=f"{key} = {size}"):
        ab.load_dataset("digits", root=tmp_path, **{"train_size": 400} | {key: size})


def test_cifar_without_a_copy_and_without_a_network_says_what_to_do(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("ADAMBIAS_DOWNLOADS", str(tmp_path / "downloads"))
    with pytest.raises(DataError, match=r"cannot be downloaded.*image_folder"):
        ab.load_dataset("cifar10", root=tmp_path)
    assert not (tmp_path / "cifar10").exists()


def _torchvisions_copy(folder, monkeypatch):
    """Write a copy of CIFAR-10 with five images a file, and tell torchvision its checksums."""
    from torchvision.datasets import CIFAR10

    files = folder / CIFAR10.base_folder
    files.mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [name for name, _ in CIFAR10.train_list + CIFAR10.test_list]
    contents = {"batches.meta": {"label_names": [f"class {i}" for i in range(10)]}}
    for name in names:
        pixels = rng.integers(0, 256, (5, 3 * 32 * 32)).astype(np.uint8)
        contents[name] = {"data": pixels, "labels": [0, 1, 2, 3, 4]}
    sums = {}
    for name, content in contents.items():
        (files / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((files / name).read_bytes()).hexdigest()
    for kind in ("train_list", "test_list"):
        monkeypatch.setattr(CIFAR10, kind, [[n, sums[n]] for n, _ in getattr(CIFAR10, kind)])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": sums["batches.meta"]})
    monkeypatch.setenv("ADAMBIAS_DOWNLOADS", str(folder))
    return {name: contents[name]["data"] for name in names}


def test_an_existing_copy_of_cifar_is_read_through_torchvision(tmp_path, monkeypatch):
    pixels = _torchvisions_copy(tmp_path / "downloads", monkeypatch)
    data = ab.load_dataset("cifar10", root=tmp_path)
    assert data.train_inputs.shape == (25, 3, 32, 32)
    assert torch.equal(data.test_inputs.flatten(1), torch.from_numpy(pixels["test_batch"]))
    assert data.train_targets.bincount().tolist() == [5] * 5
    assert data.num_classes == 10


def test_a_copy_of_cifar_that_fails_its_checksum_is_never_unpickled(tmp_path, monkeypatch):
    _torchvisions_copy(tmp_path / "downloads", monkeypatch)
    (file,) = (tmp_path / "downloads").glob("*/data_batch_3")
    file.write_bytes(b"cos\nabort\n(tR.")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(DataError, match="cannot be downloaded"):
        ab.load_dataset("cifar10", root=tmp_path)


def _png(colour, mode="RGB", size=8):
    buffer = io.BytesIO()
    Image.new(mode, (size, size), colour).save(buffer, "PNG")
    return buffer.getvalue()


def _tree():
    """Two classes of 6 training and 3 test images, each of one colour of its own."""
    counts = {"train": 6, "test": 3}
    return {
        f"pictures/{split}/{label}/{i}.png": _png((i, 100 * red, split == "test"))
        for split, count in counts.items()
        for red, label in enumerate(("cat", "dog"))
        for i in range(count)
    }


def _write(path, files):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    elif path.suffix:
        with tarfile.open(path, "w:" + path.suffix[1:]) as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    else:
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["tree", "pictures.tar.xz", "pictures.tar.gz", "pictures.zip"])
def test_image_folder_reads_trees_and_archives_alike(tmp_path, name):
    path = _write(tmp_path / name, _tree())
    data = ab.load_dataset("pets", path=path, train_size=8, root=tmp_path / "data")
    assert data.train_inputs.shape == (8, 3, 8, 8)
    assert data.train_targets.bincount().tolist() == [4, 4]
    assert len(data.test_targets) == 6
    # The green channel tells the class, the blue one the split.
    assert torch.equal(data.train_inputs[:, 1, 0, 0], 100 * data.train_targets.byte())
    assert data.test_inputs[:, 2].eq(1).all()
    assert data.train_inputs[:, 2].eq(0).all()


def test_an_image_tree_without_splits_is_split(tmp_path):
    files = {f"{c}/{i}.png": _png(10 * i, "L") for c in "ab" for i in range(5)}
    data = ab.load_dataset("x", path=_write(tmp_path / "t", files), train_size=6, root=tmp_path)
    assert data.train_inputs.shape == (6, 1, 8, 8)
    assert len(data.test_targets) == 4
    with pytest.raises(ConfigError, match="train_size"):
        ab.load_dataset("y", path=tmp_path / "t", root=tmp_path)


@pytest.mark.parametrize("name", ["tree", "pictures.zip"])
@pytest.mark.parametrize("seed", range(4))
def test_one_coloured_image_makes_the_whole_folder_coloured(tmp_path, name, seed):
    files = {f"grey/{i}.png": _png(10 * i, "L") for i in range(5)}
    files |= {f"mixed/{i}.png": _png(100 + i, "L") for i in range(4)}
    files["mixed/4.png"] = _png((1, 2, 3))
    path = _write(tmp_path / name, files)
    # Whether the coloured image is among the four that are wanted depends on the seed.
    data = ab.load_dataset(
        "x", path=path, train_size=4, test_size=2, seed=seed, root=tmp_path / str(seed)
    )
    assert data.train_inputs.shape == (4, 3, 8, 8)
    everything = torch.cat([data.train_inputs, data.test_inputs])
    bright = everything[everything[:, 0, 0, 0] != 1]
    assert torch.equal(bright, bright[:, :1].expand_as(bright))


def test_every_image_is_read_before_a_folder_counts_as_grey(tmp_path):
    path = _write(tmp_path / "t", {"a/0.png": _png(1, "L"), "b/1.png": _png((1, 2, 3))})
    assert read_images(path, list_images(path)[:1]).shape == (1, 3, 8, 8)
    assert read_images(path, list_images(path)[1:])[0, :, 0, 0].tolist() == [1, 2, 3]
    both = read_images(path, list_images(path))
    assert both[:, :, 0, 0].tolist() == [[1, 1, 1], [1, 2, 3]]


@pytest.mark.parametrize(("mode", "suffix"), [("I;16", "PNG"), ("I", "TIFF"), ("F", "TIFF")])
def test_pixels_of_more_than_8_bits_are_refused(tmp_path, mode, suffix):
    buffer = io.BytesIO()
    Image.new(mode, (8, 8), 40_000).save(buffer, suffix)
    files = {f"a/0.{suffix.lower()}": buffer.getvalue(), "a/1.png": _png(1, "L")}
    path = _write(tmp_path / "t", files)
    for wanted in list_images(path), list_images(path)[1:]:
        with pytest.raises(DataError, match=rf"a/0\.\w+ has pixels of mode {mode}") as error:
            read_images(path, wanted)
        assert "\n" not in str(error.value)


def test_links_in_archives_are_refused(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("train/cat/1.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/hosts"
        archive.addfile(member)
    with pytest.raises(DataError, match="a link or device"):
        list_images(path)


def test_a_cut_off_archive_and_a_broken_image_are_named(tmp_path):
    path = _write(tmp_path / "a.tar.xz", _tree())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"a.tar.xz: cannot be read"):
        ab.load_dataset("pets", path=path, root=tmp_path)
    files = _tree() | {"pictures/train/cat/0.png": b"not an image"}
    with pytest.raises(DataError, match=r"train/cat/0.png is not a readable image"):
        ab.load_dataset("pets", path=_write(tmp_path / "b.zip", files), root=tmp_path)
    files = _tree() | {"pictures/train/cat/0.png": _png(0, size=9)}
    with pytest.raises(DataError, match="expected"):
        ab.load_dataset("pets", path=_write(tmp_path / "c.zip", files), root=tmp_path)


def test_real_cifar_images_train(tmp_path, cifar_archive, quick):
    data = ab.load_dataset(
        "cifar10",
        source="image_folder",
        path=cifar_archive,
        train_size=40,
        test_size=20,
        root=tmp_path,
    )
    assert data.train_inputs.shape == (40, 3, 32, 32)
    assert data.train_targets.bincount().tolist() == [4] * 10
    # Natural images: bright and dark pixels, and channels near the known means of CIFAR-10.
    assert all(abs(m - known) < 25 for m, known in zip(data.mean, (125, 123, 114), strict=True))
    trial = quick(dataset="cifar10", epochs=2)
    records = list(ab.train(trial, data))
    assert [r.epoch for r in records] == [0, 1]
    assert 1.5 < records[0].train_loss < 4
    assert records[1].test_accuracy is not None
    assert records[1].train_loss != records[0].train_loss


def test_a_dataset_is_a_line_in_a_repl(few_digits):
    shown = repr(few_digits)
    assert shown == (
        "Dataset('digits', 40 training and 30 test inputs of (1, 8, 8), 10 classes, "
        f"digest {few_digits.digest[:12]})"
    )
    assert repr(few_digits.first(5)).startswith("Dataset('digits', 5 training and 5 test inputs")
