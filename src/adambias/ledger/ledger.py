"""Read and write the ledger: one folder per trial, with everything that it measured.

A trial's key is a hash of everything that determines its result. Its folder is named by the key
and holds ``trial.json``, ``history.parquet``, ``log.txt``, ``checkpoint.pt`` while unfinished and
``done.json``, written last, once finished. Folders are self-contained: copied into another
ledger, they count there.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any

from adambias.config import SEMANTICS_VERSION, Trial
from adambias.core.errors import ConfigError, LedgerError
from adambias.core.validation import build
from adambias.ledger.job import Job
from adambias.ledger.store import Store

if TYPE_CHECKING:
    import pandas as pd


_KEY = re.compile(r"[0-9a-f]{16}")
CHECKPOINTS = ("checkpoint.pt", "checkpoint.prev.pt")
_OUTCOME: Mapping[str, type | UnionType] = {
    **dict.fromkeys(("key", "status", "history_sha256", "machine"), str),
    **dict.fromkeys(("epochs", "parameters"), int),
    "seconds": int | float,
}
"""What is read of every ``done.json``."""
_SPEED = {"seconds_per_image": int | float, "kind": str}
"""What is read besides where a speed was measured."""
_KEPT = {"trial": dict, "data_digest": str}
"""What is read besides where the last state was kept."""
FORMAT = 1
"""Raised when the layout of a folder changes."""


class Ledger:
    """A store of trials.

    Parameters
    ----------
    store : Store
        Folder or S3 location that holds one folder per trial.

    Examples
    --------
    >>> import tempfile
    >>> ledger = Ledger.open(tempfile.mkdtemp())
    >>> ledger.initialise()
    >>> ledger.keys()
    []
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    def open(cls, uri: str | os.PathLike[str]) -> Ledger:
        """Open the ledger at a path or URI, such as a project's :attr:`Params.store`.

        Raises
        ------
        LedgerError
            If the location has a layout this version does not know.
        StoreError
            If it cannot be reached.
        """
        ledger = cls(Store.open(uri))
        marker = ledger._read_json("ledger.json")
        if marker is not None and marker.get("format") != FORMAT:
            raise LedgerError(
                f"{ledger.store.where('ledger.json')}: format {marker.get('format')!r} is not "
                f"{FORMAT}: use the version of adambias that wrote it, or another ADAMBIAS_STORE"
            )
        return ledger

    def initialise(self) -> None:
        """Write the store's own marker, which also proves that the store can be written.

        Raises
        ------
        StoreError
            If the store cannot be written.
        """
        marker = {"format": FORMAT, "semantics": SEMANTICS_VERSION}
        self.store.write("ledger.json", _dump(marker))

    def keys(self) -> list[str]:
        """List the keys that have a folder."""
        return sorted(name for name in self.store.folders() if _KEY.fullmatch(name))

    def of_other_semantics(self) -> set[str]:
        """Return the keys whose folder is of another semantics version, older or newer."""
        versions = {k: m.get("semantics") for k, m in self._read_each(self.keys(), "trial.json")}
        return {k for k, v in versions.items() if isinstance(v, int) and v != SEMANTICS_VERSION}

    def foreign(self) -> list[str]:
        """List the entries that are not a trial's; they are left alone."""
        return sorted(
            name
            for name in self.store.entries()
            if not (_KEY.fullmatch(name) or name.startswith(".") or name == "ledger.json")
        )

    def finished(self, keys: Iterable[str]) -> set[str]:
        """Return those of ``keys`` that are finished."""
        return {key for key, _ in self.outcomes(keys)}

    def started(self, keys: Iterable[str]) -> set[str]:
        """Return those of ``keys`` that have a checkpoint to go on from."""
        return self._having(keys, *CHECKPOINTS)

    def done(self, key: str) -> dict[str, Any] | None:
        """Return ``done.json``, or None if the trial is not finished or the file is damaged."""
        return dict(self.outcomes([key])).get(key)

    def damaged(self, key: str) -> str | None:
        """Return what is wrong with a folder in one line, or None."""
        where = self.store.where(key)
        try:
            self.job(key)
            done = self.done(key)
            if done is None:
                return next(self.damaged_outcomes([key]), None)
            digest = hashlib.sha256(self.store.read(f"{key}/history.parquet")).hexdigest()
        except LedgerError as error:
            return str(error)
        except FileNotFoundError:
            return f"{where}/history.parquet: is missing: delete the folder to train again"
        if digest != done["history_sha256"]:
            return f"{where}/history.parquet: is damaged: delete the folder to train again"
        return None

    def damaged_outcomes(self, keys: Iterable[str]) -> Iterator[str]:
        """Yield a line for each of ``keys``, none of them finished, that has a ``done.json``."""
        names = [f"{key}/done.json" for key in keys]
        for name in itertools.compress(names, self.store.exist(names)):
            where = self.store.where(name)
            yield f"{where}: is damaged: the trial counts as unfinished and is redone"

    def job(self, key: str) -> Job:
        """Read ``trial.json`` and check that it belongs to ``key``.

        Raises
        ------
        LedgerError
            If the file is missing, damaged, of another semantics, or of another trial.
        """
        where = self.store.where(f"{key}/trial.json")
        content = self._read_json(f"{key}/trial.json")
        if content is None:
            raise LedgerError(f"{where}: is missing: copy the whole folder, or delete it")
        if content.get("semantics") != SEMANTICS_VERSION:
            raise LedgerError(
                f"{where}: semantics {content.get('semantics')!r} is not {SEMANTICS_VERSION}: it "
                "is kept and not used; its trial is trained anew"
            )
        try:
            job = Job.recorded(build(Trial, content["trial"]), content)
        except (ConfigError, KeyError, TypeError) as error:
            raise LedgerError(f"{where}: does not describe a trial ({error})") from None
        if job.key != key:
            raise LedgerError(
                f"{where}: describes trial {job.key}, not {key}: give the folder that name, or "
                "take it out of the ledger"
            )
        return job

    def open_trial(self, job: Job) -> None:
        """Make the folder of ``job``; a folder of another trial is refused.

        Raises
        ------
        LedgerError
            If the folder exists and describes another trial.
        """
        # What a killed writer left would otherwise stay for ever: nothing else reads or lists it.
        self.store.clear(job.key)
        name = f"{job.key}/trial.json"
        try:
            manifest = self._read_json(name)
        except LedgerError:  # damaged: the key says what belongs into it
            manifest = None
        described = _dump(job.manifest())
        # As bytes, since what is read back has lists where a trial has tuples.
        if manifest is not None and _dump(manifest) == described:
            return
        if manifest is not None:
            raise LedgerError(
                f"{self.store.where(name)}: describes another trial than {job.key}: take the "
                "folder out of the ledger"
            )
        self.store.write(name, described)

    def save_history(self, key: str, table: pd.DataFrame) -> str:
        """Write the history and return its SHA-256."""
        content = _parquet(table)
        self.store.write(f"{key}/history.parquet", content)
        return hashlib.sha256(content).hexdigest()

    def save_unfinished(self, key: str, state: bytes, table: pd.DataFrame) -> None:
        """Write checkpoint and history of a trial that goes on.

        What another worker has finished in the meantime stays whole.
        """
        # Race: between a look at done.json and the write that follows, the other may finish.
        # Whatever takes long, such as encoding, is therefore done before the look; the rest is
        # mended by whoever finishes, see ActiveTrial.
        history = _parquet(table)
        if self.done(key) is None:
            self.save_checkpoint(key, state)
        if self.done(key) is None:
            self.store.write(f"{key}/history.parquet", history)

    def history(self, key: str) -> pd.DataFrame:
        """Read a trial's history, finished or as far as it has come.

        Raises
        ------
        LedgerError
            If there is none, or it is damaged.
        """
        import pandas as pd

        where = self.store.where(f"{key}/history.parquet")
        try:
            content = self.store.read(f"{key}/history.parquet")
        except FileNotFoundError:
            raise LedgerError(f"{where}: is missing") from None
        try:
            return pd.read_parquet(io.BytesIO(content))
        except (OSError, ValueError):
            raise LedgerError(f"{where}: is damaged: delete the folder to train again") from None

    def finish(self, key: str, outcome: Mapping[str, Any]) -> None:
        """Declare a trial finished, and then delete what only an unfinished one needs.

        ``outcome`` holds at least ``status``, ``epochs``, ``seconds``, ``parameters``, ``machine``
        and ``history_sha256``; with a true ``state_kept``, for which it needs ``trial`` and
        ``data_digest``, the last checkpoint stays.
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        content = {"key": key, "semantics": SEMANTICS_VERSION, "finished_at": now, **outcome}
        # In this sequence: a worker killed in between leaves useless files, never a trial that has
        # neither an outcome nor a checkpoint.
        self.store.write(f"{key}/done.json", _dump(content))
        self.clear(key, state_kept=bool(outcome.get("state_kept")))

    def clear(self, key: str, *, state_kept: bool) -> None:
        """Delete what only an unfinished trial needs."""
        useless = ["error.txt", "progress.json", CHECKPOINTS[1]]
        useless += [] if state_kept else [CHECKPOINTS[0]]
        self.store.delete(f"{key}/{name}" for name in useless)
        self.store.clear(key)

    def save_checkpoint(self, key: str, content: bytes) -> None:
        """Write a checkpoint and keep the one before it."""
        # Moved, not copied: a crash between the two lines leaves the previous one, from which to go
        # on.
        newest, previous = (f"{key}/{name}" for name in CHECKPOINTS)
        self.store.move(newest, previous)
        self.store.write(newest, content)

    def checkpoints(self, key: str) -> Iterator[tuple[str, bytes]]:
        """Yield the names and contents of a trial's checkpoints, the newest first."""
        for name in CHECKPOINTS:
            with contextlib.suppress(FileNotFoundError):
                yield name, self.store.read(f"{key}/{name}")

    def text(self, key: str, name: str) -> str:
        """Read a text file of a trial's folder, empty if there is none."""
        try:
            return self.store.read(f"{key}/{name}").decode(errors="replace")
        except FileNotFoundError:
            return ""

    def reports(self, keys: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield those of ``keys`` that have a report, with how far they had come by then."""
        yield from self._read_each(keys, "progress.json")

    def failures(self, keys: Iterable[str]) -> set[str]:
        """Return those of ``keys`` whose last attempt left an error."""
        return self._having(keys, "error.txt")

    def begun(self, keys: Iterable[str]) -> set[str]:
        """Return those of ``keys`` that have made some progress, or failed to."""
        return self._having(keys, "progress.json", "error.txt")

    def _having(self, keys: Iterable[str], *names: str) -> set[str]:
        """Return those of ``keys`` that have one of the files."""
        paths = [f"{key}/{name}" for key in keys for name in names]
        found = itertools.compress(paths, self.store.exist(paths))
        return {path.partition("/")[0] for path in found}

    def save_progress(self, key: str, content: Mapping[str, Any]) -> None:
        """Write how far a running trial has come."""
        self.store.write(f"{key}/progress.json", _dump(content))

    def outcomes(self, keys: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the keys that are finished, with their ``done.json``."""
        for key, outcome in self._read_each(keys, "done.json"):
            # A folder copied under another name, or an outcome that lacks something, does not
            # count.
            if outcome.get("key") == key and _is_whole(outcome):
                yield key, outcome

    def _read_each(self, keys: Iterable[str], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the keys whose folder has a whole JSON object under ``name``, with it."""
        keys = list(keys)
        contents = self.store.read_each(f"{key}/{name}" for key in keys)
        for key, content in zip(keys, contents, strict=True):
            # A damaged file counts as none: it is named by damaged_outcomes, and its trial redone.
            found = _parse(content) if content is not None else None
            if found is not None:
                yield key, found

    def _read_json(self, name: str) -> dict[str, Any] | None:
        try:
            content = _parse(self.store.read(name))
        except FileNotFoundError:
            return None
        if content is None:
            raise LedgerError(f"{self.store.where(name)}: is damaged (no JSON object)")
        return content


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


def _parse(content: bytes) -> dict[str, Any] | None:
    """Return a JSON object, None if it is damaged."""
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _is_whole(outcome: Mapping[str, Any]) -> bool:
    """Tell whether a ``done.json`` has everything that is read of one."""
    needed = {**_OUTCOME}
    if outcome.get("seconds_per_image"):
        needed |= _SPEED
    if outcome.get("state_kept"):
        needed |= _KEPT
    return all(isinstance(outcome.get(name), kind) for name, kind in needed.items())


def _dump(content: Mapping[str, Any]) -> bytes:
    # Sorted, so that equal contents are equal bytes.
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def machine() -> str:
    """Describe the processor of this machine in one line."""
    import platform

    cores = os.cpu_count() or 1
    model = platform.processor() or platform.machine()
    # On Linux platform.processor() is empty or the architecture.
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model}, {cores} cores"
