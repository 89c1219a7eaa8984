"""Bring MLflow's runs of one grid up to the ledger; every pass is idempotent.

The ledger is read, compared with what MLflow holds, and only the difference is written. A pass may
be killed anywhere, and other writers may be at work: the next pass goes on from what it finds.
``M:`` stands for the source of MLflow 3.17.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException

from adambias.config import naming
from adambias.config.measures import curves_of
from adambias.core.errors import LedgerError
from adambias.ledger.alive import Pulses, look_twice
from adambias.ledger.job import Job
from adambias.ledger.ledger import Ledger
from adambias.tracking.mlflow import content, location
from adambias.tracking.mlflow.author import author
from adambias.tracking.mlflow.client import TrackingStore
from adambias.tracking.mlflow.content import Point
from adambias.tracking.mlflow.views import Summary, View

if TYPE_CHECKING:
    import pandas as pd

ARTIFACTS = ("history.parquet", "log.txt", "done.json")
Places = dict[tuple[str, int], float]
"""Values by metric and step."""


@dataclass
class _Shown:
    """What MLflow is known to hold of a trial; ``points`` is None until they are read."""

    run: Run
    points: Places | None = None
    source: str = ""
    complete: bool = False


class GridWriter:
    """Mirrors one grid; remembers what it wrote, so that a pass costs only what is new.

    Parameters
    ----------
    store : TrackingStore
        Where to.
    ledger : Ledger
        Where from.
    scale : str
        Name of the scale.
    view : View
        The grid.
    git : mapping, optional
        Commit of the driver that trains what is unfinished; a finished trial's is in the ledger.
    regimes : mapping, optional
        Regime of each finished trial, by key, where an analysis found it.
    """

    def __init__(
        self,
        store: TrackingStore,
        ledger: Ledger,
        scale: str,
        view: View,
        *,
        git: Mapping[str, Any] | None = None,
        regimes: Mapping[str, str] | None = None,
    ) -> None:
        self.store, self.ledger, self.scale, self.view = store, ledger, scale, view
        self.git, self.regimes = dict(git or {}), dict(regimes or {})
        self.jobs = {job.key: job for job in view.jobs}
        self.summary = Summary()
        self._fields = naming.defined(view.grid)
        self._shown: dict[str, _Shown] = {}
        self._outcomes: dict[str, dict[str, Any]] = {}
        self._pulses = Pulses()
        self._prepared = False

    def write(self, *, ended: bool = False, check: bool = False) -> Summary:
        """Bring every run up to the ledger.

        Parameters
        ----------
        ended : bool
            No trial of the grid runs any more: what is unfinished is interrupted or failed.
        check : bool
            Look at the artifacts of complete runs too. The caller runs no sweep itself: if no trial
            is running, the sweep counts as ended.

        Returns
        -------
        Summary
            What this pass did.

        Raises
        ------
        MlflowException, TrackingError
            If the store fails; another pass goes on where this one stopped.
        """
        self.summary = Summary()
        try:
            self._pass(ended, check)
        except MlflowException:
            # Race: another writer may have deleted a run as a double, or taken it over. What was
            # remembered is forgotten and read again, once; a second failure is the store's.
            location.refuse_unreachable(self.store.uri)
            self._prepared = False
            self._pass(ended, check)
        return self.summary

    def _pass(self, ended: bool, check: bool) -> None:
        if not self._prepared:
            self._prepare(check)
        # A finished trial never changes: once it is shown whole, it is not looked at again.
        pending = [k for k in self.jobs if k not in self._shown or not self._shown[k].complete]
        self._outcomes |= dict(
            self.ledger.outcomes([k for k in pending if k not in self._outcomes])
        )
        running = self._running(pending, check) if not ended else set()
        begun = self.ledger.begun([key for key in pending if key not in self._outcomes])
        for key in pending:
            try:
                if key in self._outcomes:
                    self._write_finished(self.jobs[key], self._outcomes[key])
                elif key in begun or key in self._shown:
                    self._write_unfinished(self.jobs[key], running=key in running)
            except LedgerError as error:  # one damaged folder does not keep the others from view
                self.summary.problems.append(str(error))
        self.summary.runs = len(self._shown)
        self._write_parent(ended or (check and not self._any_running()))

    def _running(self, keys: Iterable[str], check: bool) -> set[str]:
        """Return the trials that run: a worker that was killed says nothing more."""
        jobs = [self.jobs[key] for key in keys if key not in self._outcomes]
        if check:  # the only pass: none follows that sees whether reports change
            return look_twice(self.ledger, jobs)[1]
        return self._pulses.look(jobs, dict(self.ledger.reports(job.key for job in jobs)))

    def _any_running(self) -> bool:
        """Tell whether any trial was running when it was last looked at."""
        left = (shown for shown in self._shown.values() if not shown.complete)
        return any(shown.run.data.tags.get("status") == "running" for shown in left)

    def _prepare(self, check: bool) -> None:
        """Find the experiment, the parent and the runs that are there; bring tags up to date."""
        grid_name, grid = self.view.name, self.view.grid
        tags = {
            "mlflow.experimentKind": "custom_model_development",
            "mlflow.sharedViewState.trials": content.shared_view(grid),
        }
        name = content.experiment_name(self.scale, grid_name)
        self.experiment = self.store.experiment(name, tags)
        self._outcomes = dict(self.ledger.outcomes(self.jobs))
        self.parent = self._open_parent()
        place = content.page(self.experiment, self.parent.info.run_id)
        note = content.experiment_note(self.scale, grid_name, grid, place)
        self.store.describe(self.experiment, note)
        found = self.store.only(self.store.runs(self.experiment, "trial"), "trial_key")
        # The grid has changed since: the run stays, out of the way of a search for the grid's own.
        for key in found.keys() - self.jobs.keys():
            self.store.tag(found.pop(key), {"in_grid": "no"})
        self._shown = {}
        for key, run in found.items():
            # Written last of all, so that a run with this tag holds everything else.
            outcome = self._outcomes.get(key)
            mark = self.view.mark(outcome) if outcome else None
            complete = mark is not None and run.data.tags.get("mirrored") == mark
            if complete and check:
                complete = self.store.has(run, ARTIFACTS)
            self._shown[key] = _Shown(run, complete=complete)
            self.summary.updated += self._refresh(key, run)
        self._prepared = True

    def _open_parent(self) -> Run:
        name = f"{self.scale}/{self.view.name}"
        tags = {
            "kind": "sweep",
            "sweep": name,
            "scale": self.scale,
            "grid": self.view.name,
            "DVC_STAGE": f"sweep@{self.view.name}",
        }
        title = content.sweep_title(self.scale, self.view.name)
        runs = self.store.only(self.store.runs(self.experiment, "sweep", sweep=name), "sweep")
        if name in runs:
            parent = runs[name]
            self.store.rename(parent, title)
        else:
            # Rebuilt from the ledger, the sweep began when its first trial did, not now.
            start = min(map(_start, self._outcomes.values()), default=int(time.time() * 1000))
            identity = author() | tags
            parent, _ = self.store.open_run(self.experiment, "sweep", identity, title, start)
        self.store.tag(parent, tags | {"mlflow.note.content": self._description(parent)})
        return parent

    def _description(self, parent: Run) -> str:
        artifacts = content.page(self.experiment, parent.info.run_id, "/artifacts/{}")
        jobs, grid = self.jobs.values(), self.view.grid
        return content.sweep_description(self.scale, self.view.name, grid, jobs, artifacts)

    def _refresh(self, key: str, run: Run) -> bool:
        """Bring a run's name and tags up to date; tell whether anything changed."""
        tags = self._identity(self.jobs[key])
        if key in self.regimes:
            tags["regime"] = self.regimes[key]
        name = content.label(self.jobs[key].trial, self._fields)
        self.store.rename(run, name)
        return self.store.tag(run, tags) or run.info.run_name != name

    def _identity(self, job: Job) -> dict[str, str]:
        tags = content.trial_tags(job, self.scale, self.view.name, self.view.grid)
        return tags | {"mlflow.parentRunId": self.parent.info.run_id}

    def _write_unfinished(self, job: Job, *, running: bool) -> None:
        source = self._read(job.key)
        table = self._table(job.key, source) if source else None
        digest = hashlib.sha256(source).hexdigest()
        # The ledger holds no start of an unfinished trial: now, less the time that it has trained.
        elapsed = 0.0 if table is None else float(table["seconds"].sum())
        shown = self._shown.get(job.key) or self._open(job, round(1000 * (time.time() - elapsed)))
        # Written anew with each checkpoint only, while passes are more frequent.
        if table is not None and shown.source != digest:
            points = content.curve_points(table, job.trial, finished=False)
            shown = self._write_points(job, shown, points)
            shown.source = digest
        error = self.ledger.text(job.key, "error.txt")
        self._write_state(shown, running=running, error=error)

    def _write_state(self, shown: _Shown, *, running: bool, error: str) -> None:
        status = "running" if running else "failed" if error else "interrupted"
        if shown.run.data.tags.get("status") == status:
            return
        tags = {"status": status}
        if status == "failed":
            # The last line of a trace says what happened; the log has the rest.
            tags["error"] = error.strip().splitlines()[-1][:500]
        run_id = shown.run.info.run_id
        self.store.log(run_id, [], tags=tags)
        if running:  # without an end time, which set_terminated would set
            self.store.client.update_run(run_id, "RUNNING")
        else:
            self.store.end(run_id, "FAILED" if error else "KILLED", int(time.time() * 1000))
        shown.run.data.tags["status"] = status

    def _write_finished(self, job: Job, outcome: Mapping[str, Any]) -> None:
        # The marker of completeness is never put on numbers that the ledger itself disowns.
        source = self._read(job.key)
        if hashlib.sha256(source).hexdigest() != outcome["history_sha256"]:
            where = self.ledger.store.where(f"{job.key}/history.parquet")
            raise LedgerError(f"{where}: is damaged: delete the folder to train again")
        table = self._table(job.key, source)
        shown = self._shown.get(job.key) or self._open(job, _start(outcome))
        points = content.curve_points(table, job.trial, finished=True)
        points += content.summary_points(table, job.trial, self.view.initial_fraction)
        shown = self._write_points(job, shown, points, exact=True, **self._texts(job, table))
        run = shown.run
        self.store.put(run, self._artifacts(job.key, source))
        self.store.log_dataset(run.info.run_id, job.trial.dataset, job.data_digest)
        if "error" in run.data.tags:  # an earlier attempt's
            self.store.client.delete_tag(run.info.run_id, "error")
        # The training's own seconds, so that a duration in MLflow leaves out interruptions.
        end = run.info.start_time + round(1000 * float(outcome["seconds"]))
        self.store.end(run.info.run_id, "FINISHED", end)
        # Last: a pass that is killed before leaves a run without this tag, which is written again.
        self.store.log(run.info.run_id, [], tags={"mirrored": self.view.mark(outcome)})
        shown.points, shown.complete = None, True
        self.summary.updated += 1

    def _texts(self, job: Job, table: pd.DataFrame) -> dict[str, dict[str, str]]:
        outcome = self._outcomes[job.key]
        flaws = content.non_finite(table, job.trial)
        tags = content.outcome_tags(outcome) | ({"non_finite": flaws} if flaws else {})
        if job.key in self.regimes:
            tags["regime"] = self.regimes[job.key]
        params = content.parameters(job)
        if outcome.get("parameters"):
            params["parameters"] = str(outcome["parameters"])
        return {"tags": tags, "params": params}

    def _artifacts(self, key: str, history: bytes) -> dict[str, bytes]:
        texts = {name: self.ledger.text(key, name).encode() for name in ARTIFACTS[1:]}
        return {"history.parquet": history, **texts}

    def _read(self, key: str) -> bytes:
        try:
            return self.ledger.store.read(f"{key}/history.parquet")
        except FileNotFoundError:
            return b""

    def _table(self, key: str, source: bytes) -> pd.DataFrame:
        import pandas as pd

        try:
            return pd.read_parquet(io.BytesIO(source))
        except (OSError, ValueError) as error:
            where = self.ledger.store.where(f"{key}/history.parquet")
            raise LedgerError(f"{where}: cannot be read ({error})") from None

    def _open(self, job: Job, start: int) -> _Shown:
        tags = author() | self._identity(job)
        name = content.label(job.trial, self._fields)
        run, new = self.store.open_run(self.experiment, "trial_key", tags, name, start)
        if job.key not in self._outcomes:  # else they are written with the points
            self.store.log(run.info.run_id, [], content.parameters(job), content.git_tags(self.git))
        self.summary.created += 1
        self._shown[job.key] = _Shown(run, points={} if new else None)
        return self._shown[job.key]

    def _write_points(
        self,
        job: Job,
        shown: _Shown,
        points: list[Point],
        *,
        exact: bool = False,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> _Shown:
        """Write what a run lacks; one that holds anything else is deleted and opened anew.

        With ``exact`` the run may hold nothing beyond ``points``.
        """
        # MLflow drops a point that is written again only if its time stamp is the same, too
        # (mlflow/store/tracking/sqlalchemy_store.py, _log_metrics_once), and can neither change nor
        # delete one. So points are compared here by metric and step, and a wrong run has to go.
        expected = {(p.key, p.step): p.value for p in points}
        held = self._held(job, shown)
        start = shown.run.info.start_time
        if held is None or not _agree(held, expected, exact=exact):
            self.store.delete(shown.run)
            shown = self._open(job, start)
            held = self._held(job, shown) or {}
        missing = [
            Metric(p.key, p.value, start + p.elapsed, p.step)
            for p in points
            if (p.key, p.step) not in held
        ]
        self.store.log(shown.run.info.run_id, missing, params, tags)
        shown.points = held | expected
        self.summary.points += len(missing)
        return shown

    def _held(self, job: Job, shown: _Shown) -> Places | None:
        """Return the points a run holds, or None if it has to go: one is there twice, or misnamed.

        An earlier version named curves by their columns alone, and MLflow can rename none.
        """
        if shown.points is None:
            columns = curves_of(job.trial)
            if not shown.run.data.metrics.keys().isdisjoint(columns):
                return None
            keys = (*map(content.curve_name, columns), *content.SUMMARIES)
            read = self.store.points(shown.run.info.run_id, keys)
            # Two writers, each of which saw the point missing, have both written it.
            if any(len(values) > 1 for values in read.values()):
                return None
            shown.points = {place: values[0] for place, values in read.items()}
        return shown.points

    def _write_parent(self, ended: bool) -> None:
        """Write the sweep's counts; once every trial is shown, end it and leave a marker."""
        outcomes = [self._outcomes[key] for key in self.jobs if key in self._outcomes]
        done = sum(shown.complete for shown in self._shown.values()) == len(self.jobs)
        values = {
            "trials": len(self.jobs),
            "trials_finished": len(outcomes),
            "trials_diverged": sum(o.get("status") == "diverged" for o in outcomes),
            "training_seconds": round(sum(float(o["seconds"]) for o in outcomes), 3),
        }
        now, run_id = int(time.time() * 1000), self.parent.info.run_id
        # Read anew: the parent is the one run that every writer of the grid changes.
        known = self.store.client.get_run(run_id)
        news = {k: v for k, v in values.items() if known.data.metrics.get(k) != v}
        self.store.log(run_id, [Metric(k, v, now, len(outcomes)) for k, v in news.items()])
        newest = max(outcomes, key=_end, default={"git": self.git})
        self.store.tag(known, content.git_tags(newest.get("git", {})))
        status = "FINISHED" if done else "KILLED" if ended else "RUNNING"
        if known.info.status != status and status == "RUNNING":
            self.store.client.update_run(run_id, status)
        elif known.info.status != status:
            ends = [round(1000 * _end(outcome)) for outcome in outcomes]
            self.store.end(run_id, status, max(ends) if done else now)
        # The marker lets a sweep with nothing to do skip MLflow, whose import alone takes 5 s.
        if done:
            shown = self.view.content(self._outcomes)
            place = (self.store.uri, self.scale, self.view.name)
            location.write_marker(self.ledger, *place, run_id, shown)


def _end(outcome: Mapping[str, Any]) -> float:
    """Return when a training was finished, in seconds since 1970."""
    return datetime.datetime.fromisoformat(outcome["finished_at"]).timestamp()


def _start(outcome: Mapping[str, Any]) -> int:
    """Return when a finished training began, in milliseconds since 1970, pauses left out."""
    return round(1000 * (_end(outcome) - float(outcome["seconds"])))


def _agree(held: Places, expected: Places, *, exact: bool) -> bool:
    """Tell whether what a run holds is part of what it should hold.

    Of an unfinished trial it may hold epochs beyond those expected: they were shown before a worker
    was lost, and are being trained again. On a CPU they come out the same, so that nothing is
    deleted.
    """
    common = held.keys() if exact else held.keys() & expected.keys()
    return all(place in expected and expected[place] == held[place] for place in common)
