"""How patient a transfer is: a server that drips is as bad as one that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MinimumSpeed:
    """At least `floor_bytes` every `stall_seconds`; `pause_seconds` × 2ⁿ between tries."""

    stall_seconds: float = 30.0
    floor_bytes: int = 256 * 1024
    pause_seconds: float = 0.5


PATIENT = MinimumSpeed()


@asynccontextmanager
async def pulse(pace: MinimumSpeed) -> AsyncIterator[Callable[[int], None]]:
    """Raise TimeoutError unless the bytes reported to what is yielded keep the pace."""
    loop, received = asyncio.get_running_loop(), 0

    def beat(count: int) -> None:
        nonlocal received
        received += count
        if received >= pace.floor_bytes:
            received = 0
            clock.reschedule(loop.time() + pace.stall_seconds)

    async with asyncio.timeout(pace.stall_seconds) as clock:
        yield beat
