"""MLflow's store as the view needs it: find or open a run once, add points, put artifacts.

The only module that imports MLflow; it is imported only by what writes or reads the store.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import logging
import os
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    Experiment,
    ExperimentTag,
    InputTag,
    Metric,
    Param,
    Run,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from adambias.core.errors import TrackingError
from adambias.core.files import replacing
from adambias.tracking.mlflow import location, schema
from adambias.tracking.mlflow.views import Summary

T = TypeVar("T")
BATCH = 1000
"""Most metrics, parameters and tags together that MLflow takes at once."""
PROXIED_ROOT = "mlflow-artifacts:/"
"""Artifact root that names no folder, so that a moved project keeps its artifacts.

With a path MLflow would bake the absolute folder into each experiment (mlflow#3144, mlflow#4400).
"""
# What MLflow's database layer logs, tracebacks included, is raised to us as well.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
logging.getLogger("alembic").setLevel(logging.WARNING)
_REFUSALS = {
    401: "asks who you are: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    403: "refuses: its --allowed-hosts lack this name, or your user may not edit the experiment",
}
_NAMED = "adambias_name"
"""The tag of an experiment that says its name, whatever it is called now."""
_TRANSIENT = ("TEMPORARILY_UNAVAILABLE", "RESOURCE_CONFLICT")


class TrackingStore:
    """A connection to the store at a tracking URI.

    Parameters
    ----------
    uri : str
        As :func:`adambias.tracking.mlflow.location.tracking_uri` returns it.

    Raises
    ------
    TrackingError
        If the store cannot be reached or used.
    """

    def __init__(self, uri: str) -> None:
        location.refuse_unreachable(uri)
        location.refuse_unwritable(uri)
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        self.uri, self.done = uri, Summary()
        with translated(uri):
            self._database = None if location.is_remote(uri) else _open_database(uri)
            self.client = MlflowClient(tracking_uri=uri)

    def experiment(self, name: str, tags: Mapping[str, str]) -> str:
        """Return the id of the experiment ``name``; made, restored or given its name if need be."""
        tags = {**tags, _NAMED: name}
        found = self.client.get_experiment_by_name(name) or self._renamed(name)
        if found is None:
            with contextlib.suppress(MlflowException):  # another writer may have been faster
                self._create_experiment(name, tags)
                self.done.made += 1
            found = self.client.get_experiment_by_name(name)
        if found is None:
            raise TrackingError(f"{location.shown(self.uri)}: experiment {name} cannot be made")
        # A deleted experiment keeps its name taken: only restoring it gives that back.
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
            self.done.restored += 1
        for key, value in tags.items():
            if found.tags.get(key) != value:
                self.client.set_experiment_tag(found.experiment_id, key, value)
        return str(found.experiment_id)

    def describe(self, experiment: str, note: str) -> None:
        """Set the description of an experiment, unless it is that already."""
        known = self.client.get_experiment(experiment).tags.get("mlflow.note.content")
        if known != note:
            self.client.set_experiment_tag(experiment, "mlflow.note.content", note)

    def rename(self, run: Run, name: str) -> None:
        """Give a run its name, unless it has it."""
        if run.info.run_name != name:
            self.client.update_run(run.info.run_id, name=name)
            self.done.renamed += 1

    def delete(self, run: Run) -> None:
        """Delete a run; MLflow keeps it until ``mlflow gc``."""
        self.client.delete_run(run.info.run_id)
        self.done.deleted += 1

    def _renamed(self, name: str) -> Experiment | None:
        """Find an experiment that somebody gave another name, and give it its own back."""
        named = self.client.search_experiments(filter_string=f"tags.`{_NAMED}` = {_quoted(name)}")
        if not named:
            return None
        self.client.rename_experiment(named[0].experiment_id, name)
        self.done.renamed += 1
        return self.client.get_experiment(named[0].experiment_id)

    def _create_experiment(self, name: str, tags: Mapping[str, str]) -> None:
        database = self._database
        if database is None:
            self.client.create_experiment(name, tags=dict(tags))
        else:
            entities = [ExperimentTag(key, value) for key, value in tags.items()]
            persistent(lambda: database.create_experiment(name, tags=entities))

    def runs(self, experiment: str, kind: str, **tags: str) -> list[Run]:
        """Return the active runs of a kind whose tags have the values given."""
        wanted = {"kind": kind, **tags}
        query = " and ".join(f"tags.`{key}` = {_quoted(value)}" for key, value in wanted.items())
        found: list[Run] = []
        token = None
        while True:
            page = self.client.search_runs(
                [experiment], query, ViewType.ACTIVE_ONLY, max_results=1000, page_token=token
            )
            found += page
            token = page.token
            if not token:
                return found

    def only(self, runs: Iterable[Run], identity: str) -> dict[str, Run]:
        """Return one run for each value of the tag ``identity``, and delete its doubles.

        Every writer keeps the same one, the first made: two that open a run at the same moment end
        up with one.
        """
        same: dict[str, list[Run]] = defaultdict(list)
        for run in runs:
            same[run.data.tags.get(identity, "")].append(run)
        kept = {}
        for value, doubles in same.items():
            first, *others = sorted(doubles, key=_seniority)
            kept[value] = first
            for run in others:
                with contextlib.suppress(MlflowException):  # the other writer may have deleted it
                    self.delete(run)
        return kept

    def open_run(
        self, experiment: str, identity: str, tags: Mapping[str, str], name: str, start: int
    ) -> tuple[Run, bool]:
        """Open the run whose tag ``identity`` is ``tags[identity]``, or take another writer's.

        Parameters
        ----------
        start : int
            Start time in milliseconds since 1970, from which the times of its points count.

        Returns
        -------
        Run, bool
            The run, and whether it is new, so that nobody has written to it yet.
        """
        stamped = {**tags, "created_ns": str(time.time_ns())}
        # MLflow has no "create unless there". So create first, then look: of two racing writers the
        # last to look sees both runs, and keeps the older, which the other keeps as well.
        made = persistent(lambda: self.client.create_run(experiment, start, stamped, name))
        there = self.runs(experiment, tags["kind"], **{identity: tags[identity]})
        run = self.only(there, identity)[tags[identity]]
        return run, run.info.run_id == made.info.run_id

    def log(
        self,
        run_id: str,
        metrics: list[Metric],
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write in batches; the first holds all parameters and tags."""
        # MLflow's limits for a value (mlflow/utils/validation.py): one that is longer refuses the
        # whole batch.
        param_list = [Param(key, value[:6000]) for key, value in (params or {}).items()]
        tag_list = [RunTag(key, value[:8000]) for key, value in (tags or {}).items()]
        room = BATCH - len(param_list) - len(tag_list)
        starts = [0, *range(room, len(metrics), BATCH)]
        ends = [*starts[1:], len(metrics)]
        for start, end in zip(starts, ends, strict=True):
            first = start == 0
            self._log_batch(
                run_id,
                metrics[start:end],
                param_list if first else [],
                tag_list if first else [],
            )

    def _log_batch(
        self, run_id: str, metrics: list[Metric], params: list[Param], tags: list[RunTag]
    ) -> None:
        if metrics or params or tags:
            persistent(lambda: self.client.log_batch(run_id, metrics, params, tags))

    def tag(self, run: Run, tags: Mapping[str, str]) -> bool:
        """Set those of ``tags`` that the run does not have yet; tell whether there were any."""
        news = {k: v for k, v in tags.items() if run.data.tags.get(k) != v}
        self.log(run.info.run_id, [], tags=news)
        return bool(news)

    def points(self, run_id: str, keys: Iterable[str]) -> dict[tuple[str, int], list[float]]:
        """Read every value that a run holds of some metrics, by key and step."""
        found: dict[tuple[str, int], list[float]] = defaultdict(list)
        for key in keys:
            for metric in self.client.get_metric_history(run_id, key):
                found[key, metric.step].append(metric.value)
        return dict(found)

    def log_dataset(self, run_id: str, name: str, digest: str) -> None:
        """Log the data a run trained on; MLflow keeps one dataset for all runs that share it."""
        dataset = Dataset(
            name=name,
            digest=digest[:16],
            source_type="local",
            source=json.dumps({"uri": f"data/{name}"}),
            profile=json.dumps({"sha256": digest}),
        )
        given = [DatasetInput(dataset, [InputTag("mlflow.data.context", "training and test")])]
        persistent(lambda: self.client.log_inputs(run_id, given))

    def end(self, run_id: str, status: str, end_time: int) -> None:
        """Set a run's status: FINISHED, FAILED or KILLED."""
        persistent(lambda: self.client.set_terminated(run_id, status, end_time))

    def put(self, run: Run, files: Mapping[str, bytes | Path]) -> None:
        """Store artifacts by their path within the run."""
        # Artifacts of a local store are written to its folder, without a server in between.
        folder = self._folder(run)
        if folder is not None:
            for name, content in files.items():
                _write(folder / name, content)
            return
        with tempfile.TemporaryDirectory() as temporary:
            for name, content in files.items():
                _write(Path(temporary, name), content)
            target = self._proxied(run)
            if target is not None:
                get_artifact_repository(target).log_artifacts(temporary)
            else:
                self.client.log_artifacts(run.info.run_id, temporary)

    def has(self, run: Run, names: Iterable[str]) -> bool:
        """Tell whether a run holds every one of these top-level artifacts."""
        folder = self._folder(run)
        if folder is not None:
            return all((folder / name).exists() for name in names)
        target = self._proxied(run)
        if target is not None:
            listed = get_artifact_repository(target).list_artifacts()
        else:
            listed = self.client.list_artifacts(run.info.run_id)
        return set(names) <= {entry.path for entry in listed}

    def _proxied(self, run: Run) -> str | None:
        """Return where a run's proxied artifacts lie if no server stands in between."""
        if self._database is None or not run.info.artifact_uri.startswith(PROXIED_ROOT):
            return None
        path = urlsplit(run.info.artifact_uri).path.strip("/")
        return f"{location.artifacts_destination(self.uri).rstrip('/')}/{path}"

    def _folder(self, run: Run) -> Path | None:
        target = self._proxied(run)
        return Path(target) if target is not None and "://" not in target else None


def _quoted(value: str) -> str:
    """Return a value for a search; MLflow takes either quotation mark, and no escape."""
    return f'"{value}"' if "'" in value else f"'{value}'"


def _seniority(run: Run) -> tuple[int, str]:
    # MLflow's own start time is the training's and the same for both; the id decides a tie.
    return int(run.data.tags.get("created_ns", 0)), run.info.run_id


def _write(path: Path, content: bytes | Path) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content if isinstance(content, bytes) else content.read_bytes())


