"""End a command or stage well: one line for an error, and an exit code that DVC can trust."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from adambias.core import no_telemetry as telemetry
from adambias.core.errors import AdambiasError
from adambias.core.launcher import end_with_dvc
from adambias.core.output import outlive_readers


def guard(work: Callable[[], object], *, debug: bool = False) -> int:
    """Run ``work`` and return the exit code; an error becomes one line on stderr.

    Parameters
    ----------
    work : callable
        Takes nothing.
    debug : bool
        Let errors through, with their traceback.

    Returns
    -------
    int
        0 on success, 1 on an error a user can mend, 75 if a sweep's time was up, 130 if
        interrupted.
    """
    outlive_readers()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    telemetry.opt_out()
    find_code_in(Path.cwd())
    _have_a_home()
    try:
        with terminable(for_good=True):
            work()
    except (AdambiasError, OSError) as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    except KeyboardInterrupt:
        print("interrupted: what is finished is kept, run the same again", file=sys.stderr)
        return 130
    return 0


def _have_a_home() -> None:
    """Give a user without a home that of container runtimes, ``/``; Ray and MLflow ask for one.

    OpenShift runs containers as users whom the system does not know.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/"


@contextlib.contextmanager
def terminable(*, for_good: bool = False) -> Iterator[None]:
    """Make SIGTERM and SIGHUP end the work as Ctrl-C does: a preemption, and a closed terminal.

    Parameters
    ----------
    for_good : bool
        Whether the process ends after the work. A signal that comes again while it does then
        changes nothing; otherwise it would end by that signal, without its exit code.
    """
    # Python lets only the main thread set handlers; tests and notebooks may call from another.
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) in (_interrupt, _ending):
        yield
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        for each, handler in before.items():
            if handler is not signal.SIG_IGN:  # nohup's
                signal.signal(each, _interrupt)
        yield
    finally:
        for each, handler in before.items():
            if not (for_good and signal.getsignal(each) is _ending):
                signal.signal(each, handler)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    # Asked twice, as by make and by the whole process group at once, it still ends in order.
    for each in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is _interrupt:
            signal.signal(each, _ending)
    raise KeyboardInterrupt


def _ending(signum: int, frame: FrameType | None) -> None:
    """Do nothing: the end is under way. Not SIG_IGN, which programs started now would inherit."""


def find_code_in(folder: Path) -> None:
    """Let ``package.module:factory`` name a module in a folder, as ``python -m`` does here.

    A console script and a stage's script look beside themselves only. Last on the path, so that a
    file of the project hides no installed module, but before the current folder, which may be that
    of another project. Processes that this one starts inherit it.
    """
    if sys.flags.safe_path:
        return
    inherited = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    for paths in (sys.path, inherited):
        before = paths.index(here) if (here := str(Path.cwd())) in paths else len(paths)
        if str(folder) not in paths[: before + 1]:
            paths.insert(before, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join(inherited)


def run_stage(main: Callable[[], object]) -> None:
    """Run a stage's ``main`` and exit; ``ADAMBIAS_DEBUG`` set shows tracebacks.

    It ends when DVC does, however that ends: with nobody to take its result it would train on.
    """
    end_with_dvc()
    sys.exit(guard(main, debug=bool(os.environ.get("ADAMBIAS_DEBUG"))))
