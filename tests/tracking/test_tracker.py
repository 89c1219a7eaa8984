"""The tracker that does nothing has the verbs of the one that shows everything."""

from __future__ import annotations

import inspect

from made_ledgers import grid_of, jobs_of, made_ledger, params_of

from adambias.tracking import NoTracker, Tracker, tracker_for
from adambias.tracking.mlflow.tracker import MlflowTracker

VERBS = ("mirror", "is_current", "sync", "log_analysis")


def test_both_trackers_have_the_same_verbs():
    for kind in (NoTracker, MlflowTracker):
        for verb in VERBS:
            wanted = inspect.signature(getattr(Tracker, verb)).parameters
            assert list(inspect.signature(getattr(kind, verb)).parameters) == list(wanted)


def test_without_tracking_nothing_is_written(project):
    (project / "mlflow.db").unlink()
    jobs = jobs_of(grid_of())
    ledger = made_ledger(project / "runs", jobs)
    tracker = tracker_for(params_of(project, beta2=grid_of()), track=False)

    assert tracker.is_current(ledger, "beta2", jobs)
    with tracker.mirror(ledger, {"beta2": jobs}):
        pass
    assert str(tracker.sync(ledger, {"beta2": jobs})).startswith("0 runs")
    assert tracker.log_analysis("results", "figures") is None
    assert [path.name for path in project.iterdir()] == ["runs"]
