"""Public names of a package that are imported on first use."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any


def lazy(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package that loads its public names on first use.

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    homes : mapping
        Each name with the module below the package that defines it; a module that stands for
        itself has an empty name: ``{"rules": "law.rules:"}``.

    Examples
    --------
    >>> find, _ = lazy("adambias", {"perturbed_one_norm": "law.norms", "rules": "law.rules:"})
    >>> find("rules").__name__
    'adambias.law.rules'
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        path, itself, _ = homes[name].partition(":")
        module = importlib.import_module(f"{package}.{path}")
        return module if itself else getattr(module, name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return find, names


def at(place: str) -> Any:
    """Return what is at ``module:name``, imported now: for what would import in a circle."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


class Drawable:
    """A flow that draws itself."""

    def plot(self, *arguments: Any, **options: Any) -> Any:
        """Draw it beside its optimizer; see :func:`adambias.law.pictures.plot_flow`."""
        return at("adambias.law.pictures:plot_flow")(self, *arguments, **options)


class Aliases(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Let modules be imported under a second name: both are one module.

    Parameters
    ----------
    homes : mapping
        The other name of each module, with the name of the module itself.
    """

    def __init__(self, homes: Mapping[str, str]) -> None:
        self._homes = homes

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find the module if ``name`` is another name of it."""
        if name not in self._homes:
            return None
        # With an origin, from which the ledger reads the source of a rule of one's own.
        found = importlib.util.find_spec(self._homes[name])
        origin = found.origin if found else None
        return importlib.machinery.ModuleSpec(name, self, origin=origin)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Import the module itself."""
        module = importlib.import_module(self._homes[spec.name])
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its own specification back, which the import system has replaced."""
        module.__spec__ = self._own
