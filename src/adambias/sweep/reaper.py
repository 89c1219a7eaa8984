"""Kill processes once standard input ends: ``python reaper.py PID...``.

The pipe closes when the one that started this ends, however it ends.
"""

import contextlib
import sys

import psutil


def main() -> None:
    """Wait, then kill those that still are the processes they were."""
    doomed = []
    for pid in sys.argv[1:]:
        with contextlib.suppress(psutil.NoSuchProcess):
            doomed.append(psutil.Process(int(pid)))
    sys.stdin.read()
    # Those that end by themselves write their last lines first.
    _, alive = psutil.wait_procs(doomed, timeout=2.0)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


if __name__ == "__main__":
    main()
