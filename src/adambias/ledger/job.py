"""A job: a trial with its key, a hash of everything that determines its result."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adambias.config import SEMANTICS_VERSION, Trial

MISSING = "missing"
"""Stands for the source of a rule that has none to be found; such a trial is never finished."""


def source_of(rule: str) -> str:
    """Return the SHA-256 of the file that holds a rule of one's own.

    Empty for a rule of this package, whose code :data:`SEMANTICS_VERSION` stands for, and
    ``missing`` if the module has no file to be found. What the module imports is not looked at.
    """
    name, own, _ = rule.partition(":")
    if not own:
        return ""
    try:
        module = sys.modules.get(name)
        spec = None if module else importlib.util.find_spec(name)
        file = getattr(module, "__file__", None) or (spec and spec.origin)
        return hashlib.sha256(Path(file or "").read_bytes()).hexdigest()
    except Exception:  # a package above it runs on the way, and may raise anything
        return MISSING


def trial_key(trial: Trial, data_digest: str, rule_source: str = "") -> str:
    """Return the trial's identity: 16 hexadecimal digits.

    Parameters
    ----------
    trial : Trial
        Every hyperparameter.
    data_digest : str
        SHA-256 of the prepared data, from its manifest.
    rule_source : str
        What :func:`source_of` tells of the trial's rule.

    Returns
    -------
    str
        The first 16 hexadecimal digits of the SHA-256 of a canonical JSON text. The semantics
        version is part of it, and the code of a rule of one's own; grid names, devices and
        clusters are not.
    """
    identity = {
        "semantics": SEMANTICS_VERSION,
        "trial": vars(trial),
        "data": data_digest,
    } | _own_rule(rule_source)
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _own_rule(source: str) -> dict[str, str]:
    """Return the entry for a rule of one's own; other trials have none."""
    return {"rule_source": source} if source else {}


@dataclass(frozen=True, kw_only=True)
class Job:
    """A trial with its key and what it depends on besides: its data, and a rule's own code."""

    key: str
    trial: Trial
    data_digest: str
    rule_source: str = ""

    @classmethod
    def of(cls, trial: Trial, data_digest: str, source: str | None = None) -> Job:
        """Compute the key of ``trial`` on the data with this digest.

        ``source`` is that of its rule when the trial was planned, by default what it is now.
        """
        if source is None:
            source = source_of(trial.rule)
        key = trial_key(trial, data_digest, source)
        return cls(key=key, trial=trial, data_digest=data_digest, rule_source=source)

    def manifest(self) -> dict[str, Any]:
        """Return the content of ``trial.json``."""
        return {
            "key": self.key,
            "semantics": SEMANTICS_VERSION,
            "trial": dataclasses.asdict(self.trial),
            "data": {"name": self.trial.dataset, "digest": self.data_digest},
        } | _own_rule(self.rule_source)
