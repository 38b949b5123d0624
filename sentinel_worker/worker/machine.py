"""The worker's own machine: while it lacks room, descriptors, processes or its work folder, nothing is claimed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Final

import structlog

from sentinel_worker.confine import bare_process
from sentinel_worker.confine.private_folders import WorkFolder
from sentinel_worker.domain.errors import Cancelled, CodedError, LeaseLost, Released, Transient
from sentinel_worker.domain.machine_errors import is_of_machine, machine_error, trial_error
from sentinel_worker.observe import logs

FIRST_SECONDS: Final = 1.0
CAP_SECONDS: Final = 30.0
"""Longest pause before a trial: the delay until an operator's remedy takes effect."""

log = structlog.get_logger()


class Machine:
    """Fit until an error of the machine ends a request; then fit again after a trial in `work` succeeds.

    The pause before a trial doubles with each failure until a request is answered: a small file may still fit where
    films do not. Without `work`, there are no trials and only errors that name the machine count.
    """

    def __init__(self, work: WorkFolder | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._work = work
        self._clock = clock
        self._failures = 0
        self._since = self._trial_at = 0.0
        self.fault: Transient | None = None

    @property
    def pause_seconds(self) -> float:
        """Seconds until the next trial; 0 if it is due."""
        return max(0.0, self._trial_at - self._clock())

    async def explained(self, error: Exception) -> Exception:
        """Return the machine's error if it explains why a request ended with `error`, otherwise `error`.

        A library may hide the machine's error, and a child without its folder cannot tell it, so the machine is tried.
        """
        if isinstance(error, Cancelled | Released | LeaseLost):
            return error
        fault = machine_error(error) or await self._tried()
        if fault is None:
            return error
        if fault is not error:
            fault.__cause__ = fault.__cause__ or error
        self._failed(fault)
        return fault

    @asynccontextmanager
    async def explaining(self) -> AsyncIterator[None]:
        """Raise what `explained` returns for an error of the block."""
        try:
            yield
        except Exception as met:
            if (error := await self.explained(met)) is met:
                raise
            raise error from met

    def note(self, error: CodedError) -> bool:
        """Take note of a failed call; returns True if the machine is why it failed with `error`."""
        fault = error if isinstance(error, Transient) and is_of_machine(error) else None
        if fault is not None:
            self._failed(fault)
        return fault is not None

    def answered(self) -> None:
        """Record that a request was answered, so the next pause is a short one."""
        self._failures = 0

    async def fit(self) -> bool:
        """Return True if requests may be claimed; makes a trial if it is due."""
        if self.fault is None:
            return True
        if self.pause_seconds > 0:
            return False
        fault = await self._tried(restore=True)
        if fault is not None:
            self._failed(fault)
            return False
        seconds = round(self._clock() - self._since, 1)
        log.info(logs.MACHINE_FIT, error_code=self.fault.code, unfit_seconds=seconds)
        self.fault = None
        return True

    async def _tried(self, *, restore: bool = False) -> Transient | None:
        if self._work is None:
            return None
        try:
            if restore:
                await asyncio.to_thread(self._work.restore)
            await asyncio.to_thread(self._work.try_out)
            await asyncio.to_thread(_start_process)
        except Transient as refused:
            return refused
        except (OSError, MemoryError) as error:
            return trial_error(error)
        except RuntimeError as error:
            if (fault := machine_error(error)) is None:  # it was about something other than a thread
                raise
            return fault
        return None

    def _failed(self, fault: Transient) -> None:
        """Pause until the next trial. Requests that fail together count once."""
        now = self._clock()
        if self.fault is None:
            self._since = now
            log.warning(logs.MACHINE_UNFIT, error_code=fault.code, error=fault.message)
        elif now < self._trial_at:
            return
        self.fault = fault
        self._trial_at = now + min(CAP_SECONDS, FIRST_SECONDS * 2.0 ** min(self._failures, 30))
        self._failures += 1


def _start_process() -> None:
    """Start a process, as each request does, and wait for its end.

    Python's program may be missing during an upgrade; the zygote, which forks the decoders, does not need it.
    """
    with suppress(OSError):
        bare_process.output()
