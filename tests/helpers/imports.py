"""Which modules of the package a file imports, read from its source."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "adambias"
OURS = {*sys.stdlib_module_names, "adambias"}
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def closure(script: Path) -> set[str]:
    """Return the files of the package that ``script`` imports, directly or not."""
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        for file in imported(waiting.pop()):
            if file not in found:
                found.add(file)
                waiting.append(file)
    return {str(file.relative_to(ROOT)) for file in found}


def imported(file: Path, *, types: bool = False) -> set[Path]:
    """Return the files that a file imports, at its top or inside a function.

    What only type checkers import is left out, unless ``types``.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {found for name in _names(tree, types) for found in _files(name)} - {file}


def third_party(file: Path) -> set[str]:
    """Return the top-level modules that a file imports anywhere, neither Python's nor ours."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {name.split(".")[0] for name in _names(tree, types=True)} - OURS


def _names(tree: ast.AST, types: bool) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from _names(node, types)


def _files(name: str) -> Iterator[Path]:
    if name.split(".")[0] != "adambias":
        return
    path = SOURCE.joinpath(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.exists():
            yield file
