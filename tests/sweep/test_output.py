"""What commands print: into pipes that nobody reads, on narrow terminals, without letters."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from processes import SECONDS, adambias, asked

from adambias.config import load_params
from adambias.ledger.ledger import Ledger

COMMANDS = [
    ("--help",),
    ("sweep", "--help"),
    ("plan",),
    ("plan", "--list", "tiny"),
    ("status",),
    ("doctor",),
    ("plan", "tinny"),
]


def unread(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose standard output has no reader any more."""
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        return subprocess.run(
            adambias(*arguments), stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=SECONDS
        )
    finally:
        os.close(theirs)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_reader_that_leaves_changes_neither_exit_code_nor_what_is_said(
    project: Path, arguments: tuple[str, ...]
) -> None:
    read, left = asked(*arguments), unread(*arguments)

    assert left.returncode == read.returncode
    assert left.stderr == read.stderr


def test_a_sweep_that_nobody_reads_trains_on(project: Path) -> None:
    command = shlex.join(adambias("sweep", "--no-track", "--executor", "inline", "tiny"))
    script = f"set -o pipefail; {command} 2>&1 | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=SECONDS)

    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    params = load_params()
    assert len(Ledger.open(params.store).keys()) == 4


def test_a_narrow_terminal_cuts_nothing(project: Path) -> None:
    narrow = {"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": "30"}

    for command in (("plan", "tiny"), ("status", "tiny")):
        wide, shown = asked(*command).stdout, asked(*command, **narrow).stdout
        assert "\N{HORIZONTAL ELLIPSIS}" not in shown
        words = {word for word in wide.split() if any(map(str.isalnum, word))}
        assert words <= set(re.sub(r"\x1b\[[0-9;]*m", "", shown).split())


@pytest.mark.parametrize(
    "variables",
    [{"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}],
    ids=str,
)
def test_without_letters_for_it_nothing_crashes(
    project: Path, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not sys.prefix.isascii() and "LC_ALL" in variables:
        pytest.skip("without its letters Python cannot read an environment at such a path")
    monkeypatch.delenv("PYTHONUTF8", raising=False)
    (project / "runs").mkdir()
    (project / "runs" / "na\N{LATIN SMALL LETTER I WITH DIAERESIS}ve").touch()

    for command in ("plan", "status"):
        shown = asked(command, "tiny", **variables)
        assert shown.returncode == 0, shown.stderr
        assert shown.stderr == ""
        assert "is no trial and left alone" in shown.stdout
