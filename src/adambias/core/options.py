"""Options of a factory: plain values by name, as a parameter file holds them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from adambias.core.errors import ConfigError


class Options(Mapping[str, Any]):
    """Options by name, which cannot change; equal ones have equal hashes.

    Parameters
    ----------
    values : mapping, optional
        Names with what JSON can hold: truth values, numbers, strings, None, and lists and mappings
        of them.

    Raises
    ------
    ConfigError
        Naming the option whose name is no word, or whose value is none of these.

    Examples
    --------
    >>> Options({"width": 64}) == {"width": 64}
    True
    >>> print(Options({"width": 64, "depth": 2}))
    width 64, depth 2
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        for name in values or {}:
            if not (isinstance(name, str) and name.isidentifier()):
                raise ConfigError(str(name), (values or {})[name], "must have a word for its name")
        self._values = {name: _plain(value, name) for name, value in (values or {}).items()}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return False
        try:
            return self._text == (other if isinstance(other, Options) else Options(other))._text
        except ConfigError:
            return False

    def __hash__(self) -> int:
        return hash(self._text)

    @property
    def _text(self) -> str:
        # What a key is made of: 1, 1.0 and true are equal to Python, and three options here.
        return json.dumps(self._values, sort_keys=True)

    def __str__(self) -> str:
        """Return the options in words."""
        return ", ".join(f"{name} {_short(value)}" for name, value in self._values.items())

    def __repr__(self) -> str:
        return repr(self._values)


def plain(value: Any) -> Any:
    """Return options as a dict, alone or in a list; anything else stays as it is."""
    if isinstance(value, tuple | list):
        return type(value)(map(plain, value))
    return dict(value) if isinstance(value, Mapping) else value


def refuse_unstorable(value: Any, key: str) -> None:
    """Raise :class:`ConfigError` for what fits no table, no file and no seed of torch's."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ConfigError(key, value, "must be an integer of 64 bits")
    # A half of a pair of code points has no UTF-8, and a zero ends a path.
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= c <= "\udfff" for c in value)):
        raise ConfigError(key, value, "must be text that UTF-8 and a path can hold")


def _plain(value: Any, name: str) -> Any:
    if value is None or isinstance(value, bool | str | int):
        refuse_unstorable(value, name)
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return [_plain(each, name) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(each, f"{name}.{key}") for key, each in value.items()}
    allowed = "must be true or false, a finite number, a string, or a list or section of them"
    raise ConfigError(name, value, allowed)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
