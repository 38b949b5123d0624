"""An HTTP connection to addresses that were checked, which looks no name up.

The host's name is still what the certificate must be for, and what the Host header says.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
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
                return await self._network.connect_tcp(str(address), port, timeout=CONNECT_SECONDS)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError("no address")


def connection(target: Target, addresses: Sequence[Address], tls: ssl.SSLContext) -> httpcore.AsyncHTTPConnection:
    """Opens at its first request, HTTP/1.1 alone. `addresses` are what `Egress.resolve` answered for `target`."""
    return httpcore.AsyncHTTPConnection(
        origin=url_of(target).origin, ssl_context=tls, network_backend=_CheckedAddresses(addresses)
    )


def url_of(target: Target) -> httpcore.URL:
    """The target in httpcore's form, part by part: nothing is read a second time."""
    return httpcore.URL(
        scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.resource
    )
