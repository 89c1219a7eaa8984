"""The packages stand on one another in one direction, as the package's own docstring says."""

from __future__ import annotations

import graphlib
import re
from pathlib import Path

import pytest
from imports import PACKAGE, imported

import adambias

WORDS = (adambias.__doc__ or "").split("imports only those before it:")[1]
ORDER = re.findall(r"``(\w+)``", WORDS.split(".")[0])
MODULES = sorted(PACKAGE.rglob("*.py"))


def package_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0]


def test_every_package_has_its_place_and_the_top_level_stays_small():
    entries = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}

    assert entries == {"__init__.py", "py.typed", *ORDER}
    assert len(entries) <= 15


@pytest.mark.parametrize("package", ORDER)
def test_a_package_imports_only_those_above_it(package):
    allowed = {"__init__.py", *ORDER[: ORDER.index(package) + 1]}
    against = [
        f"{file.relative_to(PACKAGE)} imports {other.relative_to(PACKAGE)}"
        for file in (PACKAGE / package).rglob("*.py")
        for other in imported(file, types=True)
        if package_of(other) not in allowed
    ]

    assert against == []


def test_the_page_on_the_house_has_the_packages_in_their_order():
    page = (PACKAGE.parents[1] / "docs" / "house.md").read_text(encoding="utf-8")
    packages = page.split("## Stages")[0]

    assert re.findall(r"^\| `(\w+)` \|", packages, re.MULTILINE) == ORDER


def test_no_modules_import_one_another_in_a_circle():
    # A package's own __init__ runs before its modules, which the import of one of them says again.
    modules = [file for file in MODULES if file.name != "__init__.py"]
    graph = {file: {f for f in imported(file) if f.name != "__init__.py"} for file in modules}

    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("package", ORDER)
def test_a_package_says_in_its_first_lines_what_it_is_for(package):
    first = (PACKAGE / package / "__init__.py").read_text().splitlines()[0]

    assert first.startswith('"""')
    assert len(first) > 30
