"""What is measured at each epoch: the columns of a record, declared once.

Record, Parquet schema, MLflow's curves and the thinned curves of the analysis derive from the
measures here; how each is computed stands in :mod:`adambias.training.measures`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from adambias.config.trial import Trial
from adambias.core.errors import AdambiasError, ConfigError
from adambias.core.lazy import at
from adambias.core.registry import MEASURES, is_own
from adambias.core.validation import Names

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def _always(trial: Trial, epoch: int) -> bool:
    return True


def at_each(trial: Trial, epoch: int) -> bool:
    """Tell that a measure looks at every epoch, whatever ``every`` says: it keeps sums."""
    return True


def _float64() -> torch.dtype:
    import torch

    return torch.float64


def _tensor() -> type[Tensor]:
    import torch

    return torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Some columns of an epoch's record, computed together.

    Parameters
    ----------
    columns : tuple of str
        Their names.
    compute : callable or str
        From a :class:`adambias.training.measures.Snapshot` to a tensor of float64, shape
        (len(columns),), on the snapshot's device; or the place of such a function,
        ``module:function``. It must change neither weights, gradient, moments nor buffers.
    when : callable, optional
        ``when(trial, epoch)`` tells whether they are computed at an epoch; by default at every one,
        or where a trial gives ``every`` at each of those. On others they are None in the record and
        null in tables.
    curves : tuple of str, optional
        Columns that MLflow draws, all by default.
    cost : str
        What it costs, in words.
    """

    columns: tuple[str, ...]
    compute: Callable[[Any], Tensor] | str
    when: Callable[[Trial, int], bool] = _always
    curves: tuple[str, ...] | None = None
    cost: str = "nothing worth mentioning"

    @property
    def drawn(self) -> tuple[str, ...]:
        """The columns that MLflow draws."""
        return self.columns if self.curves is None else self.curves

    def at(self, snapshot: Any) -> Tensor:
        """Compute the columns of a snapshot.

        Raises
        ------
        ConfigError
            If it is not a number for each column, or raises.
        """
        found = self._found(snapshot)
        shape = found.shape if isinstance(found, _tensor()) else None
        if shape is None or tuple(shape) != (len(self.columns),):
            must = f"must give a tensor of shape ({len(self.columns)},), not "
            what = type(found).__name__ if shape is None else f"of {tuple(shape)}"
            raise ConfigError("measures", ", ".join(self.columns), must + what)
        return found.to(snapshot.grad.device, dtype=_float64())

    def _found(self, snapshot: Any) -> Tensor:
        if not isinstance(self.compute, str):
            try:
                return self.compute(snapshot)
            except Exception as error:
                # Ours is a line already; memory that runs out is told by the trainer.
                if isinstance(error, AdambiasError) or "alloc" in str(error).lower():
                    raise
                said = f"raised {type(error).__name__} at epoch {snapshot.epoch}: {error}"
                raise ConfigError("measures", ", ".join(self.columns), said) from error
        found: Tensor = at(self.compute)(snapshot)
        return found

    def read_only(self) -> Measure:
        """Return the measure as one that is refused if it changes weights or gradient."""

        def compute(snapshot: Any) -> Tensor:
            before = snapshot.theta.clone(), snapshot.grad.clone()
            found = self.at(snapshot)
            after = snapshot.theta, snapshot.grad
            for name, old, new in zip(("weights", "gradient"), before, after, strict=True):
                if not bool(((old == new) | (old != old)).all()):
                    said = f"changed the {name} at epoch {snapshot.epoch}: measure on a copy"
                    raise ConfigError("measures", ", ".join(self.columns), said)
            return found

        return replace(self, compute=compute)

    def every(self, trial: Trial, epochs: int) -> Measure:
        """Return the measure as it is with ``measure_every`` of these epochs."""
        asked = trial.replace(measure_every=epochs)

        def when(_: Trial, epoch: int) -> bool:
            if self.when is _always:
                return epoch % epochs == 0
            return self.when(asked, epoch)

        def compute(snapshot: Any) -> Tensor:
            return self.at(replace(snapshot, trial=asked))

        return replace(self, when=when, compute=compute)


