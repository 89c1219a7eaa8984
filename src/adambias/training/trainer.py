"""Full-batch training: ``train(trial, data)`` is an iterator of epoch records."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import Tensor

from adambias.config import Trial
from adambias.config.measures import (
    ACCURACIES,
    CORRECTION,
    STANDARD,
    TEST,
    Measure,
    columns_of,
    further,
)
from adambias.core.errors import AdambiasError, CheckpointError, ConfigError
from adambias.data.dataset import Dataset
from adambias.law.rules import Shapes, UpdateRule, make_rule
from adambias.training import allocator
from adambias.training.checkpoint import require_same_trial
from adambias.training.devices import name_of, own_stream
from adambias.training.measures import Snapshot
from adambias.training.memory import take_step
from adambias.training.objective import Objective
from adambias.training.optimizer import RuleOptimizer
from adambias.training.record import EpochRecord, from_rows, to_rows
from adambias.training.schedules import schedule_of

if TYPE_CHECKING:
    import pandas as pd


Status: TypeAlias = Literal["running", "finished", "diverged"]
Pending: TypeAlias = tuple[Sequence[Measure], Sequence[Measure], Tensor | None]
"""Measures, those of them that are due, and their columns on the device."""

DIVERGENCE_FACTOR = 10.0
"""A loss above this multiple of the loss at the start counts towards divergence."""
DIVERGENCE_EPOCHS = 50
"""Epochs in a row with such a loss after which a trial has diverged."""


@dataclass(frozen=True, kw_only=True)
class _Started:
    """An epoch whose gradient and standard columns are being computed, on the device."""

    since: float
    probe: Tensor | None
    snapshot: Snapshot
    standard: Pending


class Training(Iterator[EpochRecord]):
    """A training under way; iterate it for its epoch records. Made by :func:`train`.

    Several in one process take turns, so that a GPU computes for all of them at once: each has a
    CUDA stream of its own, :meth:`start` of each, then the record of each.

    Attributes
    ----------
    trial : Trial
        What is trained.
    status : {"running", "finished", "diverged"}
        Where it stands.
    records : list of EpochRecord
        All records so far, those of an earlier run included.
    correction : dict of float
        The latest measurement of the memory correction; see
        :func:`adambias.training.correction.measure`. Empty before the first.
    devices : list of str
        Where its epochs were computed, in turn: names of GPUs, or ``cpu``.
    side_by_side : int
        Trainings that take turns; ``seconds`` of a record are this training's share.

    Examples
    --------
    >>> import tempfile
    >>> from adambias.data.dataset import load_dataset
    >>> data = load_dataset("digits", train_size=20, test_size=20, root=tempfile.mkdtemp())
    >>> training = train(Trial(h=1e-3, epochs=2), data)
    >>> [record.epoch for record in training], training.status
    ([0, 1], 'finished')
    """

    def __init__(
        self,
        trial: Trial,
        data: Dataset,
        *,
        state: Mapping[str, Any] | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if data.name != trial.dataset:
            raise ConfigError("dataset", trial.dataset, f"the data given is {data.name!r}")
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.trial = trial
        self.side_by_side = 1
        self.status: Status = "running"
        self.records: list[EpochRecord] = []
        self.correction: dict[str, float] = {}
        self.devices = [name_of(torch.device(chosen))]
        self._further = tuple(further(trial))
        self._digest = data.digest
        self._own_stream = own_stream(torch.device(chosen))
        with self._own_stream():
            self._objective = Objective(trial, data, torch.device(chosen))
        rule = rule_of(trial, self._objective.flat.shapes)
        self._optimizer = RuleOptimizer([self._objective.theta], rule, trial.h)
        self._schedule = schedule_of(trial)
        self._next = 0
        self._started: _Started | None = None
        self._generator = torch.Generator().manual_seed(trial.seed)
        self._kept: dict[str, Tensor] = {}
        self._high_epochs = 0
        self._probed = trial.blocks == "shuffled"
        if state is not None:
            with self._own_stream():
                self._restore(state)

    @property
    def next_epoch(self) -> int:
        """The epoch of the next record; as many have been trained."""
        return self._next

    @property
    def parameters(self) -> int:
        """Number of parameters of the network."""
        return self._objective.parameters

    def start(self) -> None:
        """Let the device begin with the next record, and do not wait for it."""
        if self._started is None and self.status == "running":
            with self._computing():
                self._started = self._start()

    def __next__(self) -> EpochRecord:
        if self.status != "running":
            raise StopIteration
        with self._computing():
            started, self._started = self._started or self._start(), None
            snapshot = started.snapshot
            measured = self._read(started.standard)
            self._refuse_difference(started.probe)
            if self._still_finite(measured):
                measured |= self._read(self._measure(self._further, snapshot))
                self._advance()
            else:
                self._next += 1
        seconds = (time.perf_counter() - started.since) / self.side_by_side
        record = EpochRecord(epoch=snapshot.epoch, seconds=seconds, values=measured)
        self.records.append(record)
        if self.status == "running" and self.next_epoch == self.trial.epochs:
            self.status = "finished"
        if self.status != "running":
            allocator.return_freed_memory()
        return record

    def history(self) -> pd.DataFrame:
        """Return all records as a table, one row per epoch, with the columns of the contract.

        The columns of what it measures besides, as with ``correction_every``, follow.
        """
        import pandas as pd

        columns = columns_of(self.trial)
        rows = [[getattr(record, name) for name in columns] for record in self.records]
        types = {name: "int64" if name == "epoch" else "float64" for name in columns}
        table = pd.DataFrame(rows, columns=list(columns)).astype(types)
        table.attrs["devices"] = self.devices  # a Parquet file keeps them in its metadata
        return table

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the weights at the next epoch, by name, on the CPU."""
        with self._own_stream():
            return self._objective.flat.split(self._objective.theta)

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to go on: tensors and plain values, on the CPU.

        Not between :meth:`start` and the record: BatchNorm's running averages are in between then.
        """
        assert self._started is None
        with self._own_stream():
            return self._state()

    def _state(self) -> dict[str, Any]:
        flat = self._objective.flat
        optimizer = self._optimizer.state.get(self._objective.theta, {})
        moments = {k: flat.split(v) for k, v in optimizer.items() if k != "step"}
        buffers = self._objective.model.named_buffers()
        columns = columns_of(self.trial)
        rows = to_rows(self.records, columns)
        return {
            "format": 1,
            "trial": self.trial.identity(),
            "data": self._digest,
            "status": self.status,
            "weights": self.weights(),
            "buffers": {name: buffer.to("cpu", copy=True) for name, buffer in buffers},
            "moments": moments,
            "step": optimizer.get("step", 0),
            "next_epoch": self._next,
            "generator": self._generator.get_state(),
            "kept": {name: value.to("cpu", copy=True) for name, value in self._kept.items()},
            "high_epochs": self._high_epochs,
            "columns": list(columns),
            "devices": self.devices,
            "history": torch.tensor(rows, dtype=torch.float64).view(len(rows), len(columns)),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        require_same_trial(state["trial"], self.trial)
        if state["data"] != self._digest:
            raise CheckpointError(
                f"checkpoint was trained on data {state['data'][:12]}, "
                f"this is {self._digest[:12]}; prepare the same data"
            )
        flat, theta = self._objective.flat, self._objective.theta
        flat.join(theta.data, state["weights"])
        for name, buffer in self._objective.model.named_buffers():
            buffer.copy_(state["buffers"][name])
        if state["step"]:
            restored = {"step": state["step"]}
            for name, parts in state["moments"].items():
                restored[name] = torch.empty_like(theta.data)
                flat.join(restored[name], parts)
            self._optimizer.state[theta] = restored
        self._generator.set_state(state["generator"])
        # Checkpoints of before have none: their measures keep nothing.
        self._kept = {name: value.to(theta.device) for name, value in state.get("kept", {}).items()}
        self._high_epochs = state["high_epochs"]
        self.records = self._records(state)
        # Checkpoints of before have a record for every epoch.
        self._next = int(state.get("next_epoch", len(self.records)))
        self.status = state["status"]
        self._extend(int(state["trial"]["epochs"]))
        before = state.get("devices", [])
        # A device that only reads the end of a training has computed none of it.
        if self.status == "running" or not before:
            self.devices = list(dict.fromkeys([*before, *self.devices]))
        else:
            self.devices = before

    def _records(self, state: Mapping[str, Any]) -> list[EpochRecord]:
        """Return the records that a state holds."""
        rows = state["history"].tolist()
        written = self.trial.replace(epochs=int(state["trial"]["epochs"]))
        evaluated = [TEST.when(written, int(row[0])) for row in rows]
        return from_rows(rows, state.get("columns"), evaluated)

    def _extend(self, epochs: int) -> None:
        """Go on with a trial that ended at fewer epochs, as if it had never ended there."""
        if epochs == self.trial.epochs or self.status == "diverged":
            return
        self.status = "running"
        if len(self.records) == epochs and (epochs - 1) % self.trial.eval_every:
            self.records[-1] = self.records[-1].without(TEST.columns)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Compute in the trial's arithmetic, on the training's own stream."""
        with (
            self._own_stream(),
            self._objective.precision.arithmetic(),
            _memory_explained(self._objective),
        ):
            yield

    def _start(self) -> _Started:
        """Give the device all that the standard columns need."""
        since, probe = time.perf_counter(), self._probe()
        snapshot = self._snapshot()
        standard = self._measure(STANDARD, snapshot)
        return _Started(since=since, probe=probe, snapshot=snapshot, standard=standard)

    def _probe(self) -> Tensor | None:
        """Return a gradient for comparison with the next one, once, if they should be equal."""
        if self._probed:
            return None
        self._probed = True
        with self._objective.buffers_kept():
            self._objective.gradient()
        first = self._objective.flat.grad.clone()
        self._objective.record()
        return first

    def _refuse_difference(self, first: Tensor | None) -> None:
        """Refuse to train unless the loss is a function of theta: two gradients are equal."""
        # Numbers that are not finite are for the records to tell.
        if first is None or torch.equal(first, self._objective.flat.grad):
            return
        if bool(first.isfinite().all()):
            raise AdambiasError(
                "two gradients at the same weights differ, so this is no full batch: "
                "use a device and network with deterministic operations, or blocks = 'shuffled'"
            )

    def _order(self) -> Tensor | None:
        """Return the order of the images in this epoch; None is the stored one."""
        if self.trial.blocks == "fixed":
            return None
        order = torch.randperm(self._objective.size, generator=self._generator)
        return order.to(self._objective.device)

    def _snapshot(self) -> Snapshot:
        """Take the gradient at theta^(n)."""
        self._epoch_order = self._order()
        if self.trial.batch_size is None:  # what is measured is of the step to come
            self._set_step_size(self._next, self.trial.epochs)
        return Snapshot(
            trial=self.trial,
            epoch=self.next_epoch,
            objective=self._objective,
            optimizer=self._optimizer,
            fit=self._full_gradient(),
            kept=self._kept,
        )

    def _measure(self, measures: Sequence[Measure], snapshot: Snapshot) -> Pending:
        """Give the device the columns of some measures to compute; None are not due."""
        due = [m for m in measures if m.when(self.trial, snapshot.epoch)]
        found = torch.cat([measure.at(snapshot) for measure in due]) if due else None
        self.correction = snapshot.details.get(CORRECTION.columns[0], self.correction)
        return measures, due, found

    def _read(self, pending: Pending) -> dict[str, float | None]:
        """Return columns that are being computed, after one wait for the device for all of them."""
        measures, due, found = pending
        values: dict[str, float | None] = {c: None for m in measures for c in m.columns}
        if found is not None:
            names = [column for measure in due for column in measure.columns]
            values |= zip(names, found.tolist(), strict=True)
        if self._objective.accuracy is None:
            values |= {name: None for name in ACCURACIES if name in values}
        if measures is not STANDARD:  # what cannot be told, as a cosine with nothing, is absent
            values = {n: None if v is None or math.isnan(v) else v for n, v in values.items()}
        return values

    def _full_gradient(self) -> Tensor:
        """Take the full-batch gradient; between mini-batches running averages stay theirs."""
        if self.trial.batch_size is None:
            return self._objective.gradient(self._epoch_order)
        kept = self.trial.bn_statistics == "running"
        with self._objective.buffers_kept() if kept else nullcontext():
            return self._objective.gradient()

    def _still_finite(self, measured: Mapping[str, Any]) -> bool:
        """Note divergence in ``status``; tell whether a step can be taken."""
        loss = measured["train_loss"]
        if not (math.isfinite(loss) and math.isfinite(measured["two_norm"])):
            self.status = "diverged"
            return False
        start = self.records[0].train_loss if self.records else loss
        self._high_epochs = self._high_epochs + 1 if loss > DIVERGENCE_FACTOR * start else 0
        if self._high_epochs >= DIVERGENCE_EPOCHS:
            self.status = "diverged"
        return True

    def _advance(self) -> None:
        """Train to the epoch of the next record."""
        trial, first = self.trial, self._next
        self._step()
        self._next += 1
        while self._next % trial.record_every and self._next < trial.epochs - 1:
            self._epoch_order = self._order()
            self._step()
            self._next += 1
        # A loss that is high at two records is taken to be so between them.
        self._high_epochs += (self._next - first - 1) if self._high_epochs else 0

    def _step(self) -> None:
        """Take the full-batch step, or with ``batch_size`` one step per mini-batch."""
        if self.trial.batch_size is None:
            self._clip()
            take_step(self._objective, self._optimizer, self.trial.memory)
            return
        order = self._epoch_order
        if order is None:
            order = torch.arange(self._objective.size, device=self._objective.device)
        batches = order.split(self.trial.batch_size)
        for i, batch in enumerate(batches):
            self._objective.gradient(batch)
            each = len(batches)
            self._set_step_size(self._next * each + i, self.trial.epochs * each)
            self._clip()
            self._optimizer.step()

    def _clip(self) -> None:
        """Shorten the gradient to the trial's ``clip_norm``, without waiting for the device."""
        if self.trial.clip_norm is not None:
            grad = self._objective.flat.grad
            grad.mul_((self.trial.clip_norm / grad.norm()).clamp(max=1.0))

    def _set_step_size(self, step: int, steps: int) -> None:
        factor = self._schedule(step, steps)
        if not isinstance(factor, int | float) or not 0 <= factor < math.inf:
            allowed = f"must give a finite number >= 0, not {factor!r} in step {step} of {steps}"
            raise ConfigError("schedule", self.trial.schedule, allowed)
        (group,) = self._optimizer.param_groups
        group["lr"] = self.trial.h * factor


