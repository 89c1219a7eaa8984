from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from made_trials import DIGEST, finish, history_of, job_of, opened, start

from adambias.config import SEMANTICS_VERSION, Grid, Trial
from adambias.core.errors import LedgerError, StoreError
from adambias.core.registry import MISSING
from adambias.ledger.job import Job, trial_key
from adambias.ledger.ledger import CHECKPOINTS, Ledger

OTHER_VALUES = {
    "dataset": "cifar10",
    "model": "resnet14",
    "norm": "group",
    "activation": "tanh",
    "rule": "own.rules:make",
    "h": 2e-3,
    "beta1": 0.8,
    "beta2": 0.9,
    "epsilon": 1e-6,
    "epsilon_placement": "outside",
    "bias_correction": False,
    "weight_decay": 0.1,
    "epochs": 5,
    "seed": 1,
    "batch_size": 10,
    "ghost_batch_size": 10,
    "blocks": "shuffled",
    "precision": "fp64",
    "eval_every": 1,
    "bn_statistics": "running",
    "correction_every": 1,
    "loss": "own.losses:make",
    "measures": ("weight_norm",),
    "memory": "forgotten",
    "measure_every": 5,
    "model_options": {"width": 3},
    "loss_options": {"label_smoothing": 0.1},
    "rule_options": {"nesterov": False},
    "schedule": "cosine",
    "schedule_options": {"warmup": 2},
    "record_every": 5,
    "clip_norm": 1.0,
}


@pytest.fixture
def ledger(location) -> Ledger:
    return opened(location)


def damage(ledger: Ledger, name: str, content: bytes) -> None:
    assert ledger.store.exist([name])[0]
    ledger.store.write(name, content)


class TestKey:
    def test_it_is_16_hexadecimal_digits_and_stays_the_same(self):
        trial = Trial(h=1e-3, epochs=4)

        assert re.fullmatch("[0-9a-f]{16}", trial_key(trial, DIGEST))
        assert trial_key(trial, DIGEST) == trial_key(trial.replace(), DIGEST)

    @pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Trial)])
    def test_it_depends_on_every_field(self, name):
        trial = Trial(h=1e-3, epochs=4, rule="lion")
        trial = trial.replace(batch_size=10) if name == "record_every" else trial
        other = trial.replace(**{name: OTHER_VALUES[name]})

        assert trial_key(trial, DIGEST) != trial_key(other, DIGEST)

    def test_it_depends_on_the_data_and_on_the_semantics(self, monkeypatch):
        trial = Trial(h=1e-3, epochs=4)
        key = trial_key(trial, DIGEST)

        assert trial_key(trial, "e" * 64) != key
        for module in ("job", "ledger"):
            monkeypatch.setattr(
                f"adambias.ledger.{module}.SEMANTICS_VERSION", SEMANTICS_VERSION + 1
            )
        assert trial_key(trial, DIGEST) != key

    def test_of_a_rule_of_the_package_it_is_what_it_was_when_rules_of_ones_own_had_no_code(self):
        assert Job.of(Trial(h=1e-3, epochs=4), DIGEST).key == "2f87e56b566fe929"
        assert "rule_source" not in job_of().manifest()

    def test_it_depends_on_the_code_of_a_rule_of_ones_own(self, tmp_path, monkeypatch):
        (tmp_path / "own_rule.py").write_text("first = 1\n")
        trial = Trial(h=1e-3, epochs=4, rule="own_rule:factory")
        assert Job.of(trial, DIGEST).sources == {"rule_source": MISSING}
        monkeypatch.syspath_prepend(str(tmp_path))
        first = Job.of(trial, DIGEST)

        (tmp_path / "own_rule.py").write_text("second = 2\n")
        second = Job.of(trial, DIGEST)

        assert first.key != second.key
        (tmp_path / "own_rule.py").write_text("first = 1\n")
        assert Job.of(trial, DIGEST) == first

    def test_it_does_not_depend_on_the_grid_or_on_how_a_number_is_written(self):
        defaults = {"h": 1e-3, "epochs": 4}
        first = Grid(title="one", axes={"seed": [0], "weight_decay": [0]})
        second = Grid(title="two", base={"seed": 0}, trials=[{"h": 0.001, "weight_decay": 0.0}])

        jobs = [Job.of(t, DIGEST) for g in (first, second) for t in g.expand(defaults)]

        assert len({job.key for job in jobs}) == 1