def persistent(act: Callable[[], T], attempts: int = 6) -> T:
    """Retry with backoff while the database is locked by another writer; ``act`` is idempotent.

    SQLite itself waits 20 s for a lock (mlflow/store/db/utils.py:155), then MLflow raises.
    """
    for attempt in range(attempts - 1):
        try:
            return act()
        except MlflowException as error:
            if error.error_code not in _TRANSIENT:
                raise
            # With jitter, or two writers that met would meet again.
            time.sleep(random.uniform(0.5, 1.0) * 0.1 * 2**attempt)
    return act()


@contextlib.contextmanager
def translated(uri: str) -> Iterator[None]:
    """Turn what MLflow and its database raise into a :class:`TrackingError` of one line."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        damaged = schema.damage(uri, error)
        raise TrackingError(damaged or f"{location.shown(uri)}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    status = error.get_http_status_code() if isinstance(error, MlflowException) else 0
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return _REFUSALS.get(status, lines[0][:300])


def _open_database(uri: str) -> Any:
    """Open a database as ``mlflow server`` does; make its tables once, and never migrate it."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    file = location.sqlite_file(uri)
    if file is not None:
        make_sqlite(file)
        schema.refuse_unusable(uri)
        return SqlAlchemyStore(uri, PROXIED_ROOT)
    with _one_at_a_time(uri):
        schema.refuse_unusable(uri)
        return SqlAlchemyStore(uri, PROXIED_ROOT)


