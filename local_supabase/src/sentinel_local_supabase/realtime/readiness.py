"""The system message that tells a client that broadcasts from the database now arrive."""

import asyncio
from collections.abc import Callable
from typing import Final

LIMIT_SECONDS: Final = 60.0


class ReadinessNotice:
    """Calls `on_ready` once `streaming` is set, or `on_end` with a reason if that takes too long."""

    def __init__(
        self,
        streaming: asyncio.Event,
        on_ready: Callable[[str], None],
        on_end: Callable[[str], None],
        *,
        limit_seconds: float = LIMIT_SECONDS,
    ) -> None:
        self._streaming = streaming
        self._on_ready = on_ready
        self._on_end = on_end
        self._limit_seconds = limit_seconds
        self._waiting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to wait."""
        self._waiting = asyncio.create_task(self._wait())

    def cancel(self) -> None:
        """Stop waiting."""
        if self._waiting is not None:
            self._waiting.cancel()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._limit_seconds):
                await self._streaming.wait()
        except TimeoutError:
            self._waiting = None  # its end closes the channel, which would cancel it
            self._on_end("Replication connection was not established in time")
        else:
            self._on_ready("Replication connection established")
