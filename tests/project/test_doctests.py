"""Every public name has examples, on a page of the API reference, and they give what they say."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from typing import Any

import pytest
from imports import PACKAGE, ROOT

import adambias as ab
from adambias.core.registry import RULES

ON_PAGES = re.findall(
    r"^::: ([\w.]+)$",
    "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md")),
    re.MULTILINE,
)
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if ">>>" in path.read_text("utf-8")]


def at(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def public() -> dict[str, Any]:
    """Return what ``import adambias as ab`` gives its users, by the name it is called by."""
    found = {f"ab.{name}": getattr(ab, name) for name in ab.__all__}
    modules = {name: found.pop(f"ab.{name}") for name in ("rules", "losses")}
    found |= {f"ab.rules.{name}": getattr(modules["rules"], name) for name in RULES.names}
    found |= {
        f"ab.losses.{name}": value
        for name, value in inspect.getmembers(modules["losses"], inspect.isfunction)
        if value.__module__ == modules["losses"].__name__ and not name.startswith("_")
    }
    return found | {"ab.sweep": at("adambias.sweep.trials.sweep")}


@pytest.mark.parametrize("name", public())
def test_a_public_name_has_its_place_in_the_reference(name: str) -> None:
    assert public()[name] in [at(path) for path in ON_PAGES]


@pytest.mark.parametrize("path", ON_PAGES)
def test_a_name_of_the_reference_has_examples(path: str) -> None:
    assert "Examples\n--------\n" in inspect.getdoc(at(path))
    assert any(test.examples for test in doctest.DocTestFinder(recurse=False).find(at(path)))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_examples_give_what_they_say(file: Any, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = file.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".")
    text = file.read_text(encoding="utf-8")

    failed, tried = doctest.testmod(importlib.import_module(path.removesuffix(".__init__")))

    assert "doctest: +SKIP" not in text
    assert failed == 0
    assert tried > 0


def test_an_example_that_is_wrong_would_be_seen() -> None:
    (found,) = doctest.DocTestFinder(recurse=False).find(ab.losses.bilinear)
    wrong = found.examples[-1]
    wrong.want = "tensor(0.5)\n"

    assert doctest.DocTestRunner(verbose=False).run(found, out=lambda text: None).failed == 1
