"""The manifest of a prepared dataset: checksums, settings, and one digest over it all."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from adambias.config import DatasetSpec
from adambias.core.errors import DataError
from adambias.core.registry import code_of, is_own

MANIFEST = "manifest.json"
PREPARE = "dvc repro prepare, or adambias run FILE for an experiment"
"""What prepares data, in an error's words."""
TRAIN_SIZES = {"digits": 400, "photos": 500, "diabetes": 300, "text": 400}
"""Training inputs of the sources that come without a split, where none are asked for."""

FROM_A_FILE = ("arrays", "text")
"""Sources whose file is part of the settings by its content."""
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
"""Files of a dataset of images with classes, without their ending."""
TENSORS = ("train_inputs", "train_targets", "test_inputs", "test_targets")
"""Files of any other dataset."""


def arrays_of(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the files of a dataset, without their ending, in the order of :data:`TENSORS`."""
    return TENSORS if f"{TENSORS[0]}.npy" in manifest["files"] else ARRAYS


def settings(spec: DatasetSpec) -> dict[str, Any]:
    """Return what identifies a preparation.

    Default sizes are filled in, and a source of one's own is known by its code.
    """
    fields = [field for field in dataclasses.fields(spec) if not field.metadata.get("given")]
    values = {field.name: getattr(spec, field.name) for field in fields}
    # Left out without any, as manifests have it that were written before there were options.
    values["options"] = dict(spec.options)
    if not spec.options:
        del values["options"]
    if spec.train_size is None:
        values["train_size"] = TRAIN_SIZES.get(spec.source)
    if spec.source in FROM_A_FILE and spec.path is not None:
        values["file"] = _sha256(Path(spec.base, spec.path))
    if is_own(spec.source):
        values["source_code"] = code_of(spec.source)
    return values


def _sha256(file: Path) -> str | None:
    """Return the checksum of a file; None if it is not here, as on a node with prepared data."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None


def is_prepared_as(manifest: Mapping[str, Any], spec: DatasetSpec) -> bool:
    """Tell whether a manifest's settings are those of a specification.

    A file that is not here cannot have changed: a node needs the prepared data, not the file.
    """
    asked = settings(spec)
    if asked.get("file", "") is None:
        asked["file"] = manifest["settings"].get("file")
    return bool(manifest["settings"] == asked)


def prepared_shape(name: str, root: str | Path | None = None) -> tuple[int, ...] | None:
    """Return the shape (N, ...) of the training inputs at ``<root>/<name>``; None if unknown."""
    try:
        manifest = read_manifest(data_root(root) / name)
    except (DataError, OSError):
        return None
    entry = manifest["files"].get(f"{arrays_of(manifest)[0]}.npy", {})
    return tuple(entry["shape"]) if "shape" in entry else None


def prepared_digest(name: str, spec: DatasetSpec, root: str | Path | None = None) -> str:
    """Return the digest of the dataset at ``<root>/<name>``, prepared as ``spec`` asks.

    Raises
    ------
    DataError
        If it is absent, damaged, or prepared with other settings.
    """
    folder = data_root(root) / name
    if not (folder / MANIFEST).exists():
        raise DataError(f"{folder}: is not prepared: run {PREPARE}")
    manifest = read_manifest(folder)
    if not is_prepared_as(manifest, spec):
        raise DataError(
            f"{folder}: was prepared with other settings than the scale's: run {PREPARE}"
        )
    return cast(str, manifest["digest"])


def check_arrays(name: str, root: str | Path | None = None) -> None:
    """Compare the arrays at ``<root>/<name>`` with the checksums of their manifest.

    Raises
    ------
    DataError
        If one is absent or damaged.
    """
    folder = data_root(root) / name
    manifest = read_manifest(folder)
    for key in arrays_of(manifest):
        read_array(folder, key, manifest)


def data_root(root: str | Path | None = None) -> Path:
    """Return ``root``, or ``ADAMBIAS_DATA``, or ``data``."""
    return Path(root or os.environ.get("ADAMBIAS_DATA") or "data")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a dataset's folder, which must match its digest.

    Raises
    ------
    DataError
        If it is absent or damaged.
    """
    file = folder / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        sound = manifest["digest"] == digest_of(manifest)
    except FileNotFoundError:
        raise DataError(f"{file}: is missing; run dvc repro prepare") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise damaged(file, "a manifest in JSON") from None
    if not sound:
        raise damaged(file, "contents that match its digest")
    return cast("dict[str, Any]", manifest)


def damaged(file: Path, expected: str) -> DataError:
    """Return the error of a file that is not what it should be."""
    return DataError(
        f"{file}: is damaged, expected {expected}; delete {file.parent} and run dvc repro prepare"
    )


def digest_of(manifest: Mapping[str, Any]) -> str:
    """Return one SHA-256 over the arrays and their normalisation."""
    keys = ("format", "classes", "normalisation")
    content = {key: manifest[key] for key in keys}
    content["files"] = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_array(folder: Path, key: str, manifest: Mapping[str, Any]) -> np.ndarray:
    """Return one array of a dataset, whose checksum must be the manifest's."""
    file = folder / f"{key}.npy"
    expected = manifest["files"].get(file.name, {}).get("sha256")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read ({error.strerror}); delete {folder} and run dvc repro prepare"
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise damaged(file, f"SHA-256 {str(expected)[:12]}… and found {found[:12]}…")
    return cast(np.ndarray, np.load(io.BytesIO(content), allow_pickle=False))
