"""One HTTP server for all of the local Supabase: /auth/v1, /rest/v1, /storage/v1 and /realtime/v1.

`python -m sentinel_local_supabase.gateway.app` reads GatewaySettings as a line of JSON from standard input, and writes
a line `{"port": …}` once it listens. Each further line `{"number": n, "faults": …}` replaces its Faults; the reply has
that number and `"faults": "in force"` or `"refused": "the reason"`. It stops when standard input ends, so that it
cannot outlive the process that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from sentinel_local_supabase.auth.service import Auth
from sentinel_local_supabase.faults import Faults, Switch
from sentinel_local_supabase.gateway.absent_services import ABSENT_SERVICES
from sentinel_local_supabase.gateway.api_key_middleware import ApiKeyMiddleware
from sentinel_local_supabase.gateway.connection import BreakableProtocol
from sentinel_local_supabase.gateway.fault_middleware import Misbehaviour
from sentinel_local_supabase.gateway.last_resort import LastResort
from sentinel_local_supabase.gateway.settings import GatewaySettings
from sentinel_local_supabase.json_answer import json_answer
from sentinel_local_supabase.realtime.service import Realtime
from sentinel_local_supabase.realtime.settings import RealtimeSettings
from sentinel_local_supabase.rest.service import Rest
from sentinel_local_supabase.storage.service import Storage

_DRAIN_SECONDS = 5
_KEEP_ALIVE_SECONDS = 75
"""Idle timeout of Kong, Supabase's gateway."""
_LONGEST_LINE_BYTES = 1024 * 1024
_EXPOSED_HEADERS = (
    "Content-Encoding", "Content-Location", "Content-Range", "Content-Type", "Content-Length", "Date", "Location",
    "Server", "Transfer-Encoding", "Range-Unit", "Preference-Applied", "Proxy-Status", "ETag", "Last-Modified",
    "Upload-Offset", "Upload-Length", "Upload-Metadata", "Tus-Version", "Tus-Resumable", "Tus-Max-Size",
    "Tus-Extension", "X-Supabase-Api-Version", "X-Total-Count",
)  # fmt: skip


def build_app(settings: GatewaySettings, url: str, switch: Switch) -> Starlette:
    """Build the gateway as an ASGI application; `url` is its address for clients, `switch` holds its faults.

    Serve it with uvicorn and BreakableProtocol.
    """
    services: dict[str, Auth | Rest | Storage | Realtime] = {
        "/auth/v1": Auth(
            settings.auth_dsn,
            settings.keys,
            issuer=f"{url}/auth/v1",
            access_seconds=settings.access_token_seconds,
        ),
        "/rest/v1": Rest(settings.authenticator_dsn, settings.keys.jwt_secret, settings.exposed_schemas),
        "/storage/v1": Storage(
            settings.authenticator_dsn,
            settings.storage_dsn,
            settings.keys,
            settings.object_folder,
            limit_bytes=settings.object_limit_bytes,
        ),
        "/realtime/v1": Realtime(
            settings.superuser_dsn,
            settings.keys,
            RealtimeSettings.at(settings.pace, events_per_second=settings.events_per_second),
            faults=switch,
        ),
    }

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for service in services.values():
                await stack.enter_async_context(service)
            yield

    mounts = [Mount(prefix, routes=service.routes) for prefix, service in services.items()]
    with_cors = partial(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS"],
        allow_headers=["*"],
        expose_headers=_EXPOSED_HEADERS,
        max_age=3600,
    )
    return Starlette(
        routes=[*mounts, *ABSENT_SERVICES, Route("/", _root)],
        middleware=[
            Middleware(Misbehaviour, switch=switch, with_cors=with_cors),
            Middleware(with_cors),
            Middleware(LastResort),
            Middleware(ApiKeyMiddleware, keys=settings.keys),
        ],
        exception_handlers={ClientDisconnect: _client_left},
        lifespan=lifespan,
    )


async def _root(_: Request) -> Response:
    return json_answer({"message": "Sentinel's local Supabase"})


async def _client_left(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it


async def serve(lines: asyncio.StreamReader) -> None:
    """Serve with the settings of the first line and the faults of later lines, until the lines end."""
    settings = GatewaySettings.from_json((await lines.readline()).decode())
    # With an explicit protocol asyncio sets TCP_NODELAY on its connections.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        sys.exit(f"The local Supabase cannot listen on {settings.host}:{settings.port}: {error.strerror}")
    port: int = listener.getsockname()[1]
    switch = Switch()
    config = uvicorn.Config(
        build_app(settings, f"http://{settings.host}:{port}", switch),
        http=BreakableProtocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_per_message_deflate=False,  # compressed data would evade the limit for slow clients
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    server = _AnnouncingServer(config)
    leash = asyncio.create_task(_follow(lines, switch, server))
    with listener:
        await server.serve(sockets=[listener])
    leash.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await leash


class _AnnouncingServer(uvicorn.Server):
    """Writes its port to standard output."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            _say({"port": sockets[0].getsockname()[1]})


async def _follow(lines: asyncio.StreamReader, switch: Switch, server: uvicorn.Server) -> None:
    try:
        while line := await lines.readline():
            _say(_obey(line, switch))
    finally:
        server.should_exit = True


def _obey(line: bytes, switch: Switch) -> dict[str, object]:
    number = None
    try:
        message = json.loads(line)
        number = message["number"]
        switch.now = Faults.from_dict(message["faults"])
    except (ValueError, TypeError, KeyError) as error:
        return {"number": number, "refused": f"{type(error).__name__}: {error}"}
    return {"number": number, "faults": "in force"}


def _say(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def _serve_standard_input() -> None:
    lines = asyncio.StreamReader(limit=_LONGEST_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    await serve(lines)


def main() -> None:
    """Entry point of the process; see the module docstring."""
    asyncio.run(_serve_standard_input())


if __name__ == "__main__":
    main()
