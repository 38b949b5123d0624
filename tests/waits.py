"""Waits for another process when no event is available: for a row, a file, a lock."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final

LIMIT_SECONDS: Final = 60.0
"""Far more than needed even under load: only a failing test waits this long."""
_LOOK_EVERY_SECONDS: Final = 0.02


async def until(condition: Callable[[], object | Awaitable[object]], *, seconds: float = LIMIT_SECONDS) -> None:
    """Check `condition` (or what it awaits) repeatedly until it is true. Raises TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while not await _value(condition()):
            # No event from the file system or the database is available; checking without a pause would slow both.
            await asyncio.sleep(_LOOK_EVERY_SECONDS)


async def _value(result: object) -> object:
    return await result if inspect.isawaitable(result) else result
