from __future__ import annotations

import subprocess
import sys

import pytest

from adambias.core import registry
from adambias.core.errors import ConfigError
from adambias.core.registry import MISSING, RULES, Registry, code_of

REGISTRIES = {name: value for name, value in vars(registry).items() if isinstance(value, Registry)}
ENTRIES = [(kind, name) for kind, table in REGISTRIES.items() for name in table.names]


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_entry_is_a_factory_that_can_be_imported(kind, name):
    assert callable(REGISTRIES[kind].factory(name))


def test_naming_loads_neither_torch_nor_anybodys_code():
    code = (
        "import sys; from adambias.config import Trial; "
        "Trial(h=1e-3, epochs=1, rule='own.rules:make', model='own:net', measures=['own:m']); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "adm",
            r"^rule = 'adm': must be one of .*\(did you mean adam\?\), or package\.module:fact",
        ),
        ("nowhere:rule", r"^rule = 'nowhere:rule': cannot be imported \(No module named 'nowhere'"),
        ("math:rule", r"^rule = 'math:rule': math has no rule, must be one of acos, "),
        ("math:sqr", r"^rule = 'math:sqr': math has no sqr, .* \(did you mean sqrt\?\)$"),
        ("math:pi", r"^rule = 'math:pi': must name a function that returns an UpdateRule$"),
    ],
)
def test_a_name_that_stands_for_nothing_is_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        RULES.factory(name)


def test_a_factory_tells_what_it_takes(tmp_path, monkeypatch):
    (tmp_path / "own_factories.py").write_text(
        "def some(beta1, clip=1.0): ...\ndef all_of_them(**hyperparameters): ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    assert RULES.takes("own_factories:some") == {"beta1", "clip"}
    assert RULES.takes("own_factories:all_of_them") is None
    assert "beta2" not in RULES.takes("heavy_ball")


def test_code_of_ones_own_is_known_by_its_file(tmp_path, monkeypatch):
    assert code_of("adam") == ""
    assert code_of("own_code_of:make") == MISSING
    (tmp_path / "own_code_of.py").write_text("def make(): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    first = code_of("own_code_of:make")

    (tmp_path / "own_code_of.py").write_text("def make(): return 1\n")

    assert len(first) == 64
    assert code_of("own_code_of:make") != first
