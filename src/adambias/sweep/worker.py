"""Train one trial of the ledger: resume it, advance it, save it, finish it.

Knows the ledger and the trainer, and nothing of Ray: every executor drives trials through
:class:`ActiveTrial`.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import platform
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

import adambias
from adambias.config import DatasetSpec
from adambias.core.errors import CheckpointError, ConfigError, DataError
from adambias.core.registry import MISSING
from adambias.data.dataset import Dataset, dataset_of
from adambias.ledger.job import Job, own_sources
from adambias.ledger.ledger import Ledger, machine
from adambias.ledger.speed import kind_of
from adambias.sweep.assignment import Assignment
from adambias.training import checkpoint
from adambias.training.devices import granted_gpu
from adambias.training.trainer import Training, train

logger = logging.getLogger("adambias")
Result = TypeVar("Result")
PAUSES = (1.0, 5.0)
"""Backoff between retries: seconds before the second and the third attempt at the ledger."""


class ActiveTrial:
    """A trial that a worker trains.

    Parameters
    ----------
    assignment : Assignment
        The trial, and how to train it.
    """

    def __init__(self, assignment: Assignment) -> None:
        self.assignment, self.job = assignment, assignment.job
        torch.set_num_threads(assignment.threads)
        self.ledger = Ledger.open(assignment.store)
        self.ledger.open_trial(self.job)
        # The error of an earlier attempt, which status would show as this one's.
        self.ledger.store.delete([f"{self.job.key}/error.txt"])
        self.log = _Log(self.ledger, self.job.key)
        try:
            self._begin()
        except BaseException:  # Ctrl-C too: the log is written, and its handler taken off
            self.close()
            raise

    def _begin(self) -> None:
        self.device = granted_gpu().type if self.assignment.gpu else "cpu"
        self.log.say(f"{self.job.trial} on {machine()}, {self.device}, process {os.getpid()}")
        self.data = _dataset(self.assignment)
        state, source = self._state()
        self.training: Training = train(self.job.trial, self.data, state=state, device=self.device)
        # After train: a rule that cannot be imported here has raised its own error by then.
        _refuse_other_code(self.job)
        self._began = self._saved = time.monotonic()
        self._first_epoch = self.training.next_epoch
        self.ledger.save_progress(self.job.key, self.report())
        if source:
            self.log.say(f"goes on from {source} at epoch {self.training.next_epoch}")
        self.log.flush()

    def advance(self, seconds: float = math.inf) -> dict[str, Any]:
        """Train for about ``seconds``, write what is due, and return how far the trial is.

        Returns
        -------
        dict
            ``epoch`` (epochs recorded), ``first_epoch``, ``epochs``, ``status``,
            ``seconds_per_epoch``, ``updated``, ``host``, and ``paused``: whether the
            time is up and the trial put away, to go on another time. With a status
            other than ``running`` the trial is finished and ``done.json`` written, here or by
            another driver's worker.

        Raises
        ------
        OSError
            If the ledger cannot be written for some seconds; nothing finished is lost.
        """
        self.open_turn(seconds)
        while self.goes_on():
            self.step()
        return self.close_turn()

    def open_turn(self, seconds: float) -> None:
        """Begin to train for about ``seconds``."""
        # Two drivers may race for a trial, or a lost node come back: the first to finish has it.
        self._elsewhere = self._insist(self._finished_elsewhere)
        # An epoch that would not end in time is not begun.
        left = self.assignment.seconds_left - self._needed()
        self._until = time.monotonic() + min(seconds, left)

    def goes_on(self) -> bool:
        """Tell whether another epoch is to be trained in this turn."""
        going = self._elsewhere is None and self.training.status == "running"
        return going and time.monotonic() < self._until

    def step(self) -> None:
        """Train an epoch, and save it when that is due."""
        next(self.training)
        due = time.monotonic() - self._saved >= self.assignment.checkpoint_seconds
        if due and self.training.status == "running":
            self._insist(self.save)

    def close_turn(self) -> dict[str, Any]:
        """Write what is due and return how far the trial is; see :meth:`advance`."""
        if (outcome := self._elsewhere) is not None:
            # Files that this worker wrote after the other had cleared the folder.
            with contextlib.suppress(OSError):
                self.ledger.clear(self.job.key, state_kept=bool(outcome.get("state_kept")))
            return self.report() | {"epoch": outcome["epochs"], "status": outcome["status"]}
        if self.training.status == "running" and self.assignment.seconds_left <= self._needed():
            self._insist(self.save)
            return self.report() | {"paused": True}
        if self.training.status == "running":
            self._write_report()
        # Looked at again: training took long, and a finished history is not written over.
        elif self._insist(self._finished_elsewhere) is None:
            self._insist(self._finish)
        return self.report()

    def _needed(self) -> float:
        """Return the seconds that it takes to the next record."""
        return (self.report()["seconds_per_epoch"] or 0.0) * self.job.trial.record_every

    def _insist(self, work: Callable[[], Result]) -> Result:
        """Retry with backoff: failing here would lose all epochs since the last checkpoint."""
        for pause in PAUSES:
            try:
                return work()
            except OSError as error:
                self.log.say(f"{error}; tried again in {pause:g} s")
                time.sleep(pause)
        return work()  # the last attempt: its error is for Tune, which starts the trial elsewhere

    def _write_report(self) -> None:
        """Write how far the trial is; only ``status`` reads it, so a failure is ignored."""
        with contextlib.suppress(OSError):
            self.ledger.save_progress(self.job.key, self.report())

    def _finished_elsewhere(self) -> dict[str, Any] | None:
        """Return the outcome that a faster worker of another driver has written, or None."""
        # Finished but damaged is what two workers leave that finish at once: this one goes on.
        outcome = self.ledger.done(self.job.key)
        whole = outcome is not None and self.ledger.damaged(self.job.key) is None
        return outcome if whole else None

    def save(self) -> None:
        """Write checkpoint, history and log of an unfinished trial."""
        self._saved = time.monotonic()
        state = checkpoint.dumps(self.training.state_dict())
        self.ledger.save_unfinished(self.job.key, state, self.training.history())
        self._write_report()
        self.log.flush()

    def report(self) -> dict[str, Any]:
        """Return how far the trial is; see :meth:`advance`."""
        epochs = self.training.next_epoch - self._first_epoch
        elapsed = time.monotonic() - self._began
        return {
            "epoch": self.training.next_epoch,
            "first_epoch": self._first_epoch,
            "epochs": self.job.trial.epochs,
            "status": self.training.status,
            "seconds_per_epoch": elapsed / epochs if epochs else None,
            # By the wall clock: status compares it with its own, from another node.
            "updated": time.time(),
            "host": socket.gethostname(),
            "paused": False,
        }

    def _state(self) -> tuple[dict[str, Any] | None, str]:
        """Return the state to go on from and where it was found."""
        # A finished, shorter training keeps one state, its last; an unfinished trial may have two.
        sources = [(self.job.key, *found) for found in self.ledger.checkpoints(self.job.key)]
        if not sources and self.assignment.extends:
            first = next(self.ledger.checkpoints(self.assignment.extends), None)
            sources = [(self.assignment.extends, *first)] if first else []
        for key, name, content in sources:
            try:
                return checkpoint.loads(content, trial=self.job.trial), f"{key}/{name}"
            except CheckpointError as error:  # fallback: the one before, or from the start
                self.log.say(f"{key}/{name}: {error}; the one before it is used, if any")
        return None, ""

    def _finish(self) -> None:
        history = self.training.history()
        if self.assignment.keep_state and self.training.status == "finished":
            state = self.training.state_dict()
            self.ledger.save_checkpoint(self.job.key, checkpoint.dumps(state))
        seconds = float(history["seconds"].sum())
        epochs = self.training.next_epoch
        shape, devices = tuple(self.data.train_inputs.shape), self.training.devices
        self.log.say(f"{self.training.status} after {epochs} epochs, {seconds:.1f} s of training")
        self.log.flush()
        outcome = {
            "status": self.training.status,
            "epochs": epochs,
            "seconds": seconds,
            "seconds_per_epoch": seconds / max(epochs, 1),
            "seconds_per_image": seconds / max(epochs, 1) / shape[0],
            "kind": kind_of(self.job.trial, shape),
            "parameters": self.training.parameters,
            "machine": " and ".join(machine() if d == "cpu" else d for d in devices),
            "device": " and ".join(sorted({"cpu" if d == "cpu" else "cuda" for d in devices})),
            "git": self.assignment.git,
            "versions": {
                "adambias": adambias.__version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
            },
            "trial": self.job.trial.identity(),
            "data_digest": self.job.data_digest,
            "rule_source": "",
            **self.job.sources,
            "state_kept": self.assignment.keep_state and self.training.status == "finished",
        }
        # Race: two workers that finish at once may leave one's history beside the other's digest.
        # Whoever sees it writes both again; done.json last, as it declares the trial finished.
        for _ in range(2):
            digest = self.ledger.save_history(self.job.key, history)
            self.ledger.finish(self.job.key, {**outcome, "history_sha256": digest})
            if self.ledger.damaged(self.job.key) is None:
                return

    def close(self) -> None:
        """Write the last of the trial's log and stop collecting it."""
        with contextlib.suppress(OSError):  # a log is not worth the error that it would hide
            self.log.flush()
        self.log.close()


