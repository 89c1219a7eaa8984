"""Extras: what the library imports is declared, and what is missing is said in one line."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from imports import PACKAGE, ROOT, third_party

from adambias.core.errors import AdambiasError
from adambias.core.extras import EXTRAS, is_installed, mend, missing, need

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BROUGHT = {"alembic": "mlflow", "cycler": "matplotlib", "sqlalchemy": "mlflow"}
"""What is imported and comes with a package that it is used through."""


def distributions(requirements: list[str]) -> set[str]:
    """Return the names of what is required, without the package's own extras."""
    names = {re.match(r"[\w.-]+", each)[0] for each in requirements}  # type: ignore[index]
    return {normal(name) for name in names} - {"adambias"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def of_modules(modules: set[str]) -> set[str]:
    """Return the distribution that brings each of some modules, of several that of its name."""
    known = {module: list(map(normal, names)) for module, names in packages_distributions().items()}
    return {module if module in known[module] else known[module][0] for module in modules}


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_what_the_table_says(extra: str) -> None:
    declared = distributions(PROJECT["optional-dependencies"][extra])

    assert of_modules(set(EXTRAS[extra])) == declared


def test_every_import_of_the_library_is_declared_and_every_declaration_imported() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    imported = {name for file in files for name in third_party(file)}
    extras = set().union(*EXTRAS.values())

    assert {"PIL", "ray", "torch"} <= imported
    declared = distributions(PROJECT["dependencies"]) | of_modules(extras)
    assert of_modules(imported - BROUGHT.keys() - {"ruamel"}) | {"ruamel-yaml", "dvc"} == declared


def test_dev_installs_every_extra() -> None:
    groups = PROJECT["optional-dependencies"]

    assert "adambias[pipeline]" in groups["dev"]
    assert f"adambias[{','.join(n for n in EXTRAS if n != 'pipeline')}]" in groups["pipeline"]


def test_what_is_missing_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert missing() == {}, "the tests run with every extra"
    need(*EXTRAS["sweep"], *EXTRAS["tracking"])
    monkeypatch.setitem(EXTRAS, "pipeline", ("dvc", "no_such_module"))
    (tmp_path / "no_such_module").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    assert not is_installed("no_such_module"), "a folder is no module"
    assert missing() == {"pipeline": ["no_such_module"]}
    with pytest.raises(ImportError) as error:
        need("dvc", "no_such_module")
    assert isinstance(error.value, AdambiasError)
    assert str(error.value) == f"no_such_module is not installed: {mend('pipeline')}"
    assert mend("pipeline") == 'pip install "adambias[pipeline]"'
