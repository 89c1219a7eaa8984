"""Trials that one process trains side by side, each an epoch in turn.

On a GPU each trial's kernels go to a CUDA stream of its own: small networks leave most of a GPU
idle, and several of them fill it. Their results are those of trials that are trained alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from adambias.core.errors import FolderError
from adambias.sweep.assignment import Assignment, reason_of, write_failure
from adambias.sweep.worker import ActiveTrial


class Together:
    """Trials under way in one process; one that fails ends alone.

    Parameters
    ----------
    assignments : sequence of Assignment
        The trials.
    fatal : tuple of exception types
        Errors that are not one trial's: they are raised. That a trial's own folder cannot be used
        is never one of them.
    """

    def __init__(
        self, assignments: Iterable[Assignment], fatal: tuple[type[Exception], ...]
    ) -> None:
        self._waiting, self._fatal = list(assignments), fatal
        self._active: list[ActiveTrial] = []
        self._ended: dict[str, dict[str, Any]] = {}

    def advance(self, seconds: float) -> dict[str, dict[str, Any]]:
        """Train for about ``seconds`` and return how far each trial is, by its key.

        Returns
        -------
        dict of dict
            As :meth:`adambias.sweep.worker.ActiveTrial.advance` returns it, or with the ``status``
            ``failed`` and a ``reason``, or ``unstarted``: the time was up.
        """
        self._ended = {}
        self._start()
        for trial in self._active:
            trial.training.side_by_side = len(self._active)
        going = list(self._each(self._active, lambda trial: trial.open_turn(seconds)))
        while going := [trial for trial in going if trial.goes_on()]:
            if len(going) > 1:  # one alone need not begin before it is waited for
                going = list(self._each(going, lambda trial: trial.training.start()))
            going = list(self._each(going, ActiveTrial.step))
        reports = self._each(self._active, ActiveTrial.close_turn)
        for trial, report in reports.items():
            if report["status"] != "running" or report["paused"]:
                self._drop(trial)
        return {trial.job.key: report for trial, report in reports.items()} | self._ended

    @property
    def done(self) -> bool:
        """Whether no trial is left to train."""
        return not self._waiting and not self._active

    def close(self) -> None:
        """Stop, and save nothing: what is half made must not become a checkpoint."""
        for trial in list(self._active):
            self._drop(trial)

    def _start(self) -> None:
        """Begin the trials that wait."""
        while self._waiting:
            assignment = self._waiting.pop(0)
            if assignment.seconds_left <= 0:
                self._ended[assignment.job.key] = {"status": "unstarted"}
                continue
            try:
                self._active.append(ActiveTrial(assignment))
            except Exception as error:
                self._fail(assignment, error)

    def _each(
        self, trials: list[ActiveTrial], work: Callable[[ActiveTrial], Any]
    ) -> dict[ActiveTrial, Any]:
        """Do something with each trial and return what it gave, of those that did not fail."""
        found = {}
        for trial in list(trials):
            try:
                found[trial] = work(trial)
            except Exception as error:
                self._drop(trial)
                self._fail(trial.assignment, error)
        return found

    def _fail(self, assignment: Assignment, error: Exception) -> None:
        """Write a failure down, or raise it if it is not one trial's alone."""
        if isinstance(error, self._fatal) and not isinstance(error, FolderError):
            raise error
        write_failure(assignment, error)
        reason = f"{type(error).__name__}: {reason_of(error)}"
        self._ended[assignment.job.key] = {"status": "failed", "reason": reason}

    def _drop(self, trial: ActiveTrial) -> None:
        self._active.remove(trial)
        trial.close()
