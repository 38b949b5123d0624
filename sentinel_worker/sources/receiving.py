"""The body of one HTTP answer on its way into a private file, under limits of bytes and speed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpcore
import httpx

from sentinel_worker.errors import Permanent
from sentinel_worker.sources.fetched import FILE_NAME, Fetched
from sentinel_worker.sources.pace import Pace, pulse
from sentinel_worker.sources.sink import Sink
from sentinel_worker.sources.url_answers import interrupted, refusal, stalled, unusable

_BLOCK_BYTES: Final = 1024**2
_MAX_ETAG_CHARACTERS: Final = 256


class Receiving:
    """The body of one answer on its way into a file."""

    def __init__(
        self,
        host: str,
        response: httpcore.Response,
        limit_bytes: int,
        on_progress: Callable[[float], None],
        pace: Pace,
    ) -> None:
        self._host = host
        self._response = response
        self._headers = httpx.Headers(response.headers)
        self._limit_bytes = limit_bytes
        self._on_progress = on_progress
        self._pace = pace
        length = self._headers.get("content-length", "")
        self._promised = int(length) if length.isascii() and length.isdigit() else 0

    async def into(self, directory: Path) -> Fetched:
        """Read it to its end; raises what `sources.url.fetch` raises for an answer."""
        self._accept()
        async with Sink.create(directory / FILE_NAME) as sink:
            try:
                async with pulse(self._pace) as beat:
                    await self._read(sink, beat)
            except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
                raise interrupted(self._host) from error
            except TimeoutError as error:
                raise stalled(self._host) from error
            etag = self._headers.get("etag", "")[:_MAX_ETAG_CHARACTERS] or None
            return Fetched(sink.path, sink.size_bytes, sink.sha256, etag, self._headers.get("content-type"))

    def _accept(self) -> None:
        if self._response.status != httpx.codes.OK:
            raise refusal(self._host, self._response.status, self._headers)
        if self._headers.get("content-encoding", "identity").lower() != "identity":
            raise unusable(self._host, "sends the file in a compressed form, which is not unpacked here")
        if self._promised > self._limit_bytes:
            raise self._too_large()

    async def _read(self, sink: Sink, beat: Callable[[int], None]) -> None:
        """What came is counted, not what was promised: a longer body than promised is no HTTP, a shorter one is cut."""
        block = bytearray()
        async for part in self._response.aiter_stream():
            beat(len(part))
            block += part
            if sink.size_bytes + len(block) > self._limit_bytes:
                raise self._too_large()
            if len(block) >= _BLOCK_BYTES:
                await self._write(sink, block)
        await self._write(sink, block)

    async def _write(self, sink: Sink, block: bytearray) -> None:
        await sink.write(bytes(block))
        block.clear()
        if self._promised:
            self._on_progress(min(1.0, sink.size_bytes / self._promised))

    def _too_large(self) -> Permanent:
        return Permanent(
            "media_too_large",
            f"The file is larger than the {self._limit_bytes} bytes that are allowed.",
            params={"limit": self._limit_bytes},
        )
