"""What can be named in the parameters, and where the code behind each name is.

A built-in name is one line in one of the tables below; lists elsewhere (what a parameter may be,
what an error offers) derive from it. Code of one's own needs no line: ``package.module:factory``
is a name too. What a name stands for is imported when it is used, so that reading parameters loads
neither torch nor anybody's own code.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from adambias.core.errors import ConfigError, choose_from
from adambias.core.validation import OneOf

MISSING = "missing"
"""Stands for the code of a factory whose file is not to be found."""


@dataclass(frozen=True)
class Registry:
    """The names of one kind of thing.

    Parameters
    ----------
    key : str
        The parameter that holds such a name, as errors call it.
    returns : str
        What a factory returns, in words.
    places : mapping
        Each built-in name with the place of its factory, ``module:factory``.
    given : tuple of str
        Arguments of its factories that the program gives itself, which are no options.
    """

    key: str
    returns: str
    places: Mapping[str, str]
    given: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The built-in names, in the order of the table."""
        return tuple(self.places)

    @property
    def choice(self) -> OneOf:
        """What a parameter that holds such a name may be."""
        return OneOf(self.names, or_own=True)

    def factory(self, name: str) -> Callable[..., Any]:
        """Import the factory that a name stands for.

        Raises
        ------
        ConfigError
            If the name is neither built in nor that of a function that can be imported.
        """
        place = self.places.get(name, name)
        module, own, attribute = place.partition(":")
        if not own:
            allowed = f"{choose_from(self.names, name)}, or package.module:factory for your own"
            raise ConfigError(self.key, name, allowed)
        try:
            found = importlib.import_module(module)
            found = _as_on_disk(found) if is_own(name) else found
            factory = getattr(found, attribute, None)
        except Exception as error:  # a module of one's own runs here, and may raise anything
            raise ConfigError(self.key, name, f"cannot be imported ({error})") from None
        if factory is None and (there := _functions(found)):
            allowed = f"{module} has no {attribute}, {choose_from(there, attribute)}"
            raise ConfigError(self.key, name, allowed)
        if not callable(factory):
            raise ConfigError(self.key, name, self.must)
        return factory

    def make(
        self, name: str, *arguments: Any, options: Mapping[str, Any], key: str, **given: Any
    ) -> Any:
        """Call a factory with what the program gives it and with options of a parameter file.

        Raises
        ------
        ConfigError
            If it does not take an option, or lacks one, or an option is of a wrong type.
        """
        self.refuse_options(name, options, key)
        try:
            return self.factory(name)(*arguments, **given, **options)
        except TypeError as error:
            if options:
                raise ConfigError(key, dict(options), f"{name} refuses them: {error}") from error
            raise ConfigError(self.key, name, f"fails: {error}") from error

    @property
    def must(self) -> str:
        """What a name must stand for, in the words of an error."""
        return f"must name a function that returns {self.returns}"

    def takes(self, name: str) -> frozenset[str] | None:
        """Return the names of a factory's parameters, None if it takes any.

        Raises
        ------
        ConfigError
            If there is no such factory, or it does not tell its parameters.
        """
        factory = self.factory(name)
        try:
            parameters = inspect.signature(factory).parameters.values()
        except (TypeError, ValueError):
            raise ConfigError(self.key, name, self.must) from None
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            return None
        return frozenset(p.name for p in parameters)

    def refuse_options(self, name: str, options: Mapping[str, Any], key: str) -> None:
        """Refuse options that a factory does not take.

        Raises
        ------
        ConfigError
            Naming the option, and what the factory takes.
        """
        accepted = self._options(name) if options else None
        for option, value in options.items():
            if accepted is not None and option not in accepted:
                taken = choose_from(accepted, option) if accepted else "leave it out"
                allowed = f"{name} takes no such option, {taken}"
                raise ConfigError(f"{key}.{option}", value, allowed)

    def _options(self, name: str) -> list[str] | None:
        """Return the parameters of a factory that nobody but a parameter file gives, None for any.

        Those that have a default, or are by keyword alone, and are not the program's own.
        """
        if self.takes(name) is None:
            return None
        parameters = inspect.signature(self.factory(name)).parameters.values()
        given = (p for p in parameters if p.default is not p.empty or p.kind is p.KEYWORD_ONLY)
        return sorted(p.name for p in given if p.name not in self.given)


