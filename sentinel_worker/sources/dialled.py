"""An HTTP connection to addresses that were checked, which looks no name up.

The host's name is still what the certificate must be for, and what the Host header says.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import httpcore

from sentinel_worker.sources.addresses import Address
from sentinel_worker.sources.egress_policy import Target

CONNECT_SECONDS: Final = 10.0
MAX_ADDRESSES: Final = 4


class _CheckedAddresses(httpcore.AsyncNetworkBackend):
    """Connects to one of `addresses`, whatever name it is asked for."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses[:MAX_ADDRESSES]
        self._network = httpcore.AnyIOBackend()
        self._opened: httpcore.AsyncNetworkStream | None = None

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
                self._opened = await self._network.connect_tcp(str(address), port, timeout=CONNECT_SECONDS)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return self._opened
        raise failure or httpcore.ConnectError("no address")

    async def close(self) -> None:
        """httpcore forgets a connection whose TLS handshake was cancelled, and the event loop keeps it open."""
        if self._opened is not None:
            await self._opened.aclose()


@asynccontextmanager
async def connection(
    target: Target, addresses: Sequence[Address], tls: ssl.SSLContext
) -> AsyncIterator[httpcore.AsyncHTTPConnection]:
    """Opens at its first request, HTTP/1.1 alone. `addresses` are what `Egress.resolve` answered for `target`."""
    network = _CheckedAddresses(addresses)
    try:
        async with httpcore.AsyncHTTPConnection(
            origin=url_of(target).origin, ssl_context=tls, network_backend=network
        ) as opened:
            yield opened
    finally:
        await network.close()


def url_of(target: Target) -> httpcore.URL:
    """The target in httpcore's form, part by part: nothing is read a second time."""
    return httpcore.URL(
        scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.resource
    )
