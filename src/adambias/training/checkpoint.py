"""Checkpoints: bytes that know whether they are whole, and files that fall back.

A checkpoint is what ``torch.save`` writes, followed by a footer with its SHA-256. It holds tensors
and plain values only, so ``torch.load(path, weights_only=True)`` reads it too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from adambias.config import Trial
from adambias.core.errors import CheckpointError
from adambias.core.files import flush, replacing

_MAGIC = b"adambias"
_FOOTER = len(_MAGIC) + hashlib.sha256().digest_size


def dumps(state: Mapping[str, Any]) -> bytes:
    """Return a state as bytes."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    content = buffer.getvalue()
    return content + _MAGIC + hashlib.sha256(content).digest()


def loads(content: bytes, trial: Trial | None = None) -> dict[str, Any]:
    """Return the state that :func:`dumps` turned into ``content``.

    Parameters
    ----------
    content : bytes
        A checkpoint.
    trial : Trial, optional
        Refuse the checkpoint of any other trial; one with fewer epochs may be extended.

    Raises
    ------
    CheckpointError
        If it is damaged, or of another trial.
    """
    body, footer = content[:-_FOOTER], content[-_FOOTER:]
    if footer != _MAGIC + hashlib.sha256(body).digest():
        raise CheckpointError(f"checkpoint of {len(content)} bytes is damaged or cut off")
    state: dict[str, Any] = torch.load(io.BytesIO(body), weights_only=True, map_location="cpu")
    if trial is not None:
        require_same_trial(state.get("trial", {}), trial)
    return state


def require_same_trial(found: Mapping[str, Any], trial: Trial) -> None:
    """Refuse the state of another trial; one of fewer epochs is the same trial, cut short.

    Raises
    ------
    CheckpointError
        Naming the first field that differs.
    """
    fields = {field.name: field for field in dataclasses.fields(trial)}
    for key in {**fields, **found}:
        # A state of an earlier version lacks what came later, and means "as before" by it.
        later = key in fields and "later" in fields[key].metadata
        value, other = (
            getattr(trial, key, None),
            found.get(key, fields[key].default if later else None),
        )
        shorter = key == "epochs" and other is not None and other < value
        if other != value and not (shorter and trial.can_be_extended):
            raise CheckpointError(
                f"checkpoint of another trial: {key} = {other!r}, this trial has {value!r}; "
                "remove the checkpoint or correct the trial"
            )


def save(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically; the one before stays as ``<stem>.prev<suffix>``."""
    path = Path(path)
    with replacing(path) as new:
        new.write_bytes(dumps(state))
        # On the disk before the older one moves, so that one of the two is whole at any moment.
        flush(new)
        if path.exists():
            path.replace(_previous(path))


def load(path: str | Path, trial: Trial | None = None) -> dict[str, Any]:
    """Read a checkpoint; if it is damaged or absent, the one before it, with a warning.

    Raises
    ------
    CheckpointError
        If neither can be read, or the checkpoint is of another trial than ``trial``.
    """
    path = Path(path)
    problems = []
    for file in (path, _previous(path)):
        try:
            state = loads(file.read_bytes())
        except OSError as error:
            problems.append(f"{file}: {error.strerror}")
        except CheckpointError as error:
            problems.append(f"{file}: {error}")
        else:
            if problems:
                warnings.warn(f"{problems[0]}; going on from {file}", stacklevel=2)
            if trial is not None:
                require_same_trial(state.get("trial", {}), trial)
            return state
    raise CheckpointError(f"{'; '.join(problems)}; remove the folder's checkpoints to start again")


def _previous(path: Path) -> Path:
    return path.with_name(f"{path.stem}.prev{path.suffix}")