def test_a_trial_from_its_first_write_to_its_last(ledger):
    job = job_of()
    start(ledger, job, 2)

    assert ledger.keys() == [job.key]
    assert ledger.job(job.key) == job
    assert ledger.started([job.key]) == {job.key}
    assert ledger.done(job.key) is None
    assert len(ledger.history(job.key)) == 2
    assert dict(ledger.reports([job.key])).get(job.key)["epoch"] == 2

    ledger.store.write(f"{job.key}/error.txt", b"a lost worker")
    finish(ledger, job)

    assert ledger.finished([job.key, "0" * 16]) == {job.key}
    assert ledger.started([job.key]) == set()
    assert ledger.text(job.key, "error.txt") == ""
    assert dict(ledger.reports([job.key])).get(job.key) is None
    pd.testing.assert_frame_equal(ledger.history(job.key), history_of(4))
    assert ledger.damaged(job.key) is None
    assert ledger.foreign() == []


def test_done_json_is_written_last(ledger, monkeypatch):
    job = job_of()
    written = []
    write = ledger.store.write
    monkeypatch.setattr(ledger.store, "write", lambda n, c: (written.append(n), write(n, c)))

    finish(ledger, job)

    assert [name.partition("/")[2] for name in written] == [
        "trial.json",
        "history.parquet",
        "done.json",
    ]


def test_the_checkpoint_before_the_last_is_kept_while_unfinished(ledger):
    job = job_of()
    ledger.open_trial(job)
    for content in (b"first", b"second", b"third"):
        ledger.save_checkpoint(job.key, content)

    assert list(ledger.checkpoints(job.key)) == [
        (CHECKPOINTS[0], b"third"),
        (CHECKPOINTS[1], b"second"),
    ]


def test_a_worker_killed_between_two_checkpoints_leaves_the_one_before(ledger):
    job = job_of()
    ledger.open_trial(job)
    ledger.save_checkpoint(job.key, b"first")

    ledger.store.move(f"{job.key}/{CHECKPOINTS[0]}", f"{job.key}/{CHECKPOINTS[1]}")

    assert [content for _, content in ledger.checkpoints(job.key)] == [b"first"]
    assert ledger.started([job.key]) == {job.key}


@pytest.mark.parametrize("kept", [True, False])
def test_a_finished_trial_keeps_its_last_state_only_if_it_is_to_be_kept(kept, ledger):
    job = job_of()
    start(ledger, job, 2)
    finish(ledger, job, state_kept=kept)

    assert [name for name, _ in ledger.checkpoints(job.key)] == ([CHECKPOINTS[0]] if kept else [])


@pytest.mark.parametrize(
    "content", [b"", b'{"key": "', b"[]", b"{}", b"\xff\xfe", b'{"status": "finished"}']
)
def test_a_damaged_done_json_means_unfinished_and_is_reported(content, ledger):
    job = job_of()
    finish(ledger, job)
    damage(ledger, f"{job.key}/done.json", content)

    assert ledger.done(job.key) is None
    assert ledger.finished([job.key]) == set()
    assert dict(ledger.outcomes([job.key])) == {}
    where = f"{ledger.store.where()}/{job.key}/done.json"
    assert ledger.damaged(job.key) == (
        f"{where}: is damaged: the trial counts as unfinished and is redone"
    )

    finish(ledger, job)
    assert ledger.damaged(job.key) is None


def test_a_done_json_cut_off_anywhere_is_never_taken_for_whole(tmp_path):
    ledger, job = opened(tmp_path), job_of()
    finish(ledger, job)
    file = tmp_path / job.key / "done.json"
    content = file.read_bytes()

    for length in range(0, len(content) - 2, 7):
        file.write_bytes(content[:length])
        assert ledger.done(job.key) is None, length


@pytest.mark.parametrize("kept", [True, False])
def test_a_done_json_that_lacks_what_is_read_of_one_counts_as_damaged(kept, tmp_path):
    ledger, job = opened(tmp_path), job_of()
    finish(ledger, job, state_kept=kept)
    file = tmp_path / job.key / "done.json"
    whole = json.loads(file.read_text())
    read = {"key", "status", "epochs", "seconds", "history_sha256", "parameters", "machine"}
    read |= {"kind"} | ({"trial", "data_digest"} if kept else set())

    for name in whole:
        lacking = {k: v for k, v in whole.items() if k != name}
        for content in (lacking, {**whole, name: None}, {**whole, name: []}):
            file.write_text(json.dumps(content))
            assert (ledger.done(job.key) is None) == (name in read), content


