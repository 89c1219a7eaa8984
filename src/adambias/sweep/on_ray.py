"""Orders on Ray Tune: Tune schedules and restarts, the ledger remembers."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from adambias.config import Resources
from adambias.ledger.store import Store
from adambias.sweep.assignment import Order, reason_of, write_failure
from adambias.sweep.cluster import connection, demand, preflight
from adambias.sweep.progress import Board

if TYPE_CHECKING:
    from adambias.sweep.worker import TrialRun


os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "3600")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")

REPORT_SECONDS = 10.0
"""Seconds a trial trains between two reports to the driver."""
WAIT_SECONDS = 60.0
"""Seconds without a running trial after which the wait is told, and told again."""
SCRATCH_SECONDS = 7 * 86400.0
"""Age from which Tune's own files of a sweep have no sweep any more."""
PAUSE_SECONDS = 5.0
"""Seconds that a lost store or GPU is given to come back before the trial is tried again."""


class TrainTrial(tune.Trainable):
    """One order as Tune sees it; a worker process serves many in turn."""

    def setup(self, config: dict[str, Any], orders: dict[str, Order] | None = None) -> None:
        """Take the order with the key ``config`` names; nothing is read or written yet."""
        if orders is not None:
            self._orders = orders
        self._order = self._orders[config["key"]]
        self._run: TrialRun | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next order in the same process."""
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train for some seconds.

        A lost store or GPU raises, and Tune starts the trial again in another process; any other
        error would come again, so it is written down and ends the trial.
        """
        import torch

        from adambias.sweep.worker import TrialRun

        try:
            if self._run is None:
                self._run = TrialRun(self._order)
            progress = self._run.advance(REPORT_SECONDS)
        except (OSError, torch.AcceleratorError) as error:
            with contextlib.suppress(OSError):
                write_failure(self._order, error)
            time.sleep(PAUSE_SECONDS)
            raise
        except Exception as error:
            write_failure(self._order, error)
            reason = f"{type(error).__name__}: {reason_of(error)}"
            return {"done": True, "status": "failed", "reason": reason}
        return {**progress, "done": progress["status"] != "running"}

    def cleanup(self) -> None:
        """Let the trial go."""
        if self._run is not None:
            self._run.close()
            self._run = None


class _StaysHere:
    """Tune pickles what it is given for a restoration that is never used: leave the board out."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Reports(_StaysHere, tune.Callback):
    """Brings Tune's events to the board."""

    def __init__(self, board: Board) -> None:
        self._board, self._heard = board, time.monotonic()

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if time.monotonic() - self._heard < WAIT_SECONDS:
            return
        self._heard = time.monotonic()
        if not any(trial.status == "RUNNING" for trial in trials):
            self._board.say("no trial has a worker: Ray starts one, or waits for a node with room")

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._board.start(_key(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._take(trial, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._take(trial, trial.last_result)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._board.lost(_key(trial), _reason(trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._board.fail(_key(trial), _reason(trial))

    def _take(self, trial: Any, result: dict[str, Any]) -> None:
        self._heard = time.monotonic()
        if result.get("status") == "failed":
            self._board.fail(_key(trial), result["reason"])
        elif "status" in result:
            self._board.update(_key(trial), result)


class _ErrorBudget(_StaysHere, tune.Stopper):
    """Stops everything once too many trials have failed."""

    def __init__(self, board: Board, budget: int) -> None:
        self._board, self._budget = board, budget

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._board.has_failed(self._budget)


def run_on_ray(orders: list[Order], resources: Resources, board: Board) -> None:
    """Run the orders on Ray Tune.

    Joins the cluster that ``RAY_ADDRESS`` names, else starts Ray on this machine.

    Raises
    ------
    SweepError
        If there is no cluster there, it can never run a trial, or a node lacks the ledger or
        this version.
    """
    with connection(board.say), _scratch(orders[0].store) as scratch:
        request = demand(resources)
        preflight(request, orders[0].store)
        trainable = tune.with_parameters(TrainTrial, orders={o.job.key: o for o in orders})
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": request["CPU"], "gpu": request["GPU"]}),
            param_space={"key": tune.grid_search([order.job.key for order in orders])},
            tune_config=tune.TuneConfig(
                reuse_actors=True,
                max_concurrent_trials=resources.max_concurrent,
                trial_name_creator=_key,
                trial_dirname_creator=_key,
            ),
            run_config=tune.RunConfig(
                name=f"sweep-{uuid.uuid4().hex[:8]}",
                storage_path=scratch,
                callbacks=[_Reports(board)],
                stop=_ErrorBudget(board, resources.error_budget),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                failure_config=tune.FailureConfig(max_failures=resources.retries),
                verbose=0,
            ),
        )
        tuner.fit()


def _key(trial: Any) -> str:
    return str(trial.config["key"])


def _reason(trial: Any) -> str:
    """Return the last line of what Tune has written down of the trial's failures."""
    return reason_of(Path(trial.error_file).read_text(encoding="utf-8"))


@contextlib.contextmanager
def _scratch(store: str) -> Iterator[str]:
    """Give Tune a place for its own files that every node can reach, and clear it afterwards."""
    single = len([node for node in ray.nodes() if node["Alive"]]) == 1
    here = "://" not in store and single
    place = Store.open(tempfile.gettempdir() if here else store)
    parent, prefix = ("", "adambias-tune-") if here else (".tune", "")
    _clear_scratch(place, parent, prefix)
    name = f"{parent}/{prefix}{uuid.uuid4().hex[:8]}".lstrip("/")
    base, _, query = place.uri.partition("?")
    if "://" not in place.uri:
        Path(base, name).mkdir(parents=True, mode=0o700)
    try:
        yield f"{base}/{name}" + (f"?{query}" if query else "")
    finally:
        with contextlib.suppress(OSError):
            place.delete_folder(name)


def _clear_scratch(place: Store, parent: str, prefix: str) -> None:
    """Delete what drivers that were killed have left; a living one writes there every hour."""
    for name in place.folders(parent):
        with contextlib.suppress(OSError):  # of another user
            if name.startswith(prefix) and place.age(f"{parent}/{name}") > SCRATCH_SECONDS:
                place.delete_folder(f"{parent}/{name}")
