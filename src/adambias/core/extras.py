"""Packages that not every use needs: which extra of ``pyproject.toml`` installs each of them."""

from __future__ import annotations

import importlib.util
import sys

from adambias.core.errors import MissingPackage

EXTRAS: dict[str, tuple[str, ...]] = {
    "images": ("PIL", "torchvision"),
    "figures": ("jinja2", "matplotlib", "seaborn", "statsmodels"),
    "sweep": ("ray",),
    "tracking": ("filelock", "mlflow"),
    "pipeline": ("dvc",),
}
"""The modules that each extra brings; ``pipeline`` brings those of the others too."""


def need(*modules: str) -> None:
    """Refuse to go on without some modules, before anything is done that needs them.

    Parameters
    ----------
    *modules : str
        Modules of :data:`EXTRAS`.

    Raises
    ------
    MissingPackage
        With a line that names the extra of the first that is missing.

    Examples
    --------
    >>> need("jinja2")
    """
    for module in modules:
        if not is_installed(module):
            extra = next(name for name, brought in EXTRAS.items() if module in brought)
            raise MissingPackage(f"{module} is not installed: {mend(extra)}")


def mend(extra: str) -> str:
    """Return the command that installs an extra."""
    return f'pip install "adambias[{extra}]"'


def missing() -> dict[str, list[str]]:
    """Return each extra that lacks modules, with what it lacks."""
    lacking = {
        extra: [module for module in modules if not is_installed(module)]
        for extra, modules in EXTRAS.items()
    }
    return {extra: modules for extra, modules in lacking.items() if modules}


def is_installed(module: str) -> bool:
    """Tell whether a module can be imported, without importing it."""
    if module in sys.modules:
        return True
    # A folder of that name in the current one is found too, without an origin.
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.origin is not None