@pytest.mark.parametrize("content", [b"", b"PAR1 no history PAR1", None])
def test_a_damaged_history_is_reported_and_never_read(content, ledger):
    job = job_of()
    finish(ledger, job)
    name = f"{job.key}/history.parquet"
    if content is None:
        ledger.store.delete([name])
    else:
        damage(ledger, name, content)

    reason = "is missing" if content is None else "is damaged"
    where = f"{ledger.store.where()}/{name}"
    assert ledger.damaged(job.key) == f"{where}: {reason}: delete the folder to train again"
    with pytest.raises(LedgerError, match=f"{re.escape(where)}: {reason}"):
        ledger.history(job.key)


def test_one_changed_number_of_a_history_is_noticed(ledger):
    job = job_of()
    finish(ledger, job)
    table = history_of(4)
    table.loc[1, "train_loss"] += 1e-12
    ledger.save_history(job.key, table)

    assert "history.parquet: is damaged" in ledger.damaged(job.key)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is damaged (no JSON object)"),
        (b"{}", "semantics None is not"),
        (b'{"semantics": 1, "trial": {"h": -1}, "data": {"digest": "d"}}', "does not describe a"),
        (b'{"semantics": 1, "trial": []}', "does not describe a trial"),
        (b'{"semantics": 1}', "does not describe a trial"),
    ],
)
def test_a_damaged_trial_json_is_reported(content, reason, ledger):
    job = job_of()
    finish(ledger, job)
    damage(ledger, f"{job.key}/trial.json", content)

    line = ledger.damaged(job.key)
    assert line.startswith(f"{ledger.store.where()}/{job.key}/trial.json: {reason}")
    assert "\n" not in line


def test_a_missing_trial_json_is_reported(ledger):
    job = job_of()
    finish(ledger, job)
    ledger.store.delete([f"{job.key}/trial.json"])

    assert "trial.json: is missing: copy the whole folder, or delete it" in ledger.damaged(job.key)


def test_a_folder_of_other_semantics_is_kept_and_not_used(ledger, monkeypatch):
    for module in ("job", "ledger"):
        monkeypatch.setattr(f"adambias.ledger.{module}.SEMANTICS_VERSION", SEMANTICS_VERSION + 1)
    older = job_of()
    finish(ledger, older)
    before = ledger.store.read(f"{older.key}/done.json")
    monkeypatch.undo()

    assert job_of().key != older.key
    assert ledger.damaged(older.key).endswith(
        f"semantics {SEMANTICS_VERSION + 1} is not {SEMANTICS_VERSION}: it is kept and not used; "
        "its trial is trained anew"
    )
    finish(ledger, job_of())
    assert ledger.store.read(f"{older.key}/done.json") == before


def test_an_unfinished_trial_with_measures_is_opened_again(tmp_path):
    job = job_of(measures=("weight_norm",))
    for _ in range(2):
        opened(tmp_path).open_trial(job)


