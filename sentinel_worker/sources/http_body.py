"""Download of one HTTP response's body into a private file, limited in bytes and speed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpcore
import httpx

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.sources.fetched import FILE_NAME, Fetched
from sentinel_worker.sources.minimum_speed import MinimumSpeed, stall_timeout
from sentinel_worker.sources.private_file import PrivateFile
from sentinel_worker.sources.url_errors import interrupted, stalled, unusable, url_error

_BLOCK_BYTES: Final = 1024**2
_MAX_ETAG_CHARACTERS: Final = 256
_PARTS_A_TURN: Final = 64
"""h11 and httpcore take about 0.1 ms of CPU time per part, even for a chunk of one byte."""
_SMALL_PART_BYTES: Final = 512
_SMALL_PAUSE_SECONDS: Final = 0.05
"""Pause after a turn of small parts: a server that sends them costs a tenth of the event loop's time."""
_PARTS_TO_JUDGE: Final = 4096
_LEAST_PART_BYTES: Final = 64
"""Least average size once `_PARTS_TO_JUDGE` parts have arrived: no file server sends smaller parts."""


class Receiving:
    """Download of one response's body into a file."""

    def __init__(
        self,
        host: str,
        response: httpcore.Response,
        limit_bytes: int,
        on_progress: Callable[[float], None],
        minimum_speed: MinimumSpeed,
    ) -> None:
        self._host = host
        self._response = response
        self._headers = httpx.Headers(response.headers)
        self._limit_bytes = limit_bytes
        self._on_progress = on_progress
        self._minimum_speed = minimum_speed
        length = self._headers.get("content-length", "")
        self._promised = int(length) if length.isascii() and length.isdigit() else 0

    async def into(self, directory: Path) -> Fetched:
        """Read the body to its end. Raises the errors that `sources.url.fetch` lists for a response."""
        self._accept()
        async with PrivateFile.create(directory / FILE_NAME) as sink:
            try:
                async with stall_timeout(self._minimum_speed) as received:
                    await self._read(sink, received)
            except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
                raise interrupted(self._host) from error
            except TimeoutError as error:
                raise stalled(self._host) from error
            etag = self._headers.get("etag", "")[:_MAX_ETAG_CHARACTERS] or None
            return Fetched(sink.path, sink.size_bytes, sink.sha256, etag)

    def _accept(self) -> None:
        if self._response.status != httpx.codes.OK:
            raise url_error(self._host, self._response.status, self._headers)
        if self._headers.get("content-encoding", "identity").lower() != "identity":
            raise unusable(self._host, "sends the file compressed, which this worker does not accept")
        if self._promised > self._limit_bytes:
            raise self._too_large()

    async def _read(self, sink: PrivateFile, received: Callable[[int], None]) -> None:
        """Read the body and count its bytes. Content-Length is not trusted; HTTP itself reports a body cut short."""
        block, parts = bytearray(), _Parts(self._host)
        async for part in self._response.aiter_stream():
            await parts.took(len(part))
            received(len(part))
            block += part
            if sink.size_bytes + len(block) > self._limit_bytes:
                raise self._too_large()
            if len(block) >= _BLOCK_BYTES:
                await self._write(sink, block)
        await self._write(sink, block)

    async def _write(self, sink: PrivateFile, block: bytearray) -> None:
        await sink.write(bytes(block))
        block.clear()
        if self._promised:
            self._on_progress(min(1.0, sink.size_bytes / self._promised))

    def _too_large(self) -> Permanent:
        return Permanent(
            "media_too_large",
            f"The file is larger than the allowed {self._limit_bytes} bytes.",
            params={"limit": self._limit_bytes},
        )


class _Parts:
    """Yields to the event loop now and then: parts that have already arrived come without a suspension."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._count = 0
        self._size_bytes = 0
        self._before_bytes = 0

    async def took(self, size_bytes: int) -> None:
        """Count a part. Raises `Permanent('url_unusable')` if the parts are too small on average."""
        self._count += 1
        self._size_bytes += size_bytes
        if self._count % _PARTS_A_TURN:
            return
        if self._count >= _PARTS_TO_JUDGE and self._size_bytes < _LEAST_PART_BYTES * self._count:
            raise unusable(self._host, "sends the file in pieces of a few bytes")
        small = self._size_bytes - self._before_bytes < _SMALL_PART_BYTES * _PARTS_A_TURN
        self._before_bytes = self._size_bytes
        await asyncio.sleep(_SMALL_PAUSE_SECONDS if small else 0)