class _Log(logging.Handler):
    """The trial's log, kept in memory; written at its start, its end and with each checkpoint.

    An object store cannot append: each writing replaces the file.
    """

    def __init__(self, ledger: Ledger, key: str) -> None:
        super().__init__(logging.INFO)
        self._ledger, self._key = ledger, key
        # What an earlier attempt wrote stays at the top.
        self._text = self._written = ledger.text(key, "log.txt")
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._text += self.format(record) + "\n"

    def say(self, message: str) -> None:
        """Add a line to this log alone."""
        self.emit(logger.makeRecord("adambias", logging.INFO, "", 0, message, (), None))

    def flush(self) -> None:
        if self._text != self._written:
            self._ledger.store.write(f"{self._key}/log.txt", self._text.encode())
            self._written = self._text

    def close(self) -> None:
        logger.removeHandler(self)
        super().close()


@functools.lru_cache(maxsize=2)  # a worker trains many trials on the same data, one after another
def _load(name: str, spec: DatasetSpec, root: str) -> Dataset:
    return dataset_of(name, spec, Path(root))


def _dataset(assignment: Assignment) -> Dataset:
    # Part of the key: trained on other data, the result would stand under a false name.
    name, planned = assignment.job.trial.dataset, assignment.job.data_digest
    data = _load(name, assignment.dataset, assignment.data_root)
    if data.digest != planned:
        raise DataError(
            f"{assignment.data_root}/{name}: digest {data.digest[:12]} on this node is not "
            f"{planned[:12]} as planned: run dvc repro prepare, or copy the folder from the "
            "machine that planned the sweep"
        )
    return data


def _refuse_other_code(job: Job) -> None:
    """Refuse code of one's own that here is not what the trial's key stands for."""
    for name, here in own_sources(job.trial).items():
        field, planned = name.removesuffix("_source"), job.sources.get(name, "")
        named = " and ".join(job.trial.own_code()[field])
        if here == MISSING:
            allowed = "has no file to be found: put it into one, on the path of every node"
            raise ConfigError(field, named, allowed)
        if here != planned:
            allowed = (
                f"its module on this node, of digest {here[:12]}, is not {planned[:12]} as "
                "planned: install the same on every node, and run the same command again"
            )
            raise ConfigError(field, named, allowed)