def test_a_folder_renamed_to_another_key_is_refused_and_left_as_it_is(tmp_path):
    ledger, first, second = opened(tmp_path), job_of(), job_of(seed=1)
    finish(ledger, first)
    shutil.copytree(tmp_path / first.key, tmp_path / second.key)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    assert ledger.finished([first.key, second.key]) == {first.key}
    assert f"describes trial {first.key}, not {second.key}" in ledger.damaged(second.key)
    with pytest.raises(LedgerError, match=f"describes another trial than {second.key}"):
        ledger.open_trial(second)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_folder_of_a_rule_that_has_changed_since_is_not_damaged(ledger, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_rule.py").write_text("first = 1\n")
    older = job_of(rule="own_rule:factory")
    finish(ledger, older)

    (tmp_path / "own_rule.py").write_text("second = 2\n")

    assert job_of(rule="own_rule:factory").key != older.key
    assert ledger.job(older.key) == older
    assert ledger.damaged(older.key) is None


def test_what_killed_writers_left_is_cleared_when_a_trial_starts_and_when_it_ends(tmp_path):
    ledger, job = opened(tmp_path), job_of()
    left = tmp_path / job.key / ".checkpoint.pt.0123abcd"

    for act in (lambda: ledger.open_trial(job), lambda: ledger.clear(job.key, state_kept=False)):
        ledger.store.write(f"{job.key}/{left.name}", b"half a checkpoint")
        os.utime(left, (0, 0))
        act()
        assert not left.exists()


def test_two_trials_with_one_key_are_refused(ledger):
    job = job_of()
    other = Job(key=job.key, trial=job.trial.replace(seed=9), data_digest=job.data_digest)
    finish(ledger, job)

    with pytest.raises(LedgerError, match=f"describes another trial than {job.key}"):
        ledger.open_trial(other)
    assert ledger.damaged(job.key) is None


def test_a_cut_off_trial_json_is_written_again(ledger):
    job = job_of()
    ledger.store.write(f"{job.key}/trial.json", b'{"key":')

    ledger.open_trial(job)

    assert ledger.job(job.key) == job


def test_foreign_entries_are_listed_and_left_alone(ledger):
    finish(ledger, job_of())
    ledger.store.write("notes.txt", b"mine")
    ledger.store.write("old/thing", b"mine")

    assert ledger.foreign() == ["notes.txt", "old"]
    assert ledger.keys() == [job_of().key]
    assert ledger.store.read("notes.txt") == b"mine"


def test_a_folder_copied_from_another_ledger_counts(tmp_path, s3):
    here, there, job = opened(tmp_path / "here"), opened(tmp_path / "there"), job_of()
    finish(there, job)
    shutil.copytree(tmp_path / "there" / job.key, tmp_path / "here" / job.key)
    bucket = opened(s3.format("copied"))
    for file in Path(tmp_path, "there", job.key).iterdir():
        bucket.store.write(f"{job.key}/{file.name}", file.read_bytes())

    for ledger in (here, bucket):
        assert ledger.finished([job.key]) == {job.key}
        assert ledger.damaged(job.key) is None
        pd.testing.assert_frame_equal(ledger.history(job.key), there.history(job.key))


def test_a_half_copied_folder_does_not_count(tmp_path):
    here, there, job = opened(tmp_path / "here"), opened(tmp_path / "there"), job_of()
    finish(there, job)
    target = tmp_path / "here" / job.key
    target.mkdir()
    shutil.copy(tmp_path / "there" / job.key / "done.json", target)

    assert "trial.json: is missing" in here.damaged(job.key)
    shutil.copy(tmp_path / "there" / job.key / "trial.json", target)
    assert "history.parquet: is missing" in here.damaged(job.key)
    shutil.copy(tmp_path / "there" / job.key / "history.parquet", target)
    assert here.damaged(job.key) is None


def test_a_ledger_of_another_format_is_refused(ledger):
    ledger.store.write("ledger.json", json.dumps({"format": 99}).encode())

    with pytest.raises(LedgerError, match=r"ledger\.json: format 99 is not 1: use the version"):
        Ledger.open(ledger.store.uri)


def test_opening_makes_nothing(tmp_path):
    assert Ledger.open(tmp_path / "runs").store.uri == str(tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_location_that_cannot_be_a_folder_is_refused_with_the_mend(tmp_path):
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(StoreError, match=r"file/runs: cannot be read \(Not a directory\): reach"):
        Ledger.open(tmp_path / "file" / "runs")


def test_a_ledger_that_cannot_be_written_says_so_with_the_mend(tmp_path):
    ledger = Ledger.open(tmp_path / "runs")
    (tmp_path / "runs").write_text("no folder")

    with pytest.raises(
        StoreError, match=r"runs: cannot be written \(.*\): make it writable, free room"
    ):
        ledger.initialise()


def test_a_lost_store_counts_as_an_error_of_the_system_which_a_sweep_retries(s3):
    with pytest.raises(OSError, match=r"ADAMBIAS_STORE = s3://.*: cannot be read \(.*NETWORK"):
        Ledger.open(re.sub(r"127\.0\.0\.1%3A\d+", "127.0.0.1%3A1", s3).format("runs"))


def test_the_bucket_of_a_ledger_has_to_exist(s3):
    ledger = Ledger.open(s3.replace("ledgers", "nobucket").format("runs"))

    with pytest.raises(StoreError, match=r"ADAMBIAS_STORE = s3://nobucket/runs: cannot be") as e:
        ledger.initialise()
    assert "\n" not in str(e.value)
