"""One training, by everything that determines its result but the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from adambias.core.errors import ConfigError
from adambias.core.options import Options, plain
from adambias.core.registry import LOSSES, MEASURES, MODELS, RULES, SCHEDULES, is_own
from adambias.core.validation import AtLeastOne, Decay, Positive, Range, Validated, integer

SEMANTICS_VERSION = 1
"""Raised whenever a change of the code changes what a trial computes."""

KEEPING = ("smooth_norm", "smooth_norms")
"""Measures that keep sums over epochs."""
EDGE = "preconditioned_sharpness"
"""The measure that is of the optimizer's own step."""
T = TypeVar("T")
Memory: TypeAlias = Literal[
    "optimizer",
    "forgotten",
    "law_first_order",
    "law_resummed",
    "cancelled_first_order",
    "cancelled_resummed",
]
"""Where the steps of a training can get their past from."""


def later(as_before: T) -> T:
    """Declare a field that came after trials had keys: the value that means "as before".

    While a trial holds it, the field is left out of its key, of ``trial.json`` and of checkpoints,
    so that ledgers written before the field was there go on to count. Never change that value.
    """
    field: T = dataclasses.field(default=as_before, metadata={"later": True})
    return field


@dataclass(frozen=True, kw_only=True)
class Trial(Validated):
    """One training, by everything that determines its result but the data.

    Parameters
    ----------
    dataset : str
        Name of a prepared dataset, a folder of ``data/``.
    model, norm, activation : str
        The network; see :mod:`adambias.networks.build`.
    rule : str
        An update rule of :mod:`adambias.law.rules`, or ``package.module:factory`` for one's own.
    h : float
        Step size.
    beta1, beta2, epsilon, epsilon_placement, bias_correction, weight_decay
        Hyperparameters of the rule (the paper's beta, rho, epsilon; equation 2.1). A weight decay
        above 0 is for the rules that have one, and adamw needs one.
    epochs : int
        Number of recorded epochs; with full batches also the number of steps.
    seed : int
        Seed of the initial weights and, for shuffled blocks, of their order.
    batch_size : int or None
        Images in a mini-batch; None is the full batch.
    ghost_batch_size : int or None
        Images in one block of a batch, over which BatchNorm takes its statistics; None: all of it.
    blocks : {"fixed", "shuffled"}
        Whether the blocks stay the same, or are drawn anew each epoch as in the paper's code.
    precision : {"fp64", "fp32", "tf32", "bf16"}
        Arithmetic of the network; parameters and moments are at least fp32.
    eval_every : int
        Epochs between evaluations on the test images.
    bn_statistics : {"exact", "running"}
        Statistics BatchNorm evaluates with: exact over the training images, or running averages.
    correction_every : int
        Epochs between measurements of the memory correction on the network; 0 is never. It needs
        the full batch in fixed blocks, and bias correction.
    loss : str
        The training loss; see :mod:`adambias.networks.losses`.
    measures : tuple of str or mapping
        Further columns of each epoch's record; see :mod:`adambias.config.measures`. A mapping holds
        the measure's ``name``, ``every`` in place of ``measure_every`` if it is given, and options
        of its factory.
    memory : str
        Where the steps get their past from: ``optimizer``, the moments; ``forgotten``, nowhere, the
        step of the present gradient alone; ``law_first_order`` or ``law_resummed``, that step and
        what the law predicts for memory; ``cancelled_first_order`` or ``cancelled_resummed``, the
        optimizer's step less that. All but the first need what ``correction_every`` needs.
    measure_every : int
        Epochs between two of those ``measures`` that cost passes of their own.
    model_options, loss_options, rule_options, schedule_options : mapping
        Options of the factory behind ``model``, ``loss``, ``rule`` and ``schedule``, by the names
        of its own parameters.
    schedule : str
        What the step size is multiplied by over the steps; see :mod:`adambias.training.schedules`.
    clip_norm : float or None
        Largest Euclidean norm of the gradient that a step is taken with; a longer one is shortened
        to it. Records are of the gradient as it is, and the law knows no such step.
    record_every : int
        Epochs between two measurements of anything with ``batch_size``, where each takes a pass
        of its own; the first and the last epoch are measured always.

    Notes
    -----
    ``model``, ``rule``, ``loss``, ``schedule`` and each of ``measures`` may be
    ``package.module:factory``, code of one's own. ``epsilon`` is on purpose one number for three
    things: the rule's stabiliser, the perturbation of the norm that is measured, and with it that
    norm's floor p√ε. The theory's penalty is the norm perturbed by the rule's own epsilon (equation
    2.3).

    Examples
    --------
    >>> import adambias as ab
    >>> trial = ab.Trial(dataset="digits", model="resnet8", h=1e-3, epochs=20, beta1=0.5)
    >>> trial.replace(beta2=0.9).beta1
    0.5
    >>> ab.Trial(h=1e-3, epochs=20, beta1=1.5)
    Traceback (most recent call last):
    ...
    adambias.core.errors.ConfigError: beta1 = 1.5: must be >= 0 and < 1
    """

    dataset: str = "digits"
    model: Annotated[str, MODELS.choice] = "resnet8"
    norm: Literal["batch", "group", "none"] = "batch"
    activation: Literal["relu", "gelu", "softplus", "tanh"] = "relu"
    rule: Annotated[str, RULES.choice] = "adam"
    h: Annotated[float, Positive]
    beta1: Annotated[float, Decay] = 0.9
    beta2: Annotated[float, Decay] = 0.999
    epsilon: Annotated[float, Positive] = 1e-8
    epsilon_placement: Literal["inside", "outside"] = "inside"
    bias_correction: bool = True
    weight_decay: Annotated[float, Range(at_least=0)] = 0.0
    epochs: Annotated[int, AtLeastOne]
    seed: Annotated[int, Range(at_least=0, at_most=2**63 - 1)] = 0
    batch_size: Annotated[int | None, AtLeastOne] = None
    ghost_batch_size: Annotated[int | None, AtLeastOne] = None
    blocks: Literal["fixed", "shuffled"] = "fixed"
    precision: Literal["fp64", "fp32", "tf32", "bf16"] = "fp32"
    eval_every: Annotated[int, AtLeastOne] = 5
    bn_statistics: Literal["exact", "running"] = "exact"
    correction_every: Annotated[int, Range(at_least=0)] = 0
    loss: Annotated[str, LOSSES.choice] = later("cross_entropy")
    measures: tuple[str | Options, ...] = later(())
    memory: Memory = later("optimizer")
    measure_every: Annotated[int, AtLeastOne] = later(10)
    model_options: Options = later(Options())
    loss_options: Options = later(Options())
    rule_options: Options = later(Options())
    schedule: Annotated[str, SCHEDULES.choice] = later("constant")
    schedule_options: Options = later(Options())
    record_every: Annotated[int, AtLeastOne] = later(1)
    clip_norm: Annotated[float | None, Positive] = later(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._refuse_lost_weight_decay()
        self._refuse_bad_measures()
        if self.correction_every:
            self._refuse_without_law("correction_every is set")
            self._refuse_schedule("correction_every is set")
        if EDGE in self.measured:
            self._refuse_without_law(f"measures hold {EDGE}")
            if self.memory != "optimizer":
                allowed = f"must be 'optimizer' where measures hold {EDGE}: it is of those steps"
                raise ConfigError("memory", self.memory, allowed)
        if self.memory != "optimizer":
            self._refuse_without_law(f"memory is {self.memory}")
            self._refuse_schedule(f"memory is {self.memory}")
        if self.record_every > 1 and self.batch_size is None:
            allowed = "must be 1 without batch_size: the full batch's step measures by the way"
            raise ConfigError("record_every", self.record_every, allowed)
        self._refuse_unrecorded()
        for name in sorted(set(self.rule_options) & {*HYPERPARAMETERS, "epsilon"}):
            allowed = f"is a field of a trial, give it as {name}"
            raise ConfigError(f"rule_options.{name}", self.rule_options[name], allowed)

    def _refuse_unrecorded(self) -> None:
        """Refuse what is due at epochs that have no record, or needs every one."""
        if self.record_every == 1:
            return
        due = {"eval_every": self.eval_every}
        due |= {"measure_every": self.measure_every} if self.measures else {}
        for entry in self.measures:
            if not isinstance(entry, str) and "every" in entry:
                due[f"measures {entry['name']} every"] = entry["every"]
        for key, epochs in due.items():
            if epochs % self.record_every:
                allowed = f"must be a multiple of record_every = {self.record_every}"
                raise ConfigError(key, epochs, allowed)
        for name in self.measured:
            if name in KEEPING:
                allowed = f"must be 1 where measures hold {name}, which looks at every epoch"
                raise ConfigError("record_every", self.record_every, allowed)

    def _refuse_bad_measures(self) -> None:
        """Refuse a measure without a name, twice, or under a name that is none."""
        for entry in self.measures:
            name = entry if isinstance(entry, str) else entry.get("name")
            if not isinstance(name, str):
                raise ConfigError("measures", plain(entry), "must hold the measure's name")
            MEASURES.choice.refuse(name, "measures")
            if not isinstance(entry, str) and "every" in entry:
                integer(f"measures {name} every", entry["every"], 1)
        if len(set(self.measured)) < len(self.measured):
            raise ConfigError("measures", plain(list(self.measures)), "must name each measure once")
        # A section that holds a name alone is that name: one training has one key.
        named = (isinstance(e, Options) and set(e) == {"name"} for e in self.measures)
        entries = zip(self.measures, self.measured, named, strict=True)
        object.__setattr__(self, "measures", tuple(n if alone else e for e, n, alone in entries))

    def _refuse_lost_weight_decay(self) -> None:
        """Refuse what would train one rule's steps under another rule's key."""
        if self.rule == "adamw" and self.weight_decay == 0:
            allowed = "must be > 0 for adamw, which without it is adam: take rule = 'adam'"
            raise ConfigError("weight_decay", self.weight_decay, allowed)
        if self.weight_decay and not is_own(self.rule) and not _decays_weights(self.rule):
            those = " and ".join(filter(_decays_weights, RULES.names))
            allowed = f"must be 0 for {self.rule}: only {those} have one"
            raise ConfigError("weight_decay", self.weight_decay, allowed)

    def _refuse_without_law(self, where: str) -> None:
        """Refuse a prediction whose gradient, memory and Hessian are of different losses."""
        if not self.bias_correction:
            raise ConfigError("bias_correction", False, f"must be true where {where}")
        if self.batch_size is not None:
            allowed = f"must be left out where {where}: the law is the full batch's"
            raise ConfigError("batch_size", self.batch_size, allowed)
        if self.blocks != "fixed":
            raise ConfigError("blocks", self.blocks, f"must be 'fixed' where {where}")
        if self.clip_norm is not None:
            allowed = f"must be left out where {where}: the law is of the gradient as it is"
            raise ConfigError("clip_norm", self.clip_norm, allowed)

    def _refuse_schedule(self, where: str) -> None:
        if not self.has_one_step_size:
            allowed = f"must be constant where {where}: the law is of one step size"
            raise ConfigError("schedule", self.schedule, allowed)

    @property
    def can_be_extended(self) -> bool:
        """Whether a training of fewer epochs is the beginning of this one."""
        return self.has_one_step_size and self.record_every == 1

    @property
    def has_one_step_size(self) -> bool:
        """Whether every step is one of h."""
        return self.schedule == "constant" and not self.schedule_options

    @property
    def measured(self) -> tuple[str, ...]:
        """Names of the further measures."""
        return tuple(e if isinstance(e, str) else str(e["name"]) for e in self.measures)

    def identity(self) -> dict[str, Any]:
        """Return the fields that tell this trial from others, for its key and its files."""
        return {
            field.name: plain(value)
            for field in dataclasses.fields(self)
            for value in (getattr(self, field.name),)
            if "later" not in field.metadata or value != field.default
        }

    def flat(self) -> dict[str, Any]:
        """Return every field, each option under a name of its own: ``rule_options.nesterov``."""
        return spread({name: getattr(self, name) for name in TRIAL_FIELDS})

    def own_code(self) -> dict[str, tuple[str, ...]]:
        """Return the names of factories of one's own, by field; fields without one are left out."""
        named = {
            field: tuple(filter(is_own, self.measured if field == "measures" else (value,)))
            for field in NAMING_CODE
            for value in (getattr(self, field),)
        }
        return {field: names for field, names in named.items() if names}

    def replace(self, **changes: Any) -> Trial:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)


