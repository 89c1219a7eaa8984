"""Calls in processes of their own."""

from __future__ import annotations

import os
from functools import partial

import pytest
import torch

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
