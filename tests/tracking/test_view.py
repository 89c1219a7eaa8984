"""The view in a real SQLite store, against the ledger it shows."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sqlite3
import time

import pytest
from made_ledgers import (
    COMMIT,
    DIGEST,
    assert_faithful,
    client_of,
    finish_trial,
    grid_of,
    history_of,
    jobs_of,
    made_ledger,
    points_of,
    run_trial,
    runs_of,
    shown_grid,
    tracker_of,
    view_of,
)

from adambias.tracking.mlflow.client import TrackingStore
from adambias.tracking.mlflow.writer import GridWriter

EXPERIMENT = "adambias/laptop/beta2"


@pytest.fixture
def grid():
    return grid_of()


@pytest.fixture
def jobs(grid):
    return jobs_of(grid)


@pytest.fixture
def tracker(project, grid):
    return tracker_of(project, beta2=grid)


@pytest.fixture
def sync(tracker):
    def run(ledger, jobs):
        return tracker.sync(ledger, {"beta2": jobs})

    return run


@pytest.fixture
def writer(project, grid, uri):
    """A writer as the mirror holds it: it remembers what it wrote."""

    def make(ledger, jobs):
        view = shown_grid(grid, jobs)
        git = {"commit": "d" * 40, "dirty": False}
        return GridWriter(TrackingStore(uri), ledger, "laptop", view, git=git)

    return make


def test_sync_shows_every_trial_once_and_again_writes_nothing(project, uri, jobs, sync):
    ledger = made_ledger(project / "runs", jobs)
    first = sync(ledger, jobs)
    view = assert_faithful(uri, EXPERIMENT, ledger, jobs)
    assert (first.runs, first.created) == (4, 4)
    again = sync(ledger, jobs)
    assert (again.runs, again.created, again.updated, again.points) == (4, 0, 0, 0)
    same = assert_faithful(uri, EXPERIMENT, ledger, jobs)
    assert {s.run.info.run_id for s in same.values()} == {s.run.info.run_id for s in view.values()}


def test_a_run_tells_all_about_its_trial(project, uri, jobs, sync):
    ledger = made_ledger(project / "runs", jobs)
    sync(ledger, jobs)
    (parent,) = runs_of(uri, EXPERIMENT, "sweep")
    assert parent.info.run_name == "Sweep beta2 (laptop)"
    assert parent.info.status == "FINISHED"
    assert "dvc repro sweep@beta2" in parent.data.tags["mlflow.note.content"]
    assert parent.data.metrics["trials_finished"] == 4
    job = jobs[1]
    shown = view_of(uri, EXPERIMENT)[job.key]
    assert shown.run.info.run_name == "beta2 0.99 seed 0"
    assert shown.run.info.status == "FINISHED"
    assert shown.run.info.end_time - shown.run.info.start_time == 2000
    assert job.trial.identity().keys() <= shown.params.keys()
    assert shown.params["beta2"] == "0.99"
    assert shown.params["parameters"] == "77754"
    assert shown.tags["mlflow.parentRunId"] == parent.info.run_id
    assert shown.tags["status"] == "finished"
    assert shown.tags["DVC_STAGE"] == "sweep@beta2"
    assert shown.tags["version.torch"] == "2.15.0"
    for tags in (shown.tags, parent.data.tags):
        assert (tags["mlflow.source.git.commit"], tags["git_dirty"]) == (COMMIT, "yes")
    assert "non_finite" not in shown.tags
    (data,) = shown.run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("digits", DIGEST[:16])
    history = history_of(job)
    assert shown.run.data.metrics["best_test_accuracy"] == history["test_accuracy"].max()
    assert len(shown.run.data.metrics) <= 15
    groups = {(s.tags["group_key"], s.tags["group"]) for s in view_of(uri, EXPERIMENT).values()}
    assert groups >= {(shown.tags["group_key"], "beta2 0.99")}
    assert len(groups) == 2


def test_artifacts_are_the_ledgers_files(project, uri, jobs, sync):
    ledger = made_ledger(project / "runs", jobs)
    sync(ledger, jobs)
    run = view_of(uri, EXPERIMENT)[jobs[0].key].run
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")
    folder = project / "mlartifacts" / run.info.artifact_uri.removeprefix("mlflow-artifacts:/")
    stored = hashlib.sha256((folder / "history.parquet").read_bytes()).hexdigest()
    assert stored == ledger.done(jobs[0].key)["history_sha256"]
    assert (folder / "log.txt").read_text() == f"trained {jobs[0].key}\n"
    shutil.rmtree(project / "mlartifacts")
    assert sync(ledger, jobs).updated == 4
    assert (folder / "history.parquet").exists()


def test_a_view_grows_with_its_trial(project, uri, jobs, writer):
    ledger = made_ledger(project / "runs", [])
    writing = writer(ledger, jobs)
    assert writing.write().runs == 0
    run_trial(ledger, jobs[0], 12)
    assert writing.write().created == 1
    shown = view_of(uri, EXPERIMENT)[jobs[0].key]
    assert shown.points == points_of(history_of(jobs[0], 12))
    assert (shown.tags["status"], shown.run.info.status) == ("running", "RUNNING")
    assert shown.tags["mlflow.source.git.commit"] == "d" * 40
    assert writing.write().points == 0
    run_trial(ledger, jobs[0], 30)
    writing.write()
    finish_trial(ledger, jobs[0])
    writing.write()
    shown = assert_faithful(uri, EXPERIMENT, ledger, jobs[:1])[jobs[0].key]
    assert shown.tags["mlflow.source.git.commit"] == COMMIT  # of the driver that finished it
    (parent,) = runs_of(uri, EXPERIMENT, "sweep")
    assert parent.info.status == "RUNNING"


def test_interrupted_and_failed_trials_say_so_and_go_on_later(project, uri, jobs, writer, tracker):
    ledger = made_ledger(project / "runs", jobs[2:])
    run_trial(ledger, jobs[0], 12)
    run_trial(ledger, jobs[1], 0)
    ledger.store.write(f"{jobs[1].key}/error.txt", b"Traceback\nRuntimeError: out of memory\n")
    writer(ledger, jobs).write(ended=True)
    view = view_of(uri, EXPERIMENT)
    tags = [view[job.key].tags["status"] for job in jobs]
    assert tags == ["interrupted", "failed", "finished", "finished"]
    assert view[jobs[1].key].tags["error"] == "RuntimeError: out of memory"
    assert [view[j.key].run.info.status for j in jobs[:2]] == ["KILLED", "FAILED"]
    (parent,) = runs_of(uri, EXPERIMENT, "sweep")
    assert parent.info.status == "KILLED"
    assert not tracker.is_current(ledger, "beta2", jobs)
    for job in jobs[:2]:
        finish_trial(ledger, job)
    summary = writer(ledger, jobs).write(ended=True)
    assert summary.created == 0
    view = assert_faithful(uri, EXPERIMENT, ledger, jobs)
    assert "error" not in view[jobs[1].key].tags
    assert tracker.is_current(ledger, "beta2", jobs)


def test_a_stale_trial_is_not_shown_as_running(project, uri, jobs, sync):
    ledger = made_ledger(project / "runs", [])
    run_trial(ledger, jobs[0], 12, updated=time.time() - 3600)
    sync(ledger, jobs)
    assert view_of(uri, EXPERIMENT)[jobs[0].key].tags["status"] == "interrupted"
    (parent,) = runs_of(uri, EXPERIMENT, "sweep")
    assert parent.info.status == "KILLED", "a rebuild runs no sweep"
    run_trial(ledger, jobs[1], 12, updated=time.time())
    sync(ledger, jobs)
    (parent,) = runs_of(uri, EXPERIMENT, "sweep")
    assert parent.info.status == "RUNNING", "a sweep elsewhere does"


@pytest.mark.parametrize("off", [-1800.0, 1800.0])
def test_a_trial_is_shown_as_running_while_its_reports_change_whatever_its_clock_says(
    project, uri, jobs, writer, off
):
    ledger, now = made_ledger(project / "runs", []), time.time()
    passes = writer(ledger, jobs)
    for second in range(2):
        run_trial(ledger, jobs[0], 12, updated=now + off + second)
        run_trial(ledger, jobs[1], 12, updated=now + off)
        passes.write()

    shown = {key: run.tags["status"] for key, run in view_of(uri, EXPERIMENT).items()}
    assert shown == {jobs[0].key: "running", jobs[1].key: "interrupted"}


def test_divergence_is_flagged_and_not_drawn(project, uri, jobs, sync):
    ledger = made_ledger(project / "runs", jobs[1:])
    history = history_of(jobs[0], 9)
    history.loc[8, ["train_loss", "perturbed_one_norm"]] = [math.inf, math.nan]
    finish_trial(ledger, jobs[0], history, status="diverged")
    sync(ledger, jobs)
    shown = assert_faithful(uri, EXPERIMENT, ledger, jobs)[jobs[0].key]
    assert shown.tags["status"] == "diverged"
    assert shown.tags["non_finite"] == "train_loss from epoch 8, perturbed_one_norm from epoch 8"
    assert "final_train_loss" not in shown.run.data.metrics
    (parent,) = runs_of(uri, EXPERIMENT, "sweep")
    assert parent.data.metrics["trials_diverged"] == 1


def test_a_half_filled_or_deleted_store_is_completed(project, uri, jobs, sync, writer, tracker):
    ledger = made_ledger(project / "runs", jobs)
    sync(ledger, jobs)
    client = client_of(uri)
    (parent,) = runs_of(uri, EXPERIMENT, "sweep")
    view = view_of(uri, EXPERIMENT)
    client.delete_run(parent.info.run_id)
    client.delete_run(view[jobs[0].key].run.info.run_id)
    assert not tracker.is_current(ledger, "beta2", jobs)
    assert sync(ledger, jobs).created == 1
    again = assert_faithful(uri, EXPERIMENT, ledger, jobs)
    (parent,) = runs_of(uri, EXPERIMENT, "sweep")
    assert {s.tags["mlflow.parentRunId"] for s in again.values()} == {parent.info.run_id}
    client.delete_experiment(client.get_experiment_by_name(EXPERIMENT).experiment_id)
    sync(ledger, jobs)
    assert_faithful(uri, EXPERIMENT, ledger, jobs)


def test_the_same_view_comes_back_after_the_database_is_deleted(project, uri, jobs, sync, tracker):
    ledger = made_ledger(project / "runs", jobs)
    sync(ledger, jobs)
    before, (parent,) = view_of(uri, EXPERIMENT), runs_of(uri, EXPERIMENT, "sweep")
    _forget_engines()
    (project / "mlflow.db").unlink()
    assert not tracker.is_current(ledger, "beta2", jobs)
    assert sync(ledger, jobs).created == 4
    after = assert_faithful(uri, EXPERIMENT, ledger, jobs)
    own = ("mlflow.parentRunId", "created_ns")
    for key, shown in before.items():
        assert after[key].params == shown.params
        assert after[key].run.data.metrics == shown.run.data.metrics
        assert after[key].run.info.start_time == shown.run.info.start_time
        for name in shown.tags.keys() - set(own):
            assert after[key].tags[name] == shown.tags[name]
    (again,) = runs_of(uri, EXPERIMENT, "sweep")
    assert again.data.metrics == parent.data.metrics
    # Both descriptions lead to the run's own pages, which have other addresses now.
    own = {"created_ns": "", "mlflow.note.content": ""}
    assert again.data.tags | own == parent.data.tags | own
    for run in (parent, again):
        assert f"/runs/{run.info.run_id}/artifacts/" in run.data.tags["mlflow.note.content"]
    assert tracker.is_current(ledger, "beta2", jobs)


def _forget_engines() -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.tracking._tracking_service import utils

    for engine in SqlAlchemyStore._engine_map.values():
        engine.dispose()
    SqlAlchemyStore._engine_map.clear()
    utils._tracking_store_registry._get_store_with_resolved_uri.cache_clear()


def test_a_run_that_holds_anything_else_is_replaced(project, uri, jobs, sync):
    from mlflow.entities import Metric

    ledger = made_ledger(project / "runs", jobs[1:])
    run_trial(ledger, jobs[0], 12)
    sync(ledger, jobs)
    run_id = view_of(uri, EXPERIMENT)[jobs[0].key].run.info.run_id
    client_of(uri).log_batch(run_id, [Metric("training/train_loss", 7.0, 1, 3)])
    finish_trial(ledger, jobs[0])
    assert sync(ledger, jobs).created == 1
    assert_faithful(uri, EXPERIMENT, ledger, jobs)


def test_curves_of_an_earlier_versions_names_are_written_anew(project, uri, jobs, sync, tracker):
    from mlflow.entities import Metric, RunTag

    ledger = made_ledger(project / "runs", jobs[1:])
    run_trial(ledger, jobs[0], 12)
    sync(ledger, jobs)
    client = client_of(uri)
    for key, shown in view_of(uri, EXPERIMENT).items():
        client.log_batch(
            shown.run.info.run_id,
            [Metric("train_loss", value, 1, step) for step, value in enumerate((2.0, 1.0))],
            tags=[RunTag("mirrored", f"v1 {key}")],
        )
    said = sync(ledger, jobs)
    assert (said.created, said.deleted) == (4, 4)
    for shown in assert_faithful(uri, EXPERIMENT, ledger, jobs).values():
        assert "train_loss" not in shown.run.data.metrics
        assert "norm/perturbed_one_norm" in shown.run.data.metrics
    assert "deleted" not in str(sync(ledger, jobs))


def test_sync_says_what_it_does_to_the_doing_of_others(project, uri, jobs, sync):
    ledger = made_ledger(project / "runs", jobs)
    assert str(sync(ledger, jobs)).endswith("; experiments made: 1")
    client = client_of(uri)
    (parent,) = runs_of(uri, EXPERIMENT, "sweep")
    first, second = (view_of(uri, EXPERIMENT)[job.key].run for job in jobs[:2])
    client.update_run(first.info.run_id, name="my favourite")
    client.update_run(parent.info.run_id, name="my sweep")
    client.create_run(parent.info.experiment_id, tags=second.data.tags)
    client.delete_experiment(parent.info.experiment_id)
    assert str(sync(ledger, jobs)).endswith(
        "; deleted experiments restored: 1; experiments and runs given their name back: 2; "
        "runs deleted that were double or not as the ledger (until mlflow gc they can be "
        "restored): 1"
    )
    assert view_of(uri, EXPERIMENT)[jobs[0].key].run.info.run_name == first.info.run_name
    (parent,) = runs_of(uri, EXPERIMENT, "sweep")
    assert parent.info.run_name == "Sweep beta2 (laptop)"
    client.rename_experiment(parent.info.experiment_id, "my own name")
    said = sync(ledger, jobs)
    assert str(said).endswith("; experiments and runs given their name back: 1")
    assert (said.runs, said.created) == (4, 0)
    assert ";" not in str(sync(ledger, jobs))
    assert_faithful(uri, EXPERIMENT, ledger, jobs)


def test_an_experiment_leads_to_the_run_of_its_sweep(project, uri, jobs, sync):
    ledger = made_ledger(project / "runs", jobs)
    sync(ledger, jobs)
    (parent,) = runs_of(uri, EXPERIMENT, "sweep")
    experiment = client_of(uri).get_experiment_by_name(EXPERIMENT)
    page = f"#/experiments/{experiment.experiment_id}/runs/{parent.info.run_id}"
    note = experiment.tags["mlflow.note.content"]
    assert note.endswith(f"[Sweep beta2 (laptop)]({page}?workflowType=machine_learning).")
    assert "\n" not in note
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_retrained_trial_replaces_its_run(project, uri, jobs, sync, tracker):
    ledger = made_ledger(project / "runs", jobs)
    sync(ledger, jobs)
    finish_trial(ledger, jobs[0], history_of(jobs[0]) * [1, *[1.5] * 9, 1])
    assert not tracker.is_current(ledger, "beta2", jobs)
    assert sync(ledger, jobs).created == 1
    assert_faithful(uri, EXPERIMENT, ledger, jobs)


def test_another_initial_fraction_brings_the_highest_norms_up_to_date(project, uri, grid, jobs):
    ledger = made_ledger(project / "runs", jobs)
    for fraction in (0.25, 0.75):
        tracker = tracker_of(project, beta2=grid, initial_fraction=fraction)
        assert not tracker.is_current(ledger, "beta2", jobs)
        assert tracker.sync(ledger, {"beta2": jobs}).updated == len(jobs)
        assert tracker.is_current(ledger, "beta2", jobs)
        for key, shown in assert_faithful(uri, EXPERIMENT, ledger, jobs).items():
            norms = ledger.history(key)["perturbed_one_norm"][int(40 * fraction) :]
            assert shown.run.data.metrics["peak_perturbed_one_norm"] == norms.max()


def test_doubles_of_two_writers_are_resolved(project, uri, jobs, sync):
    ledger = made_ledger(project / "runs", jobs)
    sync(ledger, jobs)
    first = view_of(uri, EXPERIMENT)[jobs[0].key].run
    client_of(uri).create_run(first.info.experiment_id, tags=first.data.tags)
    sync(ledger, jobs)
    view = assert_faithful(uri, EXPERIMENT, ledger, jobs)
    assert jobs[0].key in view


def test_a_changed_grid_marks_the_trials_it_lost(project, uri, jobs, sync):
    ledger = made_ledger(project / "runs", jobs)
    sync(ledger, jobs)
    sync(ledger, jobs[:3])
    view = view_of(uri, EXPERIMENT)
    assert [view[job.key].tags["in_grid"] for job in jobs] == ["yes", "yes", "yes", "no"]
    sync(ledger, jobs)
    assert view_of(uri, EXPERIMENT)[jobs[3].key].tags["in_grid"] == "yes"


def test_a_trial_of_two_grids_has_a_run_in_each(project, uri, jobs, grid):
    ledger = made_ledger(project / "runs", jobs)
    both = tracker_of(project, beta2=grid, beta1=grid)
    both.sync(ledger, {"beta2": jobs, "beta1": jobs[:2]})
    assert_faithful(uri, EXPERIMENT, ledger, jobs)
    assert_faithful(uri, "adambias/laptop/beta1", ledger, jobs[:2])


def test_a_damaged_history_is_named_and_the_rest_shown(project, uri, jobs, sync, tracker):
    ledger = made_ledger(project / "runs", jobs)
    ledger.store.write(f"{jobs[0].key}/history.parquet", b"rubbish")
    summary = sync(ledger, jobs)
    assert len(summary.problems) == 1
    assert f"{jobs[0].key}/history.parquet: is damaged" in str(summary)
    assert_faithful(uri, EXPERIMENT, ledger, jobs[1:])
    assert not tracker.is_current(ledger, "beta2", jobs)


def test_long_curves_are_thinned_and_the_artifact_is_whole(project, uri, grid, sync):
    jobs = jobs_of(grid, epochs=1203, eval_every=6)[:1]
    ledger = made_ledger(project / "runs", jobs)
    sync(ledger, jobs)
    shown = view_of(uri, EXPERIMENT)[jobs[0].key]
    history = ledger.history(jobs[0].key)
    kept = history[(history["epoch"] % 3 == 0) | (history["epoch"] == 1202)]
    assert shown.points == points_of(kept)


def test_the_analysis_gives_trials_their_regime(project, uri, jobs, sync):
    import pandas as pd

    ledger = made_ledger(project / "runs", jobs)
    keys = [job.key for job in jobs]
    found = ["oscillation", "spike", None, "oscillation"]
    (project / "results").mkdir()
    table = pd.DataFrame({"trial": keys, "grid": "beta2", "regime": found})
    table.to_parquet(project / "results" / "trials.parquet")
    for scale in ("another", "laptop"):
        (project / "results" / "metrics.json").write_text(json.dumps({"scale": scale}))
        sync(ledger, jobs)
        view = view_of(uri, EXPERIMENT)
        if scale == "another":
            assert not any("regime" in shown.tags for shown in view.values())
    assert [view[key].tags.get("regime") for key in keys] == found


def test_tables_are_made_once_and_whole(project, monkeypatch):
    from adambias.tracking.mlflow.client import make_sqlite

    file = project / "new" / "mlflow.db"
    file.parent.mkdir()
    file.with_name(".mlflow.db.0123abcd").write_bytes(b"left by a process that was killed")
    make_sqlite(file)
    assert [p.name for p in file.parent.iterdir()] == ["mlflow.db"]
    with sqlite3.connect(file) as connection:
        root = connection.execute("SELECT artifact_location FROM experiments").fetchall()
    assert root == [("mlflow-artifacts:/0",)]


def test_a_name_with_an_apostrophe_is_searched_for(project, uri, jobs, tracker):
    """The scale is a file's name, which MLflow gets in a search without any escape."""
    ledger = made_ledger(project / "runs", jobs[:1])
    tracker.params.name = "it's 100% \\mine é"
    for created in (1, 0):
        assert tracker.sync(ledger, {"beta2": jobs[:1]}).created == created
    assert len(runs_of(uri, f"adambias/{tracker.params.name}/beta2", "sweep")) == 1
