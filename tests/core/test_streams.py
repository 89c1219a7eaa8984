"""What is written when a signal arrives or a reader leaves."""

from __future__ import annotations

import subprocess
import sys

import pytest

ENDED_WHILE_WRITING = """
import os, signal, sys

from adambias.core.entry import guard


def end(frame, event, function):
    inside = frame.f_code.co_filename.endswith("output.py")
    if inside and event == "c_return" and function.__name__ == METHOD:
        sys.setprofile(None)
        os.kill(os.getpid(), SIGNAL)


def work():
    sys.setprofile(end)
    print("a line", flush=True)


sys.exit(guard(work))
"""


@pytest.mark.parametrize("kind", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("method", ["write", "flush"])
def test_a_text_is_written_once_when_a_signal_falls_into_it(method: str, kind: str) -> None:
    code = ENDED_WHILE_WRITING.replace("METHOD", repr(method)).replace("SIGNAL", f"signal.{kind}")
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (130, "a line\n")
    assert ended.stderr == "interrupted: what is finished is kept, run the same again\n"


def test_a_reader_that_leaves_is_outlived_at_every_size() -> None:
    code = """
import os, sys

from adambias.core.output import outlive_readers

outlive_readers()
for size in (1, 100, 10_000, 1_000_000):
    print("x" * size)
    print("x" * size, flush=True)
print("lived", file=sys.stderr)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == "lived\n"
    assert process.returncode == 0