def train(
    trial: Trial,
    data: Dataset,
    *,
    state: Mapping[str, Any] | None = None,
    device: torch.device | str | None = None,
) -> Training:
    """Train a network, one record per epoch.

    Row n holds every metric at theta^(n), before step n; rows run from 0 to ``epochs - 1``. With
    mini-batches an epoch is one pass over the training images, and its row holds the full-batch
    metrics at the weights before its first step, from a pass of their own.

    Parameters
    ----------
    trial : Trial
        What to train.
    data : Dataset
        From :func:`adambias.load_dataset`.
    state : mapping, optional
        What :meth:`Training.state_dict` returned; training goes on from there, on the CPU to the
        very same records. The state of a trial with fewer epochs is extended.
    device : optional
        CUDA if there is one, else the CPU.

    Returns
    -------
    Training
        An iterator of :class:`EpochRecord`.

    Examples
    --------
    >>> import tempfile, adambias as ab
    >>> data = ab.load_dataset("digits", train_size=400, root=tempfile.mkdtemp())
    >>> trial = ab.Trial(h=1e-3, beta2=0.99, epochs=2)
    >>> [record.epoch for record in ab.train(trial, data, device="cpu")]
    [0, 1]
    """
    return Training(trial, data, state=state, device=device)


def rule_of(trial: Trial, shapes: Shapes | None = None) -> UpdateRule:
    """Return the update rule of a trial, for one vector of parameters of these shapes."""
    return make_rule(
        trial.rule,
        options=trial.rule_options,
        shapes=shapes,
        beta1=trial.beta1,
        beta2=trial.beta2,
        epsilon=trial.epsilon,
        epsilon_placement=trial.epsilon_placement,
        bias_correction=trial.bias_correction,
        weight_decay=trial.weight_decay,
    )


@contextmanager
def _memory_explained(objective: Objective) -> Iterator[None]:
    """Turn running out of memory into one line that names a smaller block."""
    try:
        yield
    except RuntimeError as error:
        exhausted = isinstance(error, torch.OutOfMemoryError) or "alloc" in str(error).lower()
        if not exhausted:
            raise
        smaller = max(2, objective.block_size // 2)
        raise AdambiasError(
            f"out of memory with blocks of {objective.block_size} images: try ghost_batch_size = "
            f"{smaller}; with BatchNorm that is another function of the weights, another trial"
        ) from error
