"""Validation of frozen dataclasses from their annotations.

A field annotated ``Annotated[float, Range(above=0)]`` of a :class:`Validated` dataclass is checked
on construction; :func:`build` makes a dataclass from a mapping and refuses unknown and missing
keys.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import operator
import re
import types
from collections.abc import Callable, Collection, Mapping, Sized
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from adambias.core.errors import ABSENT, ConfigError, choose_from
from adambias.core.options import Options, refuse_unstorable

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Range:
    """Bounds of a number; ``above`` and ``below`` exclude the bound itself.

    Examples
    --------
    >>> str(Decay), str(Range(above=0, below=math.inf))
    ('>= 0 and < 1', '> 0 and finite')
    """

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None

    def holds(self, value: Any) -> bool:
        """Tell whether a number, or every entry of an array or tensor, lies within the bounds."""
        verdicts = [compare(value, bound) for compare, _, bound in self._given()]
        return all(bool(v if isinstance(v, bool) else v.all()) for v in verdicts)

    def __str__(self) -> str:
        """Return the bounds in words."""
        given = self._given()
        return " and ".join("finite" if b == math.inf else f"{word} {b:g}" for _, word, b in given)

    def _given(self) -> list[tuple[Callable[[Any, float], Any], str, float]]:
        """Return the comparison, the word for it, and the bound, of each bound there is."""
        every = [
            (operator.gt, ">", self.above),
            (operator.ge, ">=", self.at_least),
            (operator.lt, "<", self.below),
            (operator.le, "<=", self.at_most),
        ]
        return [(compare, word, bound) for compare, word, bound in every if bound is not None]


AtLeastOne = Range(at_least=1)
Positive = Range(above=0)
Decay = Fraction = Range(at_least=0, below=1)


@dataclass(frozen=True)
class OneOf:
    """A string out of a set that is known only at run time.

    With ``or_own`` it may be ``package.module:factory`` too, which is not looked at here.
    """

    names: tuple[str, ...]
    or_own: bool = False

    def refuse(self, value: str, key: str) -> None:
        """Raise :class:`ConfigError` unless ``value`` is in the set."""
        if value in self.names or (self.or_own and ":" in value):
            return
        more = ", or package.module:factory" if self.or_own else ""
        raise ConfigError(key, value, f"{choose_from(self.names, value)}{more}")


@dataclass(frozen=True, kw_only=True)
class Entries:
    """How many entries a list or mapping has."""

    at_least: int
    at_most: int | None = None

    def holds(self, value: Sized) -> bool:
        """Tell whether ``value`` has as many."""
        return self.at_least <= len(value) <= (self.at_most or len(value))

    def __str__(self) -> str:
        """Return the number in words."""
        if self.at_least == self.at_most:
            return f"{self.at_least} entries"
        return f"at least {self.at_least} {'entry' if self.at_least == 1 else 'entries'}"


@dataclass(frozen=True, kw_only=True)
class Names:
    """The names of a section's entries, which become files, stages, experiments and arguments.

    They are words that a shell, DVC, a URL, a file system and MLflow's search take as they are.

    Parameters
    ----------
    dots : bool
        Whether dots are taken, at which DVC splits the keys of parameters.
    """

    dots: bool = False

    def refuse(self, names: Collection[str], key: str) -> None:
        """Raise :class:`ConfigError` for a name that one of them would split or quote."""
        signs, words = ("_.-", "_, . and -") if self.dots else ("_-", "_ and -")
        known: dict[str, str] = {}
        for name in names:
            if not re.fullmatch(rf"[A-Za-z0-9_][A-Za-z0-9{signs}]*", name) or len(name) > LONGEST:
                allowed = f"a name must be letters, digits, {words}, {LONGEST} at most"
                raise ConfigError(key, name, allowed)
            twin = known.setdefault(name.lower(), name)
            if twin != name:
                allowed = f"differs from {twin} in capitals only, which not every file system sees"
                raise ConfigError(key, name, allowed)


LONGEST = 100
"""Most characters of a name: file systems take 255 bytes, of which suffixes need some."""
NotEmpty = Entries(at_least=1)
Pair = Entries(at_least=2, at_most=2)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


@dataclass(frozen=True)
class Validated:
    """A base of frozen dataclasses that checks every field and stores it in its canonical type.

    Integers become floats where a float is annotated, NumPy's numbers become Python's, lists
    become tuples, mappings become the dataclass they are annotated as.

    Raises
    ------
    ConfigError
        If a value is of the wrong type or out of its range; it names the field.
    """

    def __post_init__(self) -> None:
        # mypy takes the __hash__ of the instances for that of the class.
        hints = _hints(type(self))  # type: ignore[arg-type]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            checked = convert(hints[field.name], value, field.name)
            object.__setattr__(self, field.name, checked)


def build(cls: type[T], mapping: Any, where: str = "") -> T:
    """Make the dataclass ``cls`` from ``mapping``; ``where`` prefixes the keys in errors.

    Raises
    ------
    ConfigError
        On an unknown key, a missing key, or a bad value.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(where.rstrip("."), mapping, "must be a section with keys and values")
    fields = {
        field.name: field
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]
        if not field.metadata.get("given")  # by the program, not by a file
    }
    for key in mapping:
        if key not in fields:
            raise ConfigError(
                f"{where}{key}", mapping[key], f"unknown key, {choose_from(fields, key)}"
            )
    for name, field in fields.items():
        absent = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if absent and name not in mapping:
            raise ConfigError(f"{where}{name}", ABSENT, "is missing, give it a value")
    try:
        return cls(**mapping)
    except ConfigError as error:
        raise error.within(where) from None


