"""Measures the computing between two turns of the event loop, in CPU seconds of its thread, which load leaves alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def turns() -> Iterator[list[float]]:
    """The CPU seconds of each turn so far. Expect hundreds: fewer mean that something blocked the loop."""
    seen: list[float] = []
    loop, before, over = asyncio.get_running_loop(), time.thread_time(), False

    def turn() -> None:
        nonlocal before
        now = time.thread_time()
        seen.append(now - before)
        before = now
        if not over:
            loop.call_soon(turn)

    loop.call_soon(turn)
    try:
        yield seen
    finally:
        over = True
