"""Every stage depends on the modules its script can import, no more and no less."""

from __future__ import annotations

from pathlib import Path

import pytest
from imports import ROOT, closure
from ruamel.yaml import YAML

STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]


@pytest.mark.parametrize("stage", STAGES)
def test_dependencies_are_the_imports(stage: str) -> None:
    script = f"pipeline/{stage}.py"
    declared = set(STAGES[stage]["deps"])
    modules = {name for name in declared if name.startswith("src/")}
    folders = tuple(f"{name}/" for name in modules if not Path(name).suffix)
    parts = [file for folder in folders for file in sorted((ROOT / folder).glob("*.py"))]
    imported = set().union(*map(closure, [ROOT / script, *parts]))
    assert script in declared
    assert {name for name in imported if not name.startswith(folders or ("/",))} == {
        name for name in modules if name.endswith(".py")
    }
    for folder in folders:
        assert any(name.startswith(folder) for name in imported)
