"""Errors meant for people: one line that names the key or file, its value and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class AdambiasError(Exception):
    """Base of every error a user can mend; the command line prints it as one line."""

    exit_code = 1


class ABSENT:
    """The value of a setting that was not given at all; a class, because that pickles as itself."""


class ConfigError(AdambiasError, ValueError):
    """A value that is not allowed.

    Parameters
    ----------
    key : str
        Name of the parameter, with its section: ``grids.beta2.h``.
    value : object
        The value as given, or :data:`ABSENT`.
    allowed : str
        What is allowed instead.
    """

    def __init__(self, key: str, value: Any, allowed: str) -> None:
        super().__init__(
            key, value, allowed
        )  # All three: an error from another process is pickled.
        self.key, self.value, self.allowed = key, value, allowed

    def __str__(self) -> str:
        """Return the one line."""
        given = "" if self.value is ABSENT else f" = {' '.join(repr(self.value).split())}"
        return f"{self.key}{given}: {self.allowed}"

    def within(self, where: str) -> ConfigError:
        """Return the same error with its key placed under ``where``."""
        return ConfigError(f"{where}{self.key}", self.value, self.allowed)


class DataError(AdambiasError):
    """Data that is missing, damaged or not what its manifest says."""


class CheckpointError(AdambiasError):
    """A checkpoint that cannot be used."""


class LedgerError(AdambiasError):
    """A ledger folder that is damaged, foreign or of other semantics."""


class FolderError(LedgerError, OSError):
    """A trial's folder that cannot be read or written, while the rest of the ledger can."""


class StoreError(AdambiasError, OSError):
    """A ledger's location that cannot be read or written now; it may be mended or come back."""


class SweepError(AdambiasError):
    """A sweep that did not finish every trial."""


class OutOfTime(SweepError):
    """A sweep whose time is up: what is finished is kept, and the rest goes on next time."""

    exit_code = 75
    """That of sysexits.h for what may be tried again."""


class TrackingError(AdambiasError):
    """A tracking store that cannot be used."""


class MissingPackage(AdambiasError, ImportError):
    """A package that an extra installs, which this use needs and which is not there."""


def choose_from(options: Iterable[str], value: object = None) -> str:
    """Return the words ``one of a, b, c``, with the nearest option named if there is one."""
    names = list(options)
    near = difflib.get_close_matches(str(value), names, n=1) if value is not None else []
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"must be one of {', '.join(names)}{hint}"
