"""Waits for another process when no event is available: for a row, a file, a log line, a lock."""

from __future__ import annotations

import asyncio
import inspect
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

LIMIT_SECONDS: Final = 60.0
"""Far more than needed even under load: only a failing test waits this long."""
_LOOK_EVERY_SECONDS: Final = 0.03
_END_OF_LOG_CHARACTERS: Final = 3000

Condition = Callable[[], object | Awaitable[object]]


async def until(
    condition: Condition,
    *,
    what: str | Callable[[], str] = "the condition holds",
    limit_seconds: float = LIMIT_SECONDS,
    log: Path | None = None,
) -> None:
    """Check `condition` (or what it awaits) repeatedly until it is true.

    Raises TimeoutError after `limit_seconds`, with `what` and the end of `log` in its message.
    """
    if not await comes_true(condition, limit_seconds):
        end = log.read_text()[-_END_OF_LOG_CHARACTERS:] if log else ""
        raise TimeoutError(f"not within {limit_seconds} s: {what if isinstance(what, str) else what()}\n{end}")


async def comes_true(condition: Condition, limit_seconds: float, *, look_seconds: float = _LOOK_EVERY_SECONDS) -> bool:
    """Return True as soon as `condition` (or what it awaits) is true, False if it is not in time."""
    try:
        async with asyncio.timeout(limit_seconds):
            while not await _value(condition()):
                # No event from the file system or the database is available; checking without a pause would slow both.
                await asyncio.sleep(look_seconds)
    except TimeoutError:
        return False
    return True


async def _value(result: object) -> object:
    return await result if inspect.isawaitable(result) else result


def catches(pid: int, number: signal.Signals) -> bool:
    """True if the process has a handler for the signal."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(status["SigCgt"], 16) & 1 << number - 1)


def is_stopped(pid: int) -> bool:
    """True if a signal has stopped the process, such as SIGSTOP."""
    return "\nState:\tT" in Path(f"/proc/{pid}/status").read_text()
