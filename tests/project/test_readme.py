"""What README and first pages show is what happens: Python runs, commands and pictures exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from project_folder import ROOT, adambias

FIRST = ("README.md", "docs/start.md", "docs/reproduce.md", "docs/sweeps.md", "docs/beyond.md")
SHOWN = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in FIRST)
PYTHON = re.findall(r"```python\n(.*?)```", SHOWN, re.DOTALL)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_its_python_runs(code: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]


def test_its_commands_exist(tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    shell = "\n".join(re.findall(r"`+(?:sh)?\n?([^`]+)`+", SHOWN))
    targets = set(re.findall(r"^(?:\s*)make ([a-z-]+)", shell, re.MULTILINE))
    commands = set(re.findall(r"^(?:\s*)adambias ([a-z]+)", shell, re.MULTILINE))
    assert {"reproduce", "test", "ui", "report"} <= targets
    assert {"plan", "status", "doctor"} <= commands
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for command in commands:
        shown = adambias(tmp_path, command, "--help")
        assert shown.returncode == 0, command
        assert "Example:" in shown.stdout, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_of_the_pages_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)", text)
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert missing == []