def make_sqlite(file: Path) -> None:
    """Make an empty MLflow database atomically, unless there is one.

    The tables are made in a file beside it, which is then renamed: a process that is killed leaves
    no half-made database. Under a lock, because two that make tables at the same time fail with
    "database is locked".
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(str(file).encode()).hexdigest()[:16]
    # On the local disk: network file systems do not lock reliably.
    with FileLock(Path(tempfile.gettempdir(), f"adambias-{os.getuid()}-{name}.lock")):
        if file.exists():  # made by another process while this one waited for the lock
            return
        # Whoever left these was killed, as whoever makes tables holds the lock.
        for left in file.parent.glob(f".{glob.escape(file.name)}.*"):
            left.unlink()
        # Not over a database that an mlflow server, which knows no lock of ours, has made since.
        with replacing(file, overwrite=False) as new:
            store = SqlAlchemyStore(f"sqlite:///{new}", PROXIED_ROOT)
            store.engine.dispose()


@contextlib.contextmanager
def _one_at_a_time(uri: str) -> Iterator[None]:
    """Let one client of a PostgreSQL database make its tables while the others wait."""
    if location.scheme(uri) != "postgresql":
        yield
        return
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool)
    # The lock is the connection's: it is given back when that closes, however the process ends.
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(20230913)"))
        yield
