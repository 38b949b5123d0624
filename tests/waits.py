"""Wait for what another process does and announces to nobody: a row, a file, a lock."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Final

LIMIT_SECONDS: Final = 60.0
"""Far more than it takes beside other work: only a test that has failed waits so long."""
_LOOK_EVERY_SECONDS: Final = 0.02


async def until(condition: Callable[[], object | Awaitable[object]], *, seconds: float = LIMIT_SECONDS) -> None:
    """Look again and again until `condition` (or what it awaits) is true. Raises TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while not await _value(condition()):
            # Neither the file system nor the database tells of it, and looking without a pause would slow both.
            await asyncio.sleep(_LOOK_EVERY_SECONDS)


async def _value(result: object) -> object:
    return await result if inspect.isawaitable(result) else result
