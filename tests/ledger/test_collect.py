from __future__ import annotations

import os
import re

import pandas as pd
import pyarrow.parquet as pq
import pytest
from made_trials import DIGEST, finish, history_of, job_of, opened

from adambias.config import TRIAL_FIELDS, Trial
from adambias.core.errors import LedgerError
from adambias.ledger import collect as tables
from adambias.ledger.job import Job

CONTRACT = [
    *("trial", "grid", "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy"),
    *("perturbed_one_norm", "one_norm", "two_norm", "max_norm", "mean_abs_grad"),
]


@pytest.fixture
def jobs():
    return [job_of(seed=seed, epochs=3 + seed) for seed in range(3)]


def written(ledger, jobs, folder, grid="beta2"):
    outcomes = dict(ledger.outcomes([job.key for job in jobs]))
    tables.write_tables(ledger, grid, jobs, outcomes, folder)
    return tuple(pd.read_parquet(folder / f"{n}.parquet") for n in ("histories", "trials"))


def test_the_tables_hold_every_row_of_every_trial(location, jobs, tmp_path):
    ledger = opened(location)
    for job in jobs:
        finish(ledger, job)

    histories, trials = written(ledger, jobs, tmp_path / "out")

    assert list(histories.columns)[: len(CONTRACT)] == CONTRACT
    assert set(histories["grid"]) == {"beta2"}
    for job in jobs:
        rows = histories[histories["trial"] == job.key].reset_index(drop=True)
        expected = history_of(job.trial.epochs, job.trial.seed)
        expected = expected.drop(columns="seconds")
        pd.testing.assert_frame_equal(rows[list(expected.columns)], expected, check_exact=True)
    assert len(histories) == 3 + 4 + 5
    assert list(trials["trial"]) == [job.key for job in jobs]
    fields = {name for name in TRIAL_FIELDS if name in Trial(h=1e-3, epochs=1).identity()}
    assert set(trials.columns) >= {*fields, "data_digest", "status", "epochs_done"}
    assert list(trials["epochs_done"]) == [3, 4, 5]
    assert list(trials["seed"]) == [0, 1, 2]
    assert trials["batch_size"].isna().all()
    assert set(trials["h"]) == {1e-3}


def test_many_trials_are_written_in_parts_that_make_one_table(jobs, tmp_path, monkeypatch):
    ledger = opened(tmp_path / "store")
    for job in jobs:
        finish(ledger, job)
    whole, _ = written(ledger, jobs, tmp_path / "whole")
    monkeypatch.setattr(tables, "_ROWS_AT_ONCE", 4)
    parts, _ = written(ledger, jobs, tmp_path / "parts")

    assert pq.ParquetFile(tmp_path / "parts" / "histories.parquet").num_row_groups == 2
    assert pq.ParquetFile(tmp_path / "whole" / "histories.parquet").num_row_groups == 1
    as_text = [t.astype({"trial": str, "grid": str}) for t in (whole, parts)]
    pd.testing.assert_frame_equal(*as_text, check_exact=True)


def test_the_same_ledger_gives_the_same_bytes(jobs, tmp_path):
    ledger = opened(tmp_path / "store")
    for job in jobs:
        finish(ledger, job)
    for name in ("first", "second"):
        written(ledger, jobs, tmp_path / name)

    for table in ("histories.parquet", "trials.parquet"):
        assert (tmp_path / "first" / table).read_bytes() == (
            tmp_path / "second" / table
        ).read_bytes()


def test_a_training_that_took_longer_gives_the_same_bytes_and_its_times_stand_apart(jobs, tmp_path):
    read = {}
    for name, slower in (("first", 1), ("second", 3)):
        ledger = opened(tmp_path / name / "store")
        for job in jobs:
            history = history_of(job.trial.epochs, job.trial.seed)
            finish(ledger, job, history=history.assign(seconds=history["seconds"] * slower))
        outcomes = dict(ledger.outcomes([job.key for job in jobs]))
        out, times = tmp_path / name / "out", tmp_path / name / "times" / "beta2.parquet"
        tables.write_tables(ledger, "beta2", jobs, outcomes, out, times)
        read[name] = (
            {path.name: path.read_bytes() for path in out.iterdir()},
            pd.read_parquet(times),
        )

    (first, times), (second, longer) = read["first"], read["second"]
    assert sorted(first) == ["histories.parquet", "trials.parquet"]
    assert first == second
    assert list(times) == ["trial", "grid", "epoch", "seconds"]
    assert [
        (key, len(rows)) for key, rows in times.groupby("trial", sort=False, observed=True)
    ] == [(job.key, job.trial.epochs) for job in jobs]
    pd.testing.assert_series_equal(longer["seconds"], times["seconds"] * 3)


def test_correction_columns_are_kept_and_null_elsewhere(tmp_path):
    ledger, plain, measured = opened(tmp_path / "store"), job_of(), job_of(correction_every=2)
    finish(ledger, plain)
    finish(ledger, measured, history=history_of(4).assign(correction_cosine=[0.5, None, 0.25, 0]))

    histories, _ = written(ledger, [plain, measured], tmp_path / "out")

    by_trial = histories.set_index("trial")["correction_cosine"]
    assert by_trial[plain.key].isna().all()
    assert by_trial[measured.key].dropna().tolist() == [0.5, 0.25, 0.0]


def test_what_was_measured_besides_is_a_column_and_nobodys_code_is_needed(tmp_path):
    ledger, plain = opened(tmp_path / "store"), job_of()
    measured = Job.of(Trial(h=1e-3, epochs=4, measures=["gone.away:measure"]), DIGEST)
    finish(ledger, plain)
    finish(ledger, measured, history=history_of(4).assign(zeros=[0.0, 0.5, None, 1.0]))

    histories, trials = written(ledger, [plain, measured], tmp_path / "out")

    by_trial = histories.set_index("trial")["zeros"]
    assert by_trial[plain.key].isna().all()
    assert by_trial[measured.key].dropna().tolist() == [0.0, 0.5, 1.0]
    assert trials["measures"].dropna().tolist() == ["gone.away:measure"]
    assert "loss" not in trials


def test_a_diverged_trial_has_as_many_rows_as_it_came_far(tmp_path):
    ledger, job = opened(tmp_path / "store"), job_of(epochs=9)
    finish(ledger, job, history=history_of(2), status="diverged")

    histories, trials = written(ledger, [job], tmp_path / "out")

    assert len(histories) == 2
    assert trials.loc[0, ["status", "epochs", "epochs_done"]].tolist() == ["diverged", 9, 2]


@pytest.mark.parametrize("content", [None, b"", b"rubbish", "partial"])
def test_a_damaged_history_is_named_and_earlier_tables_stay(content, location, jobs, tmp_path):
    ledger = opened(location)
    for job in jobs:
        finish(ledger, job)
    written(ledger, jobs, tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    key = jobs[1].key
    if content is None:
        ledger.store.delete([f"{key}/history.parquet"])
    elif content == "partial":
        ledger.save_history(key, history_of(2, seed=1))
    else:
        ledger.store.write(f"{key}/history.parquet", content)

    reason = "is missing" if content is None else "is damaged"
    where = re.escape(ledger.store.where(f"{key}/history.parquet"))
    with pytest.raises(LedgerError, match=f"^{where}: {reason}: delete the folder {key} and run"):
        written(ledger, jobs, tmp_path / "out")

    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert sorted(os.listdir(tmp_path / "out")) == ["histories.parquet", "trials.parquet"]