def _functions(module: ModuleType) -> list[str]:
    """Return the names of the functions and classes that a module itself defines."""
    return [
        name
        for name, value in vars(module).items()
        if callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
    ]


def is_own(name: str) -> bool:
    """Tell whether a name is that of a factory of one's own, ``package.module:factory``."""
    return ":" in name


_SEEN: dict[str, str] = {}
"""The SHA-256 of each module of one's own when it was loaded, or first asked for."""


def _as_on_disk(module: ModuleType) -> ModuleType:
    """Return a module of one's own as its file has it now.

    Its file is what a trial's key stands for. In a notebook or shell it may have been edited since
    it was loaded, and the old code would be trained under the new key.
    """
    name, file = module.__name__, getattr(module, "__file__", None)
    if file is None or name == "__main__":
        return module
    source = Path(file).read_bytes()
    now = hashlib.sha256(source).hexdigest()
    if now != _SEEN.setdefault(name, now):
        # Not importlib.reload, which takes the cached bytecode of an edit within the same second.
        exec(compile(source, file, "exec"), module.__dict__)
        _SEEN[name] = now
    return module


def code_of(name: str) -> str:
    """Return the SHA-256 of the file that holds a factory of one's own.

    Empty for a built-in name, and :data:`MISSING` if the module has no file to be found. What the
    module imports is not looked at.
    """
    module_name, own, _ = name.partition(":")
    if not own:
        return ""
    try:
        module = sys.modules.get(module_name)
        spec = None if module else importlib.util.find_spec(module_name)
        file = getattr(module, "__file__", None) or (spec and spec.origin)
        return hashlib.sha256(Path(file or "").read_bytes()).hexdigest()
    except Exception:  # a package above it runs on the way, and may raise anything
        return MISSING


def _all_in(module: str, *names: str) -> dict[str, str]:
    return {name: f"{module}:{name}" for name in names}


RULES = Registry(
    "rule",
    "an UpdateRule",
    _all_in(
        "adambias.law.rules",
        *("gradient_descent", "heavy_ball", "nesterov", "rmsprop"),
        *("adam", "adamw", "nadam", "lion", "signum", "muon"),
    ),
    given=(
        *("beta1", "beta2", "epsilon", "epsilon_placement", "weight_decay", "bias_correction"),
        "shapes",
    ),
)
"""Optimizers; see :mod:`adambias.law.rules`."""

MODELS = Registry(
    "model",
    "a torch.nn.Module",
    _all_in(
        "adambias.networks.resnet",
        *("resnet8", "resnet14", "resnet20", "resnet32"),
        *("resnet18", "resnet34", "resnet50", "resnet101"),
    )
    | _all_in("adambias.networks.others", "paper_cnn", "mlp", "vit_small", "gpt"),
)
"""Networks: a factory takes a :class:`adambias.networks.style.Style`."""

LOSSES = Registry(
    "loss",
    "a function of outputs and targets",
    _all_in("adambias.networks.losses", "cross_entropy", "mse", "next_token"),
)
"""Losses of trainings: what a factory returns gives the sum over a block's inputs."""

SCHEDULES = Registry(
    "schedule",
    "a function of the step and the number of steps",
    _all_in("adambias.training.schedules", "constant", "linear", "cosine", "steps"),
)
"""What the step size is multiplied by; see :mod:`adambias.training.schedules`."""

PROBLEMS = Registry(
    "orders.losses",
    "a loss, or mini-batch losses, and a start",
    _all_in(
        "adambias.studies.problems", "bilinear", "tanh_mlp", "double_wells", "bilinear_batches"
    ),
)
"""Small losses on which orders are measured: a factory takes the settings of ``bilinear``."""

SOURCES = Registry(
    "source",
    "arrays and the names of the classes",
    _all_in("adambias.data.sources", "digits", "cifar10", "cifar100", "image_folder")
    | _all_in("adambias.data.tables", "arrays", "diabetes")
    | _all_in("adambias.data.text", "text")
    | _all_in("adambias.data.photos", "photos"),
)
"""Where data come from: a factory takes a :class:`adambias.config.DatasetSpec`."""

MEASURES = Registry(
    "measures",
    "a Measure",
    _all_in("adambias.training.measures", "weight_norm", "smooth_norms", "smooth_norm")
    | _all_in("adambias.training.sharpness", "sharpness", "preconditioned_sharpness"),
)
"""Further columns of an epoch's record; see :mod:`adambias.config.measures`."""
