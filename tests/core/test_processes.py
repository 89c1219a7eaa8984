"""Calls in processes of their own."""

from __future__ import annotations

import ast
import os
import re
from functools import partial
from pathlib import Path

import pytest
import torch

import adambias.studies
from adambias.core.errors import ABSENT, ConfigError
from adambias.core.processes import cores, run_all


def refuse(value: object) -> None:
    raise ConfigError("h", value, "must be > 0")


def test_results_come_in_the_order_of_the_calls():
    calls = {name: partial(pow, 2, name) for name in (3, 1, 2)}

    for workers in (1, 2):
        assert list(run_all(calls, workers).items()) == [(3, 8), (1, 2), (2, 4)]


def test_each_process_has_one_thread_and_is_not_this_one():
    found = run_all({"threads": torch.get_num_threads, "pid": os.getpid}, 2)

    assert found["threads"] == 1
    assert found["pid"] != os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("value", "line"), [(0, "h = 0: must be > 0"), (ABSENT, "h: must be > 0")])
def test_an_error_of_a_call_is_raised_as_it_was(value, line, workers):
    with pytest.raises(ConfigError) as caught:
        run_all({"good": os.getpid, "bad": partial(refuse, value)}, workers)

    assert str(caught.value) == line


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux's affinity")
def test_only_processors_that_may_be_used_count():
    allowed = os.sched_getaffinity(0)
    assert cores() == len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_takes_long_says_what_it_does_how_much_and_how_long_it_took(workers, capsys):
    run_all(dict.fromkeys(range(3), os.getpid), workers, "reach: how far laws hold")

    first, last = capsys.readouterr().err.splitlines()
    assert first == "reach: how far laws hold: 3 calculations"
    assert re.fullmatch(r"reach: how far laws hold: 3 calculations took \d+ s", last)


def test_on_a_terminal_there_is_a_bar(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    run_all(dict.fromkeys(range(3), os.getpid), 2, "reach")

    assert "3/3" in capsys.readouterr().err


def test_every_stage_that_computes_says_so():
    studies = Path(adambias.studies.__file__).parent
    calls = [line for file in studies.glob("*.py") for line in _calls_of_run_all(file)]

    assert len(calls) == 6
    assert all(len(call.args) == 3 for call in calls)


def _calls_of_run_all(file: Path):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "run_all":
            yield node
