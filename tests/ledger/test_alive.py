"""Which trials run, told by reports that change."""

from __future__ import annotations

import time

import pytest

from adambias.config import Trial
from adambias.ledger import alive
from adambias.ledger.alive import Pulses
from adambias.ledger.job import Job

JOB = Job.of(Trial(h=1e-3, epochs=6), "digest")


def reported(updated: float) -> dict[str, dict[str, float]]:
    return {JOB.key: {"epoch": 3, "seconds_per_epoch": 0.1, "updated": updated}}


@pytest.fixture
def clock(monkeypatch):
    """Let time pass by this process's own clock alone, which nobody sets."""
    passed = [0.0]
    real = time.monotonic
    monkeypatch.setattr(alive.time, "monotonic", lambda: real() + passed[0])
    return lambda seconds: passed.__setitem__(0, passed[0] + seconds)


@pytest.mark.parametrize("off", [-600.0, 0.0, 600.0])
def test_what_changes_runs_and_what_stays_the_same_does_not(off, clock):
    pulses, now = Pulses(), time.time() + off
    pulses.look([JOB], reported(now))

    assert pulses.look([JOB], reported(now + 1)) == {JOB.key}
    clock(50)
    assert pulses.look([JOB], reported(now + 1)) == {JOB.key}
    clock(20)
    assert pulses.look([JOB], reported(now + 1)) == set()
    assert pulses.look([JOB], reported(now + 2)) == {JOB.key}


def test_a_sweep_that_says_it_has_ended_is_believed_at_once():
    pulses = Pulses()
    assert pulses.look([JOB], reported(time.time())) == {JOB.key}

    assert pulses.look([JOB], reported(0.0)) == set()
    assert list(pulses.doubtful([JOB])) == []


@pytest.mark.parametrize(
    ("age", "doubtful"), [(30, False), (300, True), (-300, True), (86400, False)]
)
def test_only_what_clocks_that_are_off_could_explain_is_looked_at_again(age, doubtful):
    pulses = Pulses()
    pulses.look([JOB], reported(time.time() - age))

    assert list(pulses.doubtful([JOB])) == ([JOB] if doubtful else [])
