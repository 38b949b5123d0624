"""The worker's endless loops. Only here are unexpected errors logged, then retried after a backoff."""

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
    """Repeats the steps of loops. A step handles the errors it expects; any exception that leaves it is unexpected.

    `broken` is called when a step of a `vital` loop, without which no request is answered, has failed `MOST_IN_A_ROW`
    times without a success in between. It must end the worker. The loop itself continues until it is cancelled, because
    running requests must first be answered or handed back.
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
        """Await `step` repeatedly until `until` is set or this task is cancelled."""
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
