"""The worker's endless loops: a fault of one's own is said, waited out and tried again, here and nowhere else."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from sentinel_worker.concurrency.backoff import full_jitter_seconds
from sentinel_worker.concurrency.waiting import at_most
from sentinel_worker.domain.errors import Fatal
from sentinel_worker.observe import logs

MOST_IN_A_ROW = 5
RETRY_FIRST_SECONDS, RETRY_CAP_SECONDS = 0.5, 15.0

log = structlog.get_logger()


class Supervisor:
    """Repeats the steps of loops. What a step foresees it handles itself; any exception that leaves it is a fault.

    `broken` is called when a step of a `vital` loop, without which no request is answered, failed `MOST_IN_A_ROW` times
    without a success in between. It shall end the worker; the loop goes on until it is cancelled, as what runs has to
    be answered or handed back first.
    """

    def __init__(self, broken: Callable[[Fatal], None]) -> None:
        self._broken = broken

    async def repeat(
        self,
        name: str,
        step: Callable[[], Awaitable[object]],
        *,
        vital: bool = False,
        until: asyncio.Event | None = None,
    ) -> None:
        """Await `step` again and again, until `until` is set or this task is cancelled."""
        until = until or asyncio.Event()
        faults = 0
        while not until.is_set():
            try:
                await step()
                faults = 0
            except Exception as error:
                faults += 1
                pause = full_jitter_seconds(faults, first=RETRY_FIRST_SECONDS, cap=RETRY_CAP_SECONDS)
                log.exception(logs.UNHANDLED, where=name, in_a_row=faults, retry_seconds=round(pause, 1))
                if vital and faults == MOST_IN_A_ROW:
                    self._broken(Fatal("internal_error", _sentence(name, error)))
                await at_most(pause, until)


def _sentence(name: str, error: Exception) -> str:
    return f'The worker\'s loop "{name}" failed {MOST_IN_A_ROW} times in a row ({type(error).__name__}).'
