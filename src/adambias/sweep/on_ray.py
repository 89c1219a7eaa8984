"""Run assignments on Ray Tune: Tune schedules and restarts, the ledger remembers.

Tune is never asked to restore a sweep: it cannot extend a grid (ray/tune/tuner.py ``restore``), and
the ledger says what is left to do. ``R:`` stands for the source of Ray 2.60.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from adambias.config import Resources
from adambias.ledger.store import Store
from adambias.sweep.assignment import Assignment, bundles, reason_of, write_failure
from adambias.sweep.cluster import connection, demand, preflight
from adambias.sweep.progress import SweepProgress

if TYPE_CHECKING:
    from adambias.sweep.together import Together

# Tune would write each result as CSV, JSON and TensorBoard too (ray/tune/utils/callback.py).
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
# With Tune's handler, Tuner.fit returns normally on SIGINT (ray/tune/tune.py:215-244), and DVC
# would take an interrupted sweep for a finished stage.
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
# Snapshots for a restoration that is never used; one an hour shows that this driver lives.
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "3600")
# The older output, which verbose=0 silences: SweepProgress shows what runs.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# Workers would change into the trial's folder (ray/tune/trainable/trainable.py:676), where a
# relative ledger or data folder is another one.
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
# A trial without a GPU leaves CUDA_VISIBLE_DEVICES as it is (ray/_private/utils.py) and stays on
# the CPU by itself, because its assignment says so.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# Started by `uv run`, Ray would ship the working folder and run uv again on each worker.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")

REPORT_SECONDS = 10.0
"""Seconds a trial trains between two reports to the driver."""
WAIT_SECONDS = 60.0
"""Seconds between two lines that say that no trial has a worker."""
SCRATCH_SECONDS = 7 * 86400.0
"""Age at which Tune's own files are those of a driver that was killed."""
PAUSE_SECONDS = 5.0
"""Seconds that a lost store or GPU is given to come back before the trial is tried again."""


class TrainTrial(tune.Trainable):
    """A bundle of assignments as Tune sees it; a worker process trains many, one after the other.

    What Tune calls a trial is here all that a process trains side by side: in general one trial.
    """

    def setup(
        self, config: dict[str, Any], bundles: dict[str, tuple[Assignment, ...]] | None = None
    ) -> None:
        """Take the bundle that ``config`` names; nothing is read or written yet."""
        if bundles is not None:
            self._bundles = bundles
        self._bundle = self._bundles[config["key"]]
        self._together: Together | None = None
        # First, as Ray puts the driver's current folder, which may be that of another project.
        if sys.path[0] != self._bundle[0].root:
            sys.path.insert(0, self._bundle[0].root)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next bundle in the same process."""
        # A new process for each trial costs 4 s, this 0.2 s: torch stays imported, the data loaded.
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train for some seconds.

        A lost store or GPU raises, and Tune starts the bundle again in another process. Any other
        error would come again, so it is written down and ends its trial, as a result: Tune would
        retry an exception, max_failures times.
        """
        # Here, not above: this module is imported by the driver, which needs no torch.
        import torch

        from adambias.sweep.together import Together

        fatal = (OSError, torch.AcceleratorError)
        try:
            if self._together is None:
                self._together = Together(self._bundle, fatal)
            reports = self._together.advance(REPORT_SECONDS)
        except fatal as error:
            # The lost ledger is where the failure would be written.
            with contextlib.suppress(OSError):
                for assignment in self._bundle:
                    write_failure(assignment, error)
            # Backoff: without it all retries are spent within the second that a store is away.
            time.sleep(PAUSE_SECONDS)
            raise
        return {"reports": reports, "done": self._together.done}

    def cleanup(self) -> None:
        """Close the trials; Tune calls it at the end, :meth:`reset_config` before the next."""
        if self._together is not None:
            self._together.close()
            self._together = None


