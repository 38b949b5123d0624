"""uvicorn's HTTP protocol on connections that the application can break."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_EXTENSION = "sentinel_local_supabase.connection"


class BreakableProtocol(H11Protocol):
    """HTTP protocol whose requests carry their TCP connection: `connection_of(scope)`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        served = self.app

        async def with_connection(scope: Scope, receive: Receive, send: Send) -> None:
            extensions = {**scope.get("extensions", {}), _EXTENSION: transport}
            await served({**scope, "extensions": extensions}, receive, send)

        self.app = with_connection


def connection_of(scope: Scope) -> asyncio.Transport:
    """Return the TCP connection of a request; closing it flushes pending writes, then sends nothing more."""
    extensions: dict[str, Any] = scope["extensions"]
    transport: asyncio.Transport = extensions[_EXTENSION]
    return transport
