"""Standard error that never fails and never waits long: text that cannot be written is dropped and counted.

The disk under a log may be full, its reader may have died, and a reader that no longer reads would block the whole
worker at the next line. None of that may end the worker or cost a request its lease.
"""

from __future__ import annotations

import io
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

PATIENCE_SECONDS: Final = 0.2
"""Wait for a reader that is only slow; after one wait in vain, there is none until something can be written again."""
_PIECE_BYTES: Final = select.PIPE_BUF
"""A pipe or socket that is ready takes this much without blocking."""

_STANDARD_ERROR: Final = 2

Notice = Callable[[int], str]


class LogStream(io.RawIOBase):
    """Writes to a descriptor at once, and drops what cannot be written. Any thread may write.

    `notice` returns the text about a number of dropped lines, which is written before the next line that can be.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.notice: Notice | None = None
        self._descriptor = descriptor
        self._lock = threading.RLock()
        self._lost = 0
        self._stuck = False
        self._torn = False
        self._room = select.poll()
        self._room.register(descriptor, select.POLLOUT)

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Write or drop `data`; returns its length in either case."""
        content = bytes(data)
        with self._lock:
            if not (self._told_of_lost_lines() and self._put(content)):
                self._lost += max(1, content.count(b"\n"))
        return len(content)

    def writable(self) -> bool:
        """True, always."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """True if a terminal shows the text."""
        return os.isatty(self._descriptor)

    def _told_of_lost_lines(self) -> bool:
        """Write the notice about dropped lines if there are any; returns False if that is not possible."""
        if self._lost and self.notice is not None:
            if not self._put(self.notice(self._lost).encode()):
                return False
            self._lost = 0
        return True

    def _put(self, content: bytes) -> bool:
        """Write everything, or as much as possible; returns True if it was everything."""
        whole = b"\n" + content if self._torn else content  # the rest of an earlier line is missing
        rest, deadline = memoryview(whole), time.monotonic() + PATIENCE_SECONDS
        try:
            while rest and self._has_room(deadline):
                rest = rest[os.write(self._descriptor, rest[:_PIECE_BYTES]) :]
        except OSError:  # the disk is full, the reader is dead, the descriptor is closed
            pass
        if len(rest) < len(whole):
            self._torn = bool(rest) and whole[len(whole) - len(rest) - 1] != ord("\n")
        return not rest

    def _has_room(self, deadline: float) -> bool:
        """True if a write will not block; waits for that until `deadline`. Errors are for the write to find."""
        wait = 0.0 if self._stuck else max(0.0, deadline - time.monotonic())
        self._stuck = not self._room.poll(wait * 1000)
        return not self._stuck


def protect() -> None:
    """Make standard error of this process a `LogStream`, for everything that writes to `sys.stderr` from here on.

    A standard stream that is closed becomes /dev/null: the next file or socket would take its number, and everything
    that a library prints would go there.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stderr = io.TextIOWrapper(
        LogStream(_STANDARD_ERROR), encoding="utf-8", errors="backslashreplace", write_through=True
    )


def tell_lost_lines(notice: Notice) -> None:
    """Let standard error say how many lines it has dropped, if it is protected."""
    stream = getattr(sys.stderr, "buffer", None)
    if isinstance(stream, LogStream):
        stream.notice = notice