class _StaysHere:
    """Pickled empty: Tune pickles what it is given, for a restoration that is never used.

    What :class:`SweepProgress` holds, a lock and a terminal, cannot be pickled.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Reports(_StaysHere, tune.Callback):
    """Brings Tune's events to :class:`SweepProgress`."""

    def __init__(
        self, progress: SweepProgress, bundles: Mapping[str, tuple[Assignment, ...]]
    ) -> None:
        self._progress, self._heard = progress, time.monotonic()
        self._keys = {name: [each.job.key for each in bundle] for name, bundle in bundles.items()}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if time.monotonic() - self._heard < WAIT_SECONDS:
            return
        self._heard = time.monotonic()
        # Worth a wait: what no node could ever run has been refused by preflight.
        if not any(trial.status == "RUNNING" for trial in trials):
            self._progress.say(
                "no trial has a worker: Ray starts one, or waits for a node with room"
            )

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        for key in self._of(trial):
            self._progress.start(key)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._take(result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        # The last result may have been reported already: what comes twice counts once.
        self._take(trial.last_result)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        for key in self._of(trial):
            self._progress.lost(key, _reason(trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        for key in self._of(trial):
            self._progress.fail(key, _reason(trial))

    def _of(self, trial: Any) -> list[str]:
        """Return the keys of the bundle's trials that have not ended."""
        left = self._progress.left
        return [key for key in self._keys[_key(trial)] if key in left]

    def _take(self, result: dict[str, Any]) -> None:
        self._heard = time.monotonic()
        # One that never reported completes with a result of Tune's own, without reports.
        for key, report in result.get("reports", {}).items():
            self._progress.take(key, report)


class _Budgets(_StaysHere, tune.Stopper):
    """Stops the sweep once too many trials have failed, or its time is up and none runs."""

    def __init__(self, progress: SweepProgress, budget: int) -> None:
        self._progress, self._budget = progress, budget

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        if self._progress.out_of_time and not self._progress.running:
            return True
        return self._progress.has_failed(self._budget)


def run_on_ray(
    assignments: list[Assignment], resources: Resources, progress: SweepProgress
) -> None:
    """Run the assignments on Ray Tune.

    Joins the cluster that ``RAY_ADDRESS`` names, else starts Ray on this machine.

    Raises
    ------
    SweepError
        If there is no cluster there, it can never run a trial, or a node lacks the ledger or
        this version.
    """
    with connection(progress.say), _scratch(assignments[0].store) as scratch:
        request = demand(resources)
        preflight(request, assignments[0].store)
        # Put into Ray's object store once, from where every worker takes them.
        named = {
            each[0].job.key: each for each in bundles(assignments, resources.trials_per_process)
        }
        trainable = tune.with_parameters(TrainTrial, bundles=named)
        tuner = tune.Tuner(
            # Trials ask for whole or parts of GPUs by Ray's count alone: nothing keeps them apart.
            tune.with_resources(trainable, {"cpu": request["CPU"], "gpu": request["GPU"]}),
            # Keys only: Tune writes a trial's config into every result and snapshot.
            param_space={"key": tune.grid_search(list(named))},
            tune_config=tune.TuneConfig(
                reuse_actors=True,
                max_concurrent_trials=resources.max_concurrent,
                trial_name_creator=_key,
                trial_dirname_creator=_key,
            ),
            run_config=tune.RunConfig(
                # A fresh name each time: what an earlier sweep left under it is not for this one.
                name=f"sweep-{uuid.uuid4().hex[:8]}",
                storage_path=scratch,
                callbacks=[_Reports(progress, named)],
                stop=_Budgets(progress, resources.error_budget),
                # The trial writes its own checkpoints, into the ledger.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                failure_config=tune.FailureConfig(max_failures=resources.retries),
                verbose=0,
            ),
        )
        # fit does not raise for failed trials (ray/tune/impl/tuner_internal.py:616). The caller
        # asks the ledger which trials are finished, and exits accordingly.
        tuner.fit()


def _key(trial: Any) -> str:
    return str(trial.config["key"])


def _reason(trial: Any) -> str:
    """Return the last line of what Tune has written down of the trial's failures."""
    return reason_of(Path(trial.error_file).read_text(encoding="utf-8"))


@contextlib.contextmanager
def _scratch(store: str) -> Iterator[str]:
    """Give Tune a place for its own files that every node can reach, and clear it afterwards."""
    # Tune refuses a folder of the head alone as soon as there is a second node (ray#37177).
    single = len([node for node in ray.nodes() if node["Alive"]]) == 1
    here = "://" not in store and single
    place = Store.open(tempfile.gettempdir() if here else store)
    parent, prefix = ("", "adambias-tune-") if here else (".tune", "")
    _clear_scratch(place, parent, prefix)
    # The store's URI may end in options, "?endpoint_override=...", which follow the folder's name.
    name = f"{parent}/{prefix}{uuid.uuid4().hex[:8]}".lstrip("/")
    base, _, query = place.uri.partition("?")
    if "://" not in place.uri:
        # A temporary folder is shared with other users of the machine.
        Path(base, name).mkdir(parents=True, mode=0o700)
    try:
        yield f"{base}/{name}" + (f"?{query}" if query else "")
    finally:
        with contextlib.suppress(OSError):  # what cannot be cleared now is, by a later sweep
            place.delete_folder(name)


def _clear_scratch(place: Store, parent: str, prefix: str) -> None:
    """Delete what drivers that were killed have left.

    One that lives has written there within the hour (``TUNE_GLOBAL_CHECKPOINT_S``).
    """
    for name in place.folders(parent):
        with contextlib.suppress(OSError):  # it may be another user's
            if name.startswith(prefix) and place.age(f"{parent}/{name}") > SCRATCH_SECONDS:
                place.delete_folder(f"{parent}/{name}")
