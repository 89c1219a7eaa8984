"""The page on the command line has every command, and what it shows can be given."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from adambias.cli.main import INTERRUPTED, main
from adambias.core.errors import AdambiasError, OutOfTime

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^\| `adambias ?([^`]*)`", PAGE, re.MULTILINE)


def test_every_command_has_a_line() -> None:
    assert {words.split(" ")[0] for words in SHOWN} == {"", *main.commands}


@pytest.mark.parametrize("words", SHOWN)
def test_its_example_is_understood(words: str) -> None:
    arguments = shlex.split(words)
    if arguments:
        name, *rest = arguments
        main.commands[name].make_context(name, rest)


def test_every_command_has_help_with_an_example() -> None:
    for name, command in {"": main, **main.commands}.items():
        assert "Example:" in command.get_help(click.Context(command, info_name=name)), name


def test_exit_codes_are_those_of_the_program() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}

    assert codes == {
        *(0, AdambiasError.exit_code, click.UsageError.exit_code),
        *(OutOfTime.exit_code, INTERRUPTED),
    }


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_their_completion(shell: str) -> None:
    script = Path(sys.executable).with_name("adambias")
    done = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"_ADAMBIAS_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert f"_ADAMBIAS_COMPLETE={shell}_source adambias" in PAGE
    assert done.returncode == 0
    assert f"_ADAMBIAS_COMPLETE={shell}_complete" in done.stdout
