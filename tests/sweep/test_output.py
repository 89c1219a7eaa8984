"""What commands print: into pipes that nobody reads, on narrow terminals, without letters."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from processes import SECONDS, adambias, asked

from adambias.config import load_params
from adambias.ledger.ledger import Ledger

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
COMMANDS = [
    (),
    ("--help",),
    ("sweep", "--help"),
    ("plan",),
    ("plan", "--list", "tiny"),
    ("new", "scales"),
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


def test_a_project_that_nobody_reads_of_is_laid_out(project: Path) -> None:
    left = unread("new", "mine")

    assert (left.returncode, left.stderr) == (0, "")
    assert (project / "mine" / "dvc.yaml").is_file()


@pytest.mark.parametrize("arguments", [(), ("plan",), ("status",), ("doctor",), ("--help",)])
def test_no_color_is_heeded_on_a_terminal(project: Path, arguments: tuple[str, ...]) -> None:
    coloured = on_terminal(*arguments, TERM="xterm-256color", FORCE_COLOR="")
    plain = on_terminal(*arguments, TERM="xterm-256color", FORCE_COLOR="", NO_COLOR="1")

    assert COLOUR.search(plain) is None
    assert COLOUR.sub("", coloured) == plain
    if arguments == ("doctor",):
        assert COLOUR.search(coloured)


def on_terminal(*arguments: str, **variables: str) -> str:
    """Return what a command prints on a terminal of forty columns."""
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    environment |= {"COLUMNS": "40", **variables}
    process = subprocess.Popen(
        adambias(*arguments), env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    # A terminal whose last writer has ended gives an error, not an end of file.
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 4096):
            shown += piece
    os.close(ours)
    process.wait(timeout=SECONDS)
    return shown.decode()


def test_a_narrow_terminal_cuts_nothing(project: Path) -> None:
    narrow = {"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": "30"}

    for command in ((), ("plan", "tiny"), ("status", "tiny"), ("doctor",)):
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

    for command in (("plan", "tiny"), ("status", "tiny")):
        shown = asked(*command, **variables)
        assert shown.returncode == 0, shown.stderr
        assert shown.stderr == ""
        assert "is no trial and left alone" in shown.stdout
    for command in ((), ("--help",), ("new", "na\N{LATIN SMALL LETTER I WITH DIAERESIS}f")):
        shown = asked(*command, **variables)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert shown.stdout
