"""Every stage depends on the packages its script can import, no more and no less."""

from __future__ import annotations

import pytest
from imports import PACKAGE, ROOT, STAGES, closure


@pytest.mark.parametrize("stage", STAGES)
def test_dependencies_are_the_imports(stage: str) -> None:
    script = f"pipeline/{stage}.py"
    declared = set(STAGES[stage]["deps"])
    sources = {name.removeprefix("src/adambias/") for name in declared if name.startswith("src/")}

    assert script in declared
    assert sources == packages(ROOT / script)


def packages(script) -> set[str]:
    """Return the packages that a script can import, and ``__init__.py`` above them."""
    files = closure(script)
    if any(name.startswith("src/adambias/figures/") for name in files):
        # Figures are found by name as the program runs, so what any of them imports counts.
        files |= set().union(*map(closure, (PACKAGE / "figures").glob("*.py")))
    return {name.split("/")[2] for name in files} | {"__init__.py"}
