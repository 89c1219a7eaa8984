"""One trial under way, among other workers and in a store that fails."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import change, tables

from adambias.config import load_params
from adambias.core.errors import ConfigError
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger, machine
from adambias.ledger.plan import make_plan
from adambias.sweep import run as sweep
from adambias.sweep.assignment import Assignment
from adambias.sweep.worker import ActiveTrial
from adambias.training.trainer import train


@pytest.fixture
def assignment(project: Path) -> Assignment:
    """Return the assignment of the one trial of the grid ``tiny``."""
    change(project, "grids", tiny={"axes": {"seed": [0]}})
    params = load_params()
    ledger = Ledger.open(params.store)
    return sweep._assignments(sweep.setup_of(params), make_plan(params, ["tiny"], ledger), ledger)[
        0
    ]


@pytest.fixture
def start(assignment: Assignment) -> Iterator[Callable[[], ActiveTrial]]:
    """Start workers on the trial, each with a ledger of its own, and end them."""
    workers: list[ActiveTrial] = []

    def started() -> ActiveTrial:
        workers.append(ActiveTrial(assignment))
        return workers[-1]

    yield started
    for worker in workers:
        worker.close()


def before_writing(active: ActiveTrial, name: str, do: Callable[[], object]) -> None:
    """Do something once, just before a worker writes a file of its trial."""
    write, wanted = active.ledger.store.write, [f"{active.job.key}/{name}"]

    def watched(name: str, content: bytes) -> None:
        if name in wanted:
            wanted.clear()
            do()
        write(name, content)

    active.ledger.store.write = watched  # type: ignore[method-assign]


def test_a_slower_worker_leaves_whole_what_another_finishes_meanwhile(
    project: Path, start: Callable[[], ActiveTrial]
) -> None:
    slow, fast = start(), start()
    next(slow.training)
    before_writing(slow, "checkpoint.pt", fast.advance)

    slow.save()

    key = slow.job.key
    assert slow.ledger.done(key) is not None
    assert slow.ledger.damaged(key) is None
    assert slow.advance()["status"] == "finished"
    assert slow.ledger.started([key]) == set()
    assert tables(project, "tiny")


def test_two_workers_that_finish_at_once_do_not_mix_their_files(
    project: Path, start: Callable[[], ActiveTrial]
) -> None:
    first, second = start(), start()
    before_writing(first, "done.json", second.advance)

    first.advance()

    assert first.ledger.damaged(first.job.key) is None
    assert tables(project, "tiny")


def test_a_report_that_cannot_be_written_costs_nothing(start: Callable[[], ActiveTrial]) -> None:
    active = start()
    report = Path("runs", active.job.key, "progress.json")
    report.unlink()
    report.mkdir()  # which no file replaces

    active.save()
    assert active.advance(0.01)["status"] == "running"
    report.rmdir()
    assert active.advance()["status"] == "finished"


def test_a_store_that_is_away_for_a_moment_does_not_cost_the_state_in_memory(
    start: Callable[[], ActiveTrial],
) -> None:
    active = start()
    next(active.training)
    folder, away = Path("runs", active.job.key), Path("away")
    folder.rename(away)
    folder.write_text("no folder, as long as the store is away")

    def comes_back() -> None:
        folder.unlink()
        away.rename(folder)

    threading.Timer(0.5, comes_back).start()
    assert active.advance()["status"] == "finished"
    assert "cannot be written" in (folder / "log.txt").read_text()


def test_the_folder_of_a_failing_trial_holds_its_log(
    assignment: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("broken_rule.py").write_text("def rule():\n    raise KeyError('a bug')\n")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    job = Job.of(assignment.job.trial.replace(rule="broken_rule:rule"), assignment.job.data_digest)

    with pytest.raises(KeyError, match="a bug"):
        ActiveTrial(dataclasses.replace(assignment, job=job))

    assert "rule='broken_rule:rule'" in Path("runs", job.key, "log.txt").read_text()


def test_a_node_with_other_code_of_a_rule_is_refused(
    assignment: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = "from adambias.rules import adam as rule\n"
    Path("own_rule_of_the_worker.py").write_text(rule)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    trial = assignment.job.trial.replace(rule="own_rule_of_the_worker:rule")
    job = Job.of(trial, assignment.job.data_digest, {"rule_source": "0" * 64})

    with pytest.raises(ConfigError, match=r"^rule = 'own.*, is not 000000000000 as planned: inst"):
        ActiveTrial(dataclasses.replace(assignment, job=job))


def test_a_log_is_there_from_the_start_and_whole_after_an_interruption(
    start: Callable[[], ActiveTrial],
) -> None:
    active = start()
    log = Path("runs", active.job.key, "log.txt")
    assert f"process {os.getpid()}" in log.read_text()

    active.log.say("the last words")
    active.close()
    assert "the last words" in log.read_text()


def test_a_trial_names_every_device_it_was_trained_on(
    start: Callable[[], ActiveTrial], assignment: Assignment
) -> None:
    first = start()
    assert first.training.devices == ["cpu"]
    next(first.training)
    first.training.devices = ["NVIDIA H200"]  # as if that epoch had been trained there
    first.save()

    second = start()
    assert second.training.next_epoch == 1
    second.advance()

    outcome = second.ledger.done(second.job.key)
    assert outcome is not None
    assert outcome["device"] == "cpu and cuda"
    assert outcome["machine"] == f"NVIDIA H200 and {machine()}"
    assert second.ledger.history(second.job.key).attrs["devices"] == ["NVIDIA H200", "cpu"]


def test_a_state_of_before_devices_were_noted_goes_on(start: Callable[[], ActiveTrial]) -> None:
    first = start()
    next(first.training)
    state = first.training.state_dict()
    del state["devices"]
    again = train(first.job.trial, first.data, state=state, device="cpu")
    list(again)
    assert again.devices == ["cpu"]


def test_who_only_reads_the_end_of_a_training_computed_none_of_it(
    start: Callable[[], ActiveTrial],
) -> None:
    first = start()
    list(first.training)
    state = first.training.state_dict() | {"devices": ["NVIDIA H200"]}
    trial, data = first.job.trial, first.data
    assert train(trial, data, state=state, device="cpu").devices == ["NVIDIA H200"]
    longer = trial.replace(epochs=trial.epochs + 1)
    assert train(longer, data, state=state, device="cpu").devices == ["NVIDIA H200", "cpu"]