def is_name(word: str) -> bool:
    """Tell whether a word can name a file and a metric: letters, digits and underscores."""
    return word.isascii() and word.isidentifier()


def integer(key: str, value: Any, at_least: int) -> int:
    """Return an argument that counts something as a plain int, or raise :class:`ConfigError`."""
    try:
        number = at_least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = at_least - 1
    if number < at_least:
        raise ConfigError(key, value, f"must be an integer >= {at_least}")
    return number


_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def duration(key: str, text: str) -> float:
    """Return the seconds of a text such as ``9m``, ``1h30m`` or ``45s``.

    Raises
    ------
    ConfigError
        If it is none, or no time at all.
    """
    match = _DURATION.fullmatch(text.strip())
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if not total:
        raise ConfigError(key, text, "must be a time such as 9m, 1h30m or 45s")
    return float(total)


def convert_field(cls: type, name: str, value: Any, key: str) -> Any:
    """Return ``value`` as the field ``name`` of a dataclass holds it; ``key`` names it in errors.

    Raises
    ------
    ConfigError
        If it is of the wrong type or out of its range.
    """
    return convert(_hints(cls)[name], value, key)


def kinds_of(cls: type, name: str) -> tuple[Any, ...]:
    """Return the plain types that the field ``name`` of a dataclass may hold, None left out."""
    hint = _hints(cls)[name]
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return tuple(option for option in options if option is not type(None))


def convert(hint: Any, value: Any, key: str) -> Any:
    """Return ``value`` as the type ``hint`` asks for, or raise :class:`ConfigError`."""
    origin = get_origin(hint)
    if origin is Annotated:
        inner, *rules = get_args(hint)
        value = convert(inner, value, key)
        for rule in rules:
            _apply(rule, value, key)
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(get_args(hint), value, key)
    if origin is Literal:
        if value not in get_args(hint):
            raise ConfigError(key, value, choose_from(map(str, get_args(hint)), value))
        return next(option for option in get_args(hint) if option == value)
    if origin is tuple:
        return _convert_sequence(get_args(hint)[0], value, key)
    if origin is dict or hint is dict:
        return _convert_mapping(get_args(hint), value, key)
    if hint is Options:
        return _convert_options(value, key)
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else build(hint, value, f"{key}.")  # type: ignore[arg-type]
    return _convert_scalar(hint, value, key)


def _apply(rule: Any, value: Any, key: str) -> None:
    if value is None:
        return
    if isinstance(rule, Range):
        for number in value if isinstance(value, tuple) else (value,):
            if not rule.holds(number):
                raise ConfigError(key, number, f"must be {rule}")
    elif isinstance(rule, OneOf):
        for name in value if isinstance(value, tuple) else (value,):
            rule.refuse(name, key)
    elif isinstance(rule, Names):
        rule.refuse(value, key)
    elif isinstance(rule, Entries) and not rule.holds(value):
        raise ConfigError(key, list(value), f"must have {rule}")


def _convert_union(options: tuple[Any, ...], value: Any, key: str) -> Any:
    if value is None and type(None) in options:
        return None
    error: ConfigError | None = None
    for option in (o for o in options if o is not type(None)):
        try:
            return convert(option, value, key)
        except ConfigError as caught:
            error = error or caught
    assert error is not None
    raise error


def _convert_sequence(inner: Any, value: Any, key: str) -> tuple[Any, ...]:
    if isinstance(value, str | Mapping) or not hasattr(value, "__iter__"):
        raise ConfigError(key, value, "must be a list")
    return tuple(convert(inner, v, f"{key}[{i}]") for i, v in enumerate(value))


def _convert_mapping(arguments: tuple[Any, ...], value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(key, value, "must be a section with keys and values")
    inner = arguments[1] if arguments else Any
    for name in value:
        # YAML reads null, true and 007 without quotes as what they mean.
        if not isinstance(name, str):
            allowed = "must be a word where it names an entry: write it in quotes"
            raise ConfigError(key, name, allowed)
    return {str(k): convert(inner, v, f"{key}.{k}") for k, v in value.items()}


def _convert_options(value: Any, key: str) -> Options:
    if isinstance(value, Options):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError(key, value, "must be a section with keys and values")
    try:
        return Options(value)
    except ConfigError as error:
        raise error.within(f"{key}.") from None


def _convert_scalar(hint: Any, value: Any, key: str) -> Any:
    if hint is Any:
        return value
    words = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}
    if hint is float and isinstance(value, numbers.Real) and not isinstance(value, bool):
        return _finite(value, key)
    if hint is int and isinstance(value, numbers.Integral) and not isinstance(value, bool):
        refuse_unstorable(int(value), key)
        return int(value)
    if hint in (bool, str) and isinstance(value, hint):
        refuse_unstorable(value, key)
        return hint(value)
    # NumPy's truth values are registered as no kind of number, and NumPy is not loaded here.
    if hint is bool and str(getattr(value, "dtype", "")) == "bool" and value.ndim == 0:
        return bool(value)
    quoted = isinstance(value, str) and hint in (int, float)
    advice = " (a string; write it without quotes, as 8, 0.0001 or 1e-4)" if quoted else ""
    raise ConfigError(key, value, f"must be {words.get(hint, hint)}{advice}")


def _finite(value: numbers.Real, key: str) -> float:
    try:
        number = float(value)
    except OverflowError:  # an integer, or a fraction, that no float holds
        number = math.inf
    if not math.isfinite(number):
        raise ConfigError(key, value, "must be a finite number")
    return number
