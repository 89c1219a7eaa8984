"""Standard output and error that outlive their reader and take every letter."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TextIO

_GONE = (errno.EPIPE, errno.EIO)
"""Errors of a pipe whose reader has ended, as ``head`` does, and of a terminal that was closed."""


class _Outliving(io.BufferedWriter):
    """A stream whose reader may leave: what is written from then on is dropped.

    The work goes on and the exit code stays what it would be: a sweep is not over because nobody
    watches it any more.
    """

    # Not in the raw file below: there a signal that raises between the system's write and the
    # return to the buffer would leave the buffer full, and its text would be written twice.
    def write(self, content: bytes) -> int:  # type: ignore[override]
        try:
            return super().write(content)
        except OSError as error:
            self._drop(error)
            return super().write(content)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._drop(error)
            super().flush()

    def _drop(self, error: OSError) -> None:
        """Send all that follows nowhere, if the reader is gone."""
        if error.errno not in _GONE:
            raise error
        # For programs started from here as well, which write into the same descriptor.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def outlive_readers() -> None:
    """Let standard output and error outlive their readers, and write what their encoding lacks.

    Streams that something else has put into their places stay.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _outliving(stream))


def _outliving(stream: TextIO) -> TextIO:
    try:
        raw = io.FileIO(stream.fileno(), "w", closefd=False)
    except (OSError, ValueError):  # closed, or no file at all
        return stream
    stream.flush()
    # Strict, or surrogateescape in the locale C, would raise at a letter that the encoding lacks.
    every = stream.encoding.lower().startswith("utf")
    return io.TextIOWrapper(
        _Outliving(raw),
        encoding=stream.encoding,
        errors=stream.errors if every else "backslashreplace",
        line_buffering=raw.isatty() or bool(stream.line_buffering),
    )
