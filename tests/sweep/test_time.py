"""A sweep that ends when its time is up, and goes on another time as if it had never ended."""

from __future__ import annotations

import pytest
from python_sweeps import until_it_is_done, without_times

import adambias as ab
from adambias.config import Resources
from adambias.core.entry import guard
from adambias.core.errors import ConfigError, OutOfTime
from adambias.core.validation import duration
from adambias.ledger.ledger import Ledger
from adambias.sweep.run import deadline_of


# On Ray each stop has to start Ray anew within its time: minutes, and more on a busy machine.
@pytest.mark.parametrize(
    ("executor", "time"),
    [("inline", "2s"), pytest.param("ray", "14s", marks=pytest.mark.soak)],
)
def test_stopped_until_it_is_done_a_sweep_is_the_undisturbed_one(prepared, quick, executor, time):
    # Ray starts within that time too, so there its one training must take longer than what is left.
    epochs, seeds = (300, (1, 0)) if executor == "inline" else (1500, (0,))
    trials = [quick(epochs=epochs, eval_every=50, seed=seed) for seed in seeds]
    resources = Resources(time=time, checkpoint_seconds=1000)
    table, said = until_it_is_done(
        lambda: ab.sweep(
            trials, prepared / "cut", root=prepared, executor=executor, resources=resources
        )
    )
    assert len(said) >= (2 if executor == "inline" else 1)
    for line in said:
        assert line.startswith("the time is up: ")
        assert line.endswith("nothing is lost: run the same command again to go on")
    whole = ab.sweep(trials, prepared / "whole", root=prepared)
    assert without_times(table).equals(without_times(whole))


def test_trials_of_one_seed_come_before_those_of_the_next(prepared, quick):
    trials = [quick(epochs=400, seed=seed, beta1=b) for b in (0.5, 0.9) for seed in (0, 1)]
    with pytest.raises(OutOfTime):
        ab.sweep(trials, prepared / "cut", root=prepared, resources=Resources(time="3s"))
    ledger = Ledger.open(prepared / "cut")
    keys = ledger.keys()
    begun = [ledger.job(key).trial.seed for key in keys]
    assert begun.count(0) >= begun.count(1)
    assert 0 in begun


def test_without_time_nothing_is_begun(prepared, quick, monkeypatch):
    monkeypatch.setattr("adambias.sweep.run.TO_END_SHARE", 1.0)
    with pytest.raises(OutOfTime, match="2 of 2 trials are not finished"):
        ab.sweep(
            [quick(), quick(seed=1)],
            prepared / "cut",
            root=prepared,
            resources=Resources(time="1s"),
        )
    assert not Ledger.open(prepared / "cut").keys()


def test_its_exit_code_tells_it_from_a_failure(capsys):
    def out():
        raise OutOfTime("the time is up")

    assert guard(out) == 75
    assert capsys.readouterr().err == "error: the time is up\n"


@pytest.mark.parametrize(
    ("text", "seconds"), [("9m", 540), ("1h30m", 5400), ("45s", 45), ("2h", 7200), (" 1m5s ", 65)]
)
def test_times(text, seconds):
    assert duration("time", text) == seconds
    assert deadline_of(100.0, text) == pytest.approx(100 + seconds - min(20, 0.1 * seconds))


@pytest.mark.parametrize("text", ["", "9", "m", "1.5h", "-3m", "9 minutes", "0s"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ConfigError, match="must be a time such as 9m"):
        Resources(time=text)
