"""Shells complete commands and the grids of the project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import SECONDS


def completed(words: str, *python: str) -> subprocess.CompletedProcess[str]:
    """Ask as bash does when the tab key is pressed behind the last of the words."""
    command = [sys.executable, *python, str(Path(sys.executable).with_name("adambias"))]
    asked = {
        "_ADAMBIAS_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    return subprocess.run(
        command, env=os.environ | asked, capture_output=True, text=True, timeout=SECONDS
    )


def offered(words: str) -> list[str]:
    done = completed(words)
    assert (done.returncode, done.stderr) == (0, "")
    # Click ends even an empty answer with a line.
    return [line.removeprefix("plain,") for line in done.stdout.splitlines() if line]


def test_commands_are_offered(project: Path) -> None:
    assert offered("adambias s") == ["status", "sweep", "sync"]


@pytest.mark.parametrize("command", ["plan", "status", "sweep", "plan --list"])
def test_grids_are_offered_of_the_project_that_one_is_in(project: Path, command: str) -> None:
    assert offered(f"adambias {command} b") == ["beta1", "beta2"]
    assert offered(f"adambias {command} beta1 b") == ["beta2"]
    assert "tiny" in offered(f"adambias {command} ")


def test_another_scale_or_file_has_its_own(project: Path) -> None:
    own = (project / "scales" / "small.yaml").read_text().replace("tiny:", "great:")
    (project / "scales" / "other.yaml").write_text(own)
    (project / "table.yaml").write_text(
        "prepare: {datasets: {digits: {source: digits}}}\n"
        "trial: {dataset: digits, h: 1e-3, epochs: 2}\n"
        "grids: {width: {axes: {seed: [0]}}}\n"
    )

    assert offered("adambias plan --scale other g") == ["great"]
    assert offered("adambias plan --params table.yaml w") == ["width"]


@pytest.mark.parametrize("text", ["scale: absent\n", "[", "", None])
def test_parameters_that_are_wrong_are_no_word(project: Path, text: str | None) -> None:
    (project / "params.yaml").unlink()
    if text is not None:
        (project / "params.yaml").write_text(text)

    assert offered("adambias plan b") == []


def test_nothing_heavy_is_loaded(project: Path) -> None:
    done = completed("adambias plan b", "-X", "importtime")

    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "adambias.cli.main" in loaded
    assert loaded.isdisjoint({"torch", "pandas", "ray", "mlflow", "dvc"})
