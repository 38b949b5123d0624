"""The worker's endless loops: a fault of one's own is said, waited out and tried again, here and nowhere else."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import structlog

from sentinel_worker import logs
from sentinel_worker.backoff import full_jitter_seconds
from sentinel_worker.errors import Fatal

MOST_IN_A_ROW = 5
RETRY_FIRST_SECONDS, RETRY_CAP_SECONDS = 0.5, 15.0

log = structlog.get_logger()


class Supervisor:
    """Repeats the steps of loops. What a step foresees it handles itself; any exception that leaves it is a fault.

    `broken` is called when a step failed `MOST_IN_A_ROW` times without a success in between. It shall end the worker;
    the loop goes on until it is cancelled, as what runs has to be answered or handed back first.
    """

    def __init__(self, broken: Callable[[Fatal], None]) -> None:
        self._broken = broken

    async def repeat(
        self, name: str, step: Callable[[], Awaitable[object]], until: asyncio.Event | None = None
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
                if faults == MOST_IN_A_ROW:
                    self._broken(Fatal("internal_error", _sentence(name, error)))
                await at_most(pause, until)


async def at_most(seconds: float, event: asyncio.Event) -> None:
    """Wait for `event`, but not for longer than `seconds`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def unless(event: asyncio.Event, wait: Coroutine[Any, Any, None]) -> None:
    """Await `wait`, but not longer than until `event` is set."""
    waits = [asyncio.ensure_future(wait), asyncio.ensure_future(event.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()


def _sentence(name: str, error: Exception) -> str:
    return f'The worker\'s loop "{name}" failed {MOST_IN_A_ROW} times in a row ({type(error).__name__}).'
