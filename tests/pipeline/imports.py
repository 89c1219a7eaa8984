"""Which modules of the package a script can import, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"


def closure(script: Path) -> set[str]:
    """Return the files of the package that ``script`` imports, directly or not."""
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        for name in _imported(ast.parse(waiting.pop().read_text(encoding="utf-8"))):
            for file in _files(name):
                if file not in found:
                    found.add(file)
                    waiting.append(file)
    return {str(file.relative_to(ROOT)) for file in found}


def _imported(tree: ast.AST) -> Iterator[str]:
    """Yield dotted names, skipping what only type checkers import."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from _imported(node)


def _files(name: str) -> Iterator[Path]:
    if name.split(".")[0] != "adambias":
        return
    path = SOURCE.joinpath(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.exists():
            yield file
