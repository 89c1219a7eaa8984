"""A trial's key, and what it depends on besides its fields: the data, and code of one's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adambias.config import SEMANTICS_VERSION, Trial
from adambias.core.registry import MISSING, code_of


def own_sources(trial: Trial) -> dict[str, str]:
    """Return the SHA-256 of the code of one's own that a trial names, by field and ``_source``.

    Built-in names have none: :data:`SEMANTICS_VERSION` stands for their code. Where a file is not
    to be found it is :data:`~adambias.core.registry.MISSING`; such a trial is never finished.
    """
    found = {
        f"{name}_source": [code_of(each) for each in named]
        for name, named in trial.own_code().items()
    }
    return {name: MISSING if MISSING in codes else _one(codes) for name, codes in found.items()}


def _one(codes: list[str]) -> str:
    """Return one digest for several; that of a single one is its own."""
    return codes[0] if len(codes) == 1 else hashlib.sha256(" ".join(codes).encode()).hexdigest()


def trial_key(trial: Trial, data_digest: str, sources: Mapping[str, str] | None = None) -> str:
    """Return the trial's identity: 16 hexadecimal digits.

    Parameters
    ----------
    trial : Trial
        Every hyperparameter.
    data_digest : str
        SHA-256 of the prepared data, from its manifest.
    sources : mapping, optional
        What :func:`own_sources` tells of the trial.

    Returns
    -------
    str
        The first 16 hexadecimal digits of the SHA-256 of a canonical JSON text. The semantics
        version is part of it, and code of one's own; grid names, devices and clusters are not.
        Fields that came later are left out while they hold the value that means "as before"; see
        :func:`adambias.config.trial.later`.
    """
    identity = {
        "semantics": SEMANTICS_VERSION,
        "trial": trial.identity(),
        "data": data_digest,
        **(sources or {}),
    }
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A trial with its key and what it depends on besides: its data, and code of one's own.

    Parameters
    ----------
    key : str
        See :func:`trial_key`.
    trial : Trial
        What to train.
    data_digest : str
        SHA-256 of the prepared data.
    sources : dict
        What :func:`own_sources` told of the trial when it was planned.
    """

    key: str
    trial: Trial
    data_digest: str
    sources: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, trial: Trial, data_digest: str, sources: Mapping[str, str] | None = None) -> Job:
        """Compute the key of ``trial`` on the data with this digest.

        ``sources`` are those of its own code when it was planned, by default what they are now.
        """
        if sources is None:
            sources = own_sources(trial)
        key = trial_key(trial, data_digest, sources)
        return cls(key=key, trial=trial, data_digest=data_digest, sources=sources)

    @classmethod
    def recorded(cls, trial: Trial, content: Mapping[str, Any]) -> Job:
        """Return the job that ``trial.json`` describes, with this content."""
        sources = {f"{name}_source": content.get(f"{name}_source") for name in trial.own_code()}
        known = {name: source for name, source in sources.items() if source}
        return cls.of(trial, content["data"]["digest"], known)

    @property
    def lacking(self) -> tuple[tuple[str, str], ...]:
        """Fields and names of code of one's own whose file was not to be found."""
        return tuple(
            (field, name)
            for field, names in self.trial.own_code().items()
            if self.sources.get(f"{field}_source") == MISSING
            for name in names
            if code_of(name) == MISSING
        )

    def manifest(self) -> dict[str, Any]:
        """Return the content of ``trial.json``."""
        return {
            "key": self.key,
            "semantics": SEMANTICS_VERSION,
            "trial": self.trial.identity(),
            "data": {"name": self.trial.dataset, "digest": self.data_digest},
            **self.sources,
        }
