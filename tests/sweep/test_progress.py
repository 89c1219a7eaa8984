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
from adambias.sweep import progress as module
from adambias.sweep.progress import SweepProgress

FIRST, SECOND, THIRD = (job_of(seed=seed, epochs=10) for seed in range(3))
DONE = job_of(seed=3, epochs=10)


def progress_of(*jobs: Job) -> SweepProgress:
    plan = Plan(grids={"g": list(jobs)}, outcomes={DONE.key: {}}, started=frozenset())
    return SweepProgress(plan, title="smoke: g")


@pytest.fixture
def progress() -> SweepProgress:
    return progress_of(FIRST, SECOND, THIRD, DONE)


def report(epoch: int, status: str = "running", first: int = 0) -> dict[str, object]:
    return {
        **{"epoch": epoch, "first_epoch": first, "epochs": 10, "status": status},
        **{"host": "node", "paused": False},
    }


def test_the_counts_follow_the_trials(progress):
    assert progress.summary()["done"] == "1/4"
    assert progress.summary()["pending"] == "3"

    progress.update(FIRST.key, report(4))
    progress.update(SECOND.key, report(2))
    assert [progress.summary()[n] for n in ("running", "pending")] == ["2", "1"]

    progress.update(FIRST.key, report(10, "finished"))
    progress.update(SECOND.key, report(5, "diverged"))
    shown = progress.summary()
    assert [shown[n] for n in ("done", "running", "pending", "diverged")] == ["2/4", "0", "1", "1"]


def test_a_sweep_whose_own_trials_cannot_all_finish_runs_none_ahead_for_others():
    plan = Plan(grids={"g": [FIRST, SECOND], "other": [THIRD]}, outcomes={}, started=frozenset())
    progress = SweepProgress(plan, title="smoke: g", ahead=[THIRD.key])
    progress.fail(FIRST.key, "a reason")
    assert not progress.has_failed(10)

    progress.update(SECOND.key, report(10, "finished"))
    assert progress.has_failed(10)


def test_a_report_that_comes_twice_counts_once(progress):
    for _ in range(2):
        progress.update(FIRST.key, report(10, "finished"))
        progress.fail(SECOND.key, "no")

    shown = progress.summary()
    assert (shown["done"], shown["failed"], progress.failed) == ("2/4", "1", {SECOND.key: "no"})


def test_the_speed_leaves_out_epochs_of_an_earlier_run_and_the_start_of_ray(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    progress = progress_of(FIRST, SECOND, THIRD, DONE)
    now[0] = 50.0
    progress.start(FIRST.key)
    now[0] = 150.0

    progress.update(FIRST.key, report(9, first=7))
    progress.update(SECOND.key, report(8, first=0))

    shown = progress.summary()
    assert shown["epochs/s"] == "0.1"
    assert shown["time"] == "0:02:30"
    assert shown["left"] == "0:02:10", "13 epochs at a tenth of an epoch per second"


def test_before_the_first_report_the_time_left_is_unknown(progress):
    assert progress.summary()["left"] == "unknown"


def test_a_lost_trial_waits_again(progress, capsys):
    progress.update(FIRST.key, report(4))
    progress.lost(FIRST.key, "its worker was lost")

    assert progress.summary()["running"] == "0"
    said = f"trial {FIRST.key} goes on from its last checkpoint: its worker was lost\n"
    assert capsys.readouterr().err == said
    progress.update(FIRST.key, report(6, first=4))
    assert progress.summary()["running"] == "1"


def test_a_trial_runs_from_its_start_on_though_it_has_not_reported(progress):
    progress.start(FIRST.key)
    progress.start(DONE.key)

    assert [progress.summary()[n] for n in ("running", "pending")] == ["1", "2"]


def test_a_trial_that_is_put_away_is_pending_again(progress):
    before = progress.summary()["pending"]
    progress.start(FIRST.key)
    progress.update(FIRST.key, report(1))
    assert not progress.out_of_time
    progress.update(FIRST.key, {**report(2), "paused": True})

    assert progress.out_of_time
    assert progress.running == []
    assert progress.summary()["pending"] == before


def test_without_a_terminal_there_are_plain_lines(progress, capsys, monkeypatch):
    monkeypatch.setattr(module, "LINE_SECONDS", 0.0)
    with progress:
        progress.update(FIRST.key, report(4))
        progress.fail(SECOND.key, "the reason")
    shown = capsys.readouterr()

    lines = shown.err.splitlines()
    assert shown.out == ""
    assert lines[0].startswith("smoke: g  done 1/4  running 0  pending 3  diverged 0  failed 0")
    assert lines[1].startswith("smoke: g  done 1/4  running 1  pending 2")
    assert lines[2] == f"trial {SECOND.key} failed: the reason"
    assert lines[3].startswith("smoke: g  done 1/4  running 1  pending 1  diverged 0  failed 1")
    assert re.search(r"epochs/s \d+\.\d  time 0:00:00  left \d+:\d\d:\d\d$", lines[3])
    assert "\x1b" not in shown.err


def test_lines_are_rare(progress, capsys):
    with progress:
        for epoch in range(1, 10):
            progress.update(FIRST.key, report(epoch))

    assert len(capsys.readouterr().err.splitlines()) == 2


def test_on_a_terminal_there_is_a_live_table():
    script = (
        f"from {Path(__file__).stem} import *\n"
        "with progress_of(FIRST, SECOND, DONE) as progress:\n"
        "    progress.update(FIRST.key, report(10, 'finished'))\n"
        "    progress.fail(SECOND.key, '[enforce fail at x] in [/data/x]:smile:')\n"
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
    progress = SweepProgress(plan, "smoke: g", ahead=[SECOND.key, THIRD.key])

    progress.fail(SECOND.key, "a bug")
    progress.fail(THIRD.key, "a bug")
    assert not progress.has_failed(2)
    progress.update(FIRST.key, report(10, "finished"))
    assert progress.has_failed(2)
    assert not progress.has_failed(3)
