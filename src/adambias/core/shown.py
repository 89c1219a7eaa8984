"""Say what takes long: a bar on a terminal, a line before and after elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def shown(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Show the progress of some work while the body does it; without a title, nothing.

    Parameters
    ----------
    title : str
        What is done.
    total : int
        How many pieces of work there are.

    Yields
    ------
    callable
        To be called after each piece, from any thread.
    """
    if not title:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed

    began = time.monotonic()
    console = Console(stderr=True, markup=False, emoji=False)
    if not console.is_terminal:
        print(f"{title}: {total} calculations", file=sys.stderr, flush=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Elapsed())
    disabled = not console.is_terminal
    # Drawn after each piece, not by a thread: processes are forked meanwhile, and one forked while
    # a thread holds the lock of standard error could never print.
    with Progress(
        *columns, console=console, auto_refresh=False, transient=True, disable=disabled
    ) as progress:
        task = progress.add_task(title, total=total)
        progress.refresh()
        yield lambda: progress.update(task, advance=1, refresh=True)
    seconds = time.monotonic() - began
    print(f"{title}: {total} calculations took {seconds:.0f} s", file=sys.stderr, flush=True)