def _decays_weights(rule: str) -> bool:
    accepted = RULES.takes(rule)
    return accepted is not None and "weight_decay" in accepted


def ignored_fields(rule: str) -> tuple[str, ...]:
    """Return the hyperparameters of a trial that its rule's factory does not take.

    Not ``epsilon``, which perturbs the measured norm whatever the rule. None of a rule of one's own
    that cannot be imported here.
    """
    try:
        accepted = RULES.takes(rule)
    except ConfigError:
        return ()
    return () if accepted is None else tuple(n for n in HYPERPARAMETERS if n not in accepted)


HYPERPARAMETERS = ("beta1", "beta2", "epsilon_placement", "weight_decay", "bias_correction")
NAMING_CODE = ("rule", "model", "loss", "schedule", "measures")
"""Fields that name code: built in, or one's own."""
WITH_OPTIONS = {"model": MODELS, "loss": LOSSES, "rule": RULES, "schedule": SCHEDULES}
"""Fields whose factory takes options, ``<field>_options``, with the registry of their names."""
TRIAL_FIELDS = {f.name: f.default for f in dataclasses.fields(Trial)}
"""Every field of a trial, with its default."""


def is_option(name: str) -> bool:
    """Tell whether a name is that of one option of a field: ``model_options.width``."""
    field, dot, option = name.partition(".")
    return bool(dot) and field.removesuffix("_options") in WITH_OPTIONS and option.isidentifier()


def is_field(name: str) -> bool:
    """Tell whether a name is a field of a trial, or one option of a field."""
    return name in TRIAL_FIELDS or is_option(name)


def spread(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a trial with each option under a name of its own, in the fields' order."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name.endswith("_options") and isinstance(value, Mapping):
            found |= {f"{name}.{option}": each for option, each in value.items()}
        else:
            found[name] = value
    return found


def gather(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a trial with options of a name of their own put into their field."""
    found = {name: value for name, value in values.items() if not is_option(name)}
    for name, value in values.items():
        if is_option(name):
            field, _, option = name.partition(".")
            whole = found.get(field, {})
            if not isinstance(whole, Mapping):
                raise ConfigError(field, whole, "must be a section with keys and values")
            found[field] = {**whole, option: value}
    return found


def layered(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a trial from several layers, of which the later ones count.

    Options given as a whole replace all of before; one of a name of its own is put beside them.
    """
    found: dict[str, Any] = {}
    for layer in layers:
        for name in layer:
            if name.endswith("_options"):
                found = {k: v for k, v in found.items() if not k.startswith(f"{name}.")}
        found |= layer
    return found
