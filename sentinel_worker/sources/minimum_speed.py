"""Minimum speed of a transfer: a server that drips is as bad as one that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MinimumSpeed:
    """At least `floor_bytes` every `stall_seconds`; retries wait `pause_seconds` × 2ⁿ."""

    stall_seconds: float = 30.0
    floor_bytes: int = 256 * 1024
    pause_seconds: float = 0.5


DEFAULT_SPEED = MinimumSpeed()


@asynccontextmanager
async def stall_timeout(minimum_speed: MinimumSpeed) -> AsyncIterator[Callable[[int], None]]:
    """Raise TimeoutError if fewer than `floor_bytes` are reported to the yielded callback in `stall_seconds`."""
    loop, total = asyncio.get_running_loop(), 0

    def received(count: int) -> None:
        nonlocal total
        total += count
        if total >= minimum_speed.floor_bytes:
            total = 0
            clock.reschedule(loop.time() + minimum_speed.stall_seconds)

    async with asyncio.timeout(minimum_speed.stall_seconds) as clock:
        yield received
