"""A grid: a set of trials, the product of axes over shared fields."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from adambias.config.trial import (
    TRIAL_FIELDS,
    Trial,
    gather,
    is_field,
    is_option,
    layered,
    spread,
)
from adambias.core.errors import ConfigError, choose_from
from adambias.core.validation import Positive, Validated, build, convert_field


@dataclass(frozen=True, kw_only=True)
class Grid(Validated):
    """A set of trials: the product of ``axes`` over ``base``, less ``exclude``, plus ``trials``.

    Parameters
    ----------
    title : str
        What the grid is for, for people.
    base : dict
        Fields every trial of the grid shares, over the scale's ``trial`` section.
    axes : dict of list
        Values of each varied field; the grid holds their product.
    exclude : tuple of dict
        Combinations left out: a trial that matches every field of an entry.
    trials : tuple of dict
        Further trials, each over ``base``.
    horizon : float, optional
        Training time n·h; sets ``epochs`` to ``round(horizon / h)``, to compare step sizes at
        equal time.
    """

    title: str = ""
    base: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    exclude: tuple[dict[str, Any], ...] = ()
    trials: tuple[dict[str, Any], ...] = ()
    horizon: Annotated[float | None, Positive] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, values in self.axes.items():
            if not values:
                raise ConfigError(f"axes.{name}", [], "must not be empty, give at least one value")
        if not self.axes and not self.trials:
            raise ConfigError("axes", {}, "the grid is empty, give axes or trials")
        self._refuse_unknown_fields()

    def _refuse_unknown_fields(self) -> None:
        sections = {"base": self.base, "axes": self.axes}
        sections |= {f"exclude[{i}]": entry for i, entry in enumerate(self.exclude)}
        sections |= {f"trials[{i}]": entry for i, entry in enumerate(self.trials)}
        for section, entries in sections.items():
            for name, value in entries.items():
                if not is_field(name):
                    option = f"model_options.{name} if it is an option of the model"
                    allowed = f"unknown key, {choose_from(TRIAL_FIELDS, name)}; {option}"
                    raise ConfigError(f"{section}.{name}", value, allowed)
                if name == "epochs" and self.horizon is not None:
                    raise ConfigError(f"{section}.epochs", value, "leave it out: horizon sets it")

    @property
    def size(self) -> int:
        """Number of combinations, before ``exclude``; needs no expansion."""
        product = math.prod(len(v) for v in self.axes.values()) if self.axes else 0
        return product + len(self.trials)

    def check(self, defaults: Mapping[str, Any]) -> None:
        """Try every value once, without expanding the product.

        Raises
        ------
        ConfigError
            Naming ``axes.<field>``, ``base.<field>`` or ``trials[i].<field>``.
        """
        first = {name: values[0] for name, values in self.axes.items()}
        places = {name: f"base.{name}" for name in self.base} | {n: f"axes.{n}" for n in first}
        for name, values in self.axes.items():
            for value in values:
                point = layered(defaults, self.base, {**first, name: value})
                if not self._excludes(point):
                    self._trial(point, places)
        for i, entry in enumerate(self.trials):
            places = {n: f"base.{n}" for n in self.base} | {n: f"trials[{i}].{n}" for n in entry}
            self._trial(layered(defaults, self.base, entry), places)
        for i, entry in enumerate(self.exclude):
            for name, value in entry.items():
                if not is_option(name):
                    convert_field(Trial, name, value, f"exclude[{i}].{name}")

    def expand(self, defaults: Mapping[str, Any]) -> Iterator[Trial]:
        """Yield the trials, in the order of the axes; a trial met twice is yielded twice."""
        if self.axes:
            for values in itertools.product(*self.axes.values()):
                varied = dict(zip(self.axes, values, strict=True))
                point = layered(defaults, self.base, varied)
                if not self._excludes(point):
                    yield self._trial(point, {})
        for entry in self.trials:
            yield self._trial(layered(defaults, self.base, entry), {})

    def _excludes(self, point: Mapping[str, Any]) -> bool:
        """Tell whether a combination is left out, before it is built: it may be no valid trial."""
        values = TRIAL_FIELDS | self._gathered(point)
        values |= spread(values)
        return any(entry.items() <= values.items() for entry in self.exclude)

    def _gathered(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Put options into their fields; what is no section for them is named by its place."""
        try:
            return gather(point)
        except ConfigError as error:
            raise error.within("base." if error.key in self.base else "trial.") from None

    def _trial(self, values: Mapping[str, Any], places: Mapping[str, str]) -> Trial:
        values = self._gathered(values)
        if self.horizon is not None:
            h = values.get("h")
            if not isinstance(h, int | float) or h <= 0:
                raise ConfigError(places.get("h", "h"), h, "must be a number > 0")
            try:
                values["epochs"] = max(1, round(self.horizon / h))
            except (OverflowError, ValueError):  # h is no number, too small or too large
                allowed = f"must be a number > 0 by which horizon = {self.horizon:g} can be divided"
                raise ConfigError(places.get("h", "h"), h, allowed) from None
        try:
            return build(Trial, values)
        except ConfigError as error:
            # An option may be an axis of its own, or be one of its field's.
            field = error.key.partition(".")[0]
            key = places.get(error.key, f"trial.{error.key}")
            if error.key not in places and field in places and field.endswith("_options"):
                key = f"{places[field]}{error.key.removeprefix(field)}"
            raise ConfigError(key, error.value, error.allowed) from None
