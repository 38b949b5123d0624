"""CPU seconds of processes and threads, read from the kernel's clocks.

Linux numbers the CPU clock of every process and thread; `clock_getcpuclockid` and `pthread_getcpuclockid` of the C
library compute the same numbers. Reading one is a single system call, which needs no `/proc`, and fails cleanly for a
process that is gone.
"""

from __future__ import annotations

import threading
import time
from typing import Final

_SCHEDULED: Final = 2
_PER_THREAD: Final = 4


def of_process(pid: int) -> float | None:
    """Return the CPU seconds of a process, user and system, of all its threads; None if it is gone."""
    return _read((~pid << 3) | _SCHEDULED)


def of_thread(native_id: int) -> float | None:
    """Return the CPU seconds of a thread; None if it is gone."""
    return _read((~native_id << 3) | _PER_THREAD | _SCHEDULED)


def _read(clock: int) -> float | None:
    try:
        return time.clock_gettime(clock)
    except OSError:
        return None


class ForwardClock:
    """CPU seconds that this thread and its library's threads have used since this clock was made.

    torch spreads one forward over threads of its own, which are not Python's. So these are the CPU seconds of the
    whole process, less those of its other Python threads: the event loop, heartbeats, writers.
    """

    def __init__(self) -> None:
        self._others = _other_threads()
        self._process = time.process_time()

    @property
    def seconds(self) -> float:
        """CPU seconds so far; those of a Python thread that ended meanwhile are not told apart."""
        process = time.process_time() - self._process
        others = sum(now - self._others.get(thread, 0.0) for thread, now in _other_threads().items())
        return max(0.0, process - others)


def _other_threads() -> dict[int, float]:
    """Return the CPU seconds of this process's other Python threads, by their ids."""
    own = threading.get_native_id()
    ids = [thread.native_id for thread in threading.enumerate()]
    read = {native_id: of_thread(native_id) for native_id in ids if native_id is not None and native_id != own}
    return {native_id: seconds for native_id, seconds in read.items() if seconds is not None}
