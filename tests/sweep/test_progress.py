from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from made_trials import job_of
from processes import SECONDS

from adambias.ledger.job import Job
from adambias.ledger.plan import Plan
from adambias.sweep import progress as boards
from adambias.sweep.progress import Board

FIRST, SECOND, THIRD = (job_of(seed=seed, epochs=10) for seed in range(3))
DONE = job_of(seed=3, epochs=10)


def board_of(*jobs: Job) -> Board:
    plan = Plan(grids={"g": list(jobs)}, outcomes={DONE.key: {}}, started=frozenset())
    return Board(plan, title="smoke: g")


@pytest.fixture
def board() -> Board:
    return board_of(FIRST, SECOND, THIRD, DONE)


def progress(epoch: int, status: str = "running", first: int = 0) -> dict[str, object]:
    return {
        **{"epoch": epoch, "first_epoch": first, "epochs": 10, "status": status},
        **{"host": "node", "lacks_gpu": False},
    }


def test_the_counts_follow_the_trials(board):
    assert board.summary()["done"] == "1/4"
    assert board.summary()["pending"] == "3"

    board.update(FIRST.key, progress(4))
    board.update(SECOND.key, progress(2))
    assert [board.summary()[n] for n in ("running", "pending")] == ["2", "1"]

    board.update(FIRST.key, progress(10, "finished"))
    board.update(SECOND.key, progress(5, "diverged"))
    shown = board.summary()
    assert [shown[n] for n in ("done", "running", "pending", "diverged")] == ["2/4", "0", "1", "1"]


def test_a_report_that_comes_twice_counts_once(board):
    for _ in range(2):
        board.update(FIRST.key, progress(10, "finished"))
        board.fail(SECOND.key, "no")

    shown = board.summary()
    assert (shown["done"], shown["failed"], board.failed) == ("2/4", "1", {SECOND.key: "no"})


def test_the_speed_leaves_out_epochs_of_an_earlier_run_and_the_start_of_ray(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(boards.time, "monotonic", lambda: now[0])
    board = board_of(FIRST, SECOND, THIRD, DONE)
    now[0] = 50.0
    board.start(FIRST.key)
    now[0] = 150.0

    board.update(FIRST.key, progress(9, first=7))
    board.update(SECOND.key, progress(8, first=0))

    shown = board.summary()
    assert shown["epochs/s"] == "0.1"
    assert shown["time"] == "0:02:30"
    assert shown["left"] == "0:02:10", "13 epochs at a tenth of an epoch per second"


def test_before_the_first_report_the_time_left_is_unknown(board):
    assert board.summary()["left"] == "unknown"


def test_a_lost_trial_waits_again(board, capsys):
    board.update(FIRST.key, progress(4))
    board.lost(FIRST.key, "its worker was lost")

    assert board.summary()["running"] == "0"
    said = f"trial {FIRST.key} goes on from its last checkpoint: its worker was lost\n"
    assert capsys.readouterr().err == said
    board.update(FIRST.key, progress(6, first=4))
    assert board.summary()["running"] == "1"


def test_a_trial_runs_from_its_start_on_though_it_has_not_reported(board):
    board.start(FIRST.key)
    board.start(DONE.key)

    assert [board.summary()[n] for n in ("running", "pending")] == ["1", "2"]


def test_a_node_whose_gpu_torch_does_not_find_is_named_once(board, capsys):
    for key in (FIRST.key, SECOND.key):
        board.update(key, {**progress(1), "lacks_gpu": True})

    said = "node: torch finds no GPU there, its trials train on the CPU\n"
    assert capsys.readouterr().err == said


def test_without_a_terminal_there_are_plain_lines(board, capsys, monkeypatch):
    monkeypatch.setattr(boards, "LINE_SECONDS", 0.0)
    with board:
        board.update(FIRST.key, progress(4))
        board.fail(SECOND.key, "the reason")
    shown = capsys.readouterr()

    lines = shown.err.splitlines()
    assert shown.out == ""
    assert lines[0].startswith("smoke: g  done 1/4  running 0  pending 3  diverged 0  failed 0")
    assert lines[1].startswith("smoke: g  done 1/4  running 1  pending 2")
    assert lines[2] == f"trial {SECOND.key} failed: the reason"
    assert lines[3].startswith("smoke: g  done 1/4  running 1  pending 1  diverged 0  failed 1")
    assert re.search(r"epochs/s \d+\.\d  time 0:00:00  left \d+:\d\d:\d\d$", lines[3])
    assert "\x1b" not in shown.err


def test_lines_are_rare(board, capsys):
    with board:
        for epoch in range(1, 10):
            board.update(FIRST.key, progress(epoch))

    assert len(capsys.readouterr().err.splitlines()) == 2


def test_on_a_terminal_there_is_a_live_table():
    script = (
        f"from {Path(__file__).stem} import *\n"
        "with board_of(FIRST, SECOND, DONE) as board:\n"
        "    board.update(FIRST.key, progress(10, 'finished'))\n"
        "    board.fail(SECOND.key, '[enforce fail at x] in [/data/x]:smile:')\n"
    )
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    for name in ("NO_COLOR", "CI", "TTY_COMPATIBLE"):
        environment.pop(name, None)
    subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent,
        env=environment,
        stderr=theirs,
        check=True,
        timeout=SECONDS,
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:
        pass  # Linux ends a pseudo-terminal whose other side is closed with EIO.
    finally:
        os.close(ours)

    assert b"\x1b[" in shown
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "2/3" in text
    assert "failed: [enforce fail at x] in [/data/x]:smile:" in text, "errors hold no markup"


def test_trials_trained_ahead_have_an_error_budget_that_counts_only_after_the_own_are_through():
    plan = Plan(grids={"g": [FIRST, SECOND, THIRD]}, outcomes={}, started=frozenset())
    board = Board(plan, "smoke: g", ahead=[SECOND.key, THIRD.key])

    board.fail(SECOND.key, "a bug")
    board.fail(THIRD.key, "a bug")
    assert not board.has_failed(2)
    board.update(FIRST.key, progress(10, "finished"))
    assert board.has_failed(2)
    assert not board.has_failed(3)
