"""One trial of the ledger under way: resume it, train it, write it down.

Knows the ledger and the trainer, and nothing of Ray: every executor drives trials through
:class:`TrialRun`.
"""

from __future__ import annotations

import contextlib
import dataclasses
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
from adambias.data.dataset import Dataset, load_dataset
from adambias.ledger.job import Job, own_sources
from adambias.ledger.ledger import Ledger, machine
from adambias.ledger.speed import kind_of
from adambias.sweep.assignment import Order
from adambias.training import checkpoint
from adambias.training.trainer import Training, train

logger = logging.getLogger("adambias")
Result = TypeVar("Result")
PAUSES = (1.0, 5.0)
"""Seconds that a ledger is given to come back before what failed is tried again."""


class TrialRun:
    """A trial under way.

    Parameters
    ----------
    order : Order
        What to run.
    """

    def __init__(self, order: Order) -> None:
        self.order, self.job = order, order.job
        torch.set_num_threads(order.threads)
        self.ledger = Ledger.open(order.store)
        self.ledger.open_trial(self.job)
        self.ledger.store.delete([f"{self.job.key}/error.txt"])
        self.log = _Log(self.ledger, self.job.key)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        self.device = "cuda" if self.order.gpu and torch.cuda.is_available() else "cpu"
        self.log.say(f"{self.job.trial} on {machine()}, {self.device}, process {os.getpid()}")
        self.data = _dataset(self.order)
        state, source = self._state()
        self.training: Training = train(self.job.trial, self.data, state=state, device=self.device)
        _refuse_other_code(self.job)
        self._began = self._saved = time.monotonic()
        self._first_epoch = self.training.next_epoch
        self.ledger.save_progress(self.job.key, self.progress())
        if source:
            self.log.say(f"goes on from {source} at epoch {self.training.next_epoch}")
        self.log.flush()

    def advance(self, seconds: float = math.inf) -> dict[str, Any]:
        """Train for about ``seconds``, write what is due, and return how far the trial is.

        Returns
        -------
        dict
            ``epoch`` (epochs recorded), ``first_epoch``, ``epochs``, ``status``,
            ``seconds_per_epoch``, ``updated``, ``host`` and ``lacks_gpu``. With a status
            other than ``running`` the trial is finished and ``done.json`` written, here or by
            another driver's worker.

        Raises
        ------
        OSError
            If the ledger cannot be written for some seconds; nothing finished is lost.
        """
        if (outcome := self._insist(self._finished_elsewhere)) is not None:
            with contextlib.suppress(OSError):
                self.ledger.clear(self.job.key, state_kept=bool(outcome.get("state_kept")))
            return self.progress() | {"epoch": outcome["epochs"], "status": outcome["status"]}
        end = time.monotonic() + seconds
        while time.monotonic() < end and next(self.training, None) is not None:
            if time.monotonic() - self._saved >= self.order.checkpoint_seconds:
                self._insist(self.save)
        if self.training.status == "running":
            self._report()
        elif self._insist(self._finished_elsewhere) is None:
            self._insist(self._finish)
        return self.progress()

    def _insist(self, work: Callable[[], Result]) -> Result:
        """Try again for some seconds: an error would cost what has been trained since a save."""
        for pause in PAUSES:
            try:
                return work()
            except OSError as error:
                self.log.say(f"{error}; tried again in {pause:g} s")
                time.sleep(pause)
        return work()

    def _report(self) -> None:
        """Tell how far the trial is; only ``status`` reads it, so it is not worth an error."""
        with contextlib.suppress(OSError):
            self.ledger.save_progress(self.job.key, self.progress())

    def _finished_elsewhere(self) -> dict[str, Any] | None:
        """Return what another driver's worker, which was faster, has written."""
        outcome = self.ledger.done(self.job.key)
        whole = outcome is not None and self.ledger.damaged(self.job.key) is None
        return outcome if whole else None

    def save(self) -> None:
        """Write checkpoint, history and log of an unfinished trial."""
        self._saved = time.monotonic()
        state = checkpoint.dumps(self.training.state_dict())
        self.ledger.save_unfinished(self.job.key, state, self.training.history())
        self._report()
        self.log.flush()

    def progress(self) -> dict[str, Any]:
        """Return how far the trial is; see :meth:`advance`."""
        epochs = self.training.next_epoch - self._first_epoch
        elapsed = time.monotonic() - self._began
        return {
            "epoch": self.training.next_epoch,
            "first_epoch": self._first_epoch,
            "epochs": self.job.trial.epochs,
            "status": self.training.status,
            "seconds_per_epoch": elapsed / epochs if epochs else None,
            "updated": time.time(),
            "host": socket.gethostname(),
            "lacks_gpu": self.order.gpu and self.device == "cpu",
        }

    def _state(self) -> tuple[dict[str, Any] | None, str]:
        """Return the state to go on from and where it was found."""
        sources = [(self.job.key, *found) for found in self.ledger.checkpoints(self.job.key)]
        if not sources and self.order.extends:
            first = next(self.ledger.checkpoints(self.order.extends), None)
            sources = [(self.order.extends, *first)] if first else []
        for key, name, content in sources:
            try:
                return checkpoint.loads(content, trial=self.job.trial), f"{key}/{name}"
            except CheckpointError as error:
                self.log.say(f"{key}/{name}: {error}; the one before it is used, if any")
        return None, ""

    def _finish(self) -> None:
        history = self.training.history()
        if self.order.keep_state and self.training.status == "finished":
            state = self.training.state_dict()
            self.ledger.save_checkpoint(self.job.key, checkpoint.dumps(state))
        seconds = float(history["seconds"].sum())
        epochs = len(history)
        shape = tuple(self.data.train_images.shape)
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
            "machine": torch.cuda.get_device_name() if self.device == "cuda" else machine(),
            "device": self.device,
            "git": self.order.git,
            "versions": {
                "adambias": adambias.__version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
            },
            "trial": self.job.trial.identity(),
            "data_digest": self.job.data_digest,
            "rule_source": "",
            **self.job.sources,
            "state_kept": self.order.keep_state and self.training.status == "finished",
        }
        # Two workers that finish at once may mix their files: who sees it writes its own again.
        for _ in range(2):
            digest = self.ledger.save_history(self.job.key, history)
            self.ledger.finish(self.job.key, {**outcome, "history_sha256": digest})
            if self.ledger.damaged(self.job.key) is None:
                return

    def close(self) -> None:
        """Write the last of the trial's log and give it back."""
        with contextlib.suppress(OSError):
            self.log.flush()
        self.log.close()


class _Log(logging.Handler):
    """The trial's log, kept in memory; written at its start, its end and with each checkpoint."""

    def __init__(self, ledger: Ledger, key: str) -> None:
        super().__init__(logging.INFO)
        self._ledger, self._key = ledger, key
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


@functools.lru_cache(maxsize=2)
def _load(name: str, spec: DatasetSpec, root: str) -> Dataset:
    return load_dataset(name, root=Path(root), **dataclasses.asdict(spec))


def _dataset(order: Order) -> Dataset:
    data = _load(order.job.trial.dataset, order.dataset, order.data_root)
    if data.digest != order.job.data_digest:
        raise DataError(
            f"{order.data_root}/{order.job.trial.dataset}: digest {data.digest[:12]} on this node "
            f"is not {order.job.data_digest[:12]} as planned: run dvc repro prepare, or copy the "
            "folder from the machine that planned the sweep"
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