FIT = Measure(
    columns=("train_loss", "train_accuracy"),
    compute="adambias.training.measures:fit",
)
"""Mean loss over the training images, and the fraction classified correctly."""
TEST = Measure(
    columns=("test_loss", "test_accuracy"),
    compute="adambias.training.measures:test",
    when=lambda trial, epoch: epoch % trial.eval_every == 0 or epoch == trial.epochs - 1,
    cost="a pass over the test images",
)
"""The same over the test images, at every ``eval_every``-th epoch and the last."""
NORMS = Measure(
    columns=("perturbed_one_norm", "one_norm", "two_norm", "max_norm", "mean_abs_grad"),
    compute="adambias.training.measures:norms",
    curves=("perturbed_one_norm", "one_norm", "two_norm", "max_norm"),
    cost="a few operations on the gradient",
)
"""Norms of the full-batch gradient; see :func:`adambias.law.norms.gradient_norms`."""
CORRECTION = Measure(
    columns=("correction_norm_ratio", "correction_cosine"),
    compute="adambias.training.measures:correction",
    when=lambda trial, epoch: bool(trial.correction_every) and epoch % trial.correction_every == 0,
    curves=(),
    cost="a Hessian-vector product, three to eight gradients",
)
"""The law's memory correction; see :func:`adambias.training.correction.measure`."""
SMOOTH = 16
"""Last iterates whose mean is taken for the smooth path where claims are about it."""
SMOOTH_LOSS, SMOOTH_NORM = f"smooth_loss_{SMOOTH}", f"smooth_norm_{SMOOTH}"
"""Columns of the measures ``smooth_norm`` and ``smooth_norms``."""
STANDARD = (FIT, TEST, NORMS)
"""What every trial measures."""
ACCURACIES = ("train_accuracy", "test_accuracy")
"""Columns that are missing throughout where a loss knows no right answers."""
SECONDS = "seconds"
"""How long an epoch took, the one column that differs when a trial is trained again."""
COLUMNS = ("epoch", *(name for measure in STANDARD for name in measure.columns), SECONDS)
"""Columns of every history, in the order of its table; those of further measures follow."""
CURVES = tuple(name for measure in STANDARD for name in measure.drawn)
"""Columns that MLflow draws of every trial."""


def further(trial: Trial) -> Iterator[Measure]:
    """Yield what a trial measures besides :data:`STANDARD`.

    Raises
    ------
    ConfigError
        If a factory returns no measure, or a column is there already.
    """
    known = {*COLUMNS, *CORRECTION.columns}
    if trial.correction_every:
        yield CORRECTION
    for name, entry in zip(trial.measured, trial.measures, strict=True):
        options = {} if isinstance(entry, str) else dict(entry)
        every = options.pop("every", None)
        options.pop("name", None)
        measure = MEASURES.make(name, options=options, key=f"measures {name}")
        if not isinstance(measure, Measure):
            raise ConfigError("measures", name, f"{MEASURES.must}, not {type(measure).__name__}")
        measure = measure if every is None else measure.every(trial, every)
        measure = measure.read_only() if is_own(name) else measure
        for column in measure.columns:
            Names(dots=True).refuse([column], f"measures {name} column")
            if column in known:
                raise ConfigError("measures", name, f"its column {column} is there already")
            known.add(column)
        yield measure


def columns_of(trial: Trial) -> tuple[str, ...]:
    """Return the columns of a trial's history, in their order."""
    return (*COLUMNS, *(name for measure in further(trial) for name in measure.columns))


def curves_of(trial: Trial) -> tuple[str, ...]:
    """Return the columns of a trial's history that MLflow draws."""
    return (*CURVES, *(name for measure in further(trial) for name in measure.drawn))
