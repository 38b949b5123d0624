"""One HTTP request to one of the checked addresses; no name is looked up.

The certificate and the Host header must still match the host's name.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import httpcore

from sentinel_worker.sources.addresses import Address
from sentinel_worker.sources.egress_policy import Target
from sentinel_worker.sources.url_errors import unusable

CONNECT_SECONDS: Final = 10.0
MAX_ADDRESSES: Final = 4
MAX_HEAD_BYTES: Final = 64 * 1024
"""Limit for everything before the body, including informational responses."""
_HEAD_READ_BYTES: Final = 1024
"""Bytes per read: they hold up to 57 informational responses, and h11 makes an object of each in the event loop."""


class _Head(httpcore.AsyncNetworkStream):
    """Reads in small blocks and up to a limit until `end` is called, yielding to the event loop before each read.

    Streams suspend only when no data is available, so a fast server could otherwise monopolize the loop.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream, host: str) -> None:
        self._stream = stream
        self._host = host
        self._ended = False
        self._left_bytes = MAX_HEAD_BYTES

    def end(self) -> None:
        """Lift the limits: the body follows, which has its own."""
        self._ended = True

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the interface's
        await asyncio.sleep(0)
        if self._ended:
            return await self._stream.read(max_bytes, timeout)
        if self._left_bytes <= 0:
            raise unusable(self._host, f"sends more than {MAX_HEAD_BYTES} bytes before the file")
        block = await self._stream.read(min(max_bytes, _HEAD_READ_BYTES), timeout)
        self._left_bytes -= len(block)
        return block

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the interface's
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
    ) -> httpcore.AsyncNetworkStream:
        self._stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        return self

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _CheckedAddresses(httpcore.AsyncNetworkBackend):
    """Connects to one of `addresses`, ignoring the requested name."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses[:MAX_ADDRESSES]
        self._network = httpcore.AnyIOBackend()
        self.opened: _Head | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in self._addresses:
            try:
                stream = await self._network.connect_tcp(str(address), port, timeout=CONNECT_SECONDS)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                self.opened = _Head(stream, host)
                return self.opened
        raise failure or httpcore.ConnectError("no address")

    async def close(self) -> None:
        """Close the connection: httpcore leaves it open if its TLS handshake was cancelled."""
        if self.opened is not None:
            await self.opened.aclose()


@asynccontextmanager
async def answer(
    target: Target, addresses: Sequence[Address], tls: ssl.SSLContext, headers: Sequence[tuple[str, str]]
) -> AsyncIterator[httpcore.Response]:
    """Send a GET in HTTP/1.1 and yield the response, its body unread; the connection closes when the block ends.

    `addresses` are the result of `Egress.resolve` for `target`. Raises `Permanent('url_unusable')` if the head is too
    long, and httpcore's errors.
    """
    network, url = _CheckedAddresses(addresses), _url_of(target)
    try:
        async with (
            httpcore.AsyncHTTPConnection(origin=url.origin, ssl_context=tls, network_backend=network) as connection,
            connection.stream("GET", url, headers=headers) as response,
        ):
            assert network.opened is not None
            network.opened.end()
            yield response
    finally:
        await network.close()


def _url_of(target: Target) -> httpcore.URL:
    """Convert the target to httpcore's form part by part, so that nothing is parsed twice."""
    return httpcore.URL(
        scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.resource
    )
