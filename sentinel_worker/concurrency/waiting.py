"""Waits that end with the first of two things."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any


async def at_most(seconds: float | None, event: asyncio.Event) -> None:
    """Wait for `event`, but at most `seconds`; None means without a limit."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def unless(event: asyncio.Event, wait: Coroutine[Any, Any, None]) -> None:
    """Await `wait`, but only until `event` is set; raises what `wait` raises."""
    waits = [asyncio.ensure_future(wait), asyncio.ensure_future(event.wait())]
    try:
        ended, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()
    for one in ended:
        one.result()
