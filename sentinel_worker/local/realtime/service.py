"""The Realtime server of the local Supabase: the protocol of Supabase Realtime 2.128 on our own database.

Channels with postgres_changes (changes.py), broadcasts between clients and from `realtime.send`
(messages.py), private channels, token renewal. Presence is an empty state. Delivery is at most
once, as on the real server: what is committed while nobody is subscribed is not replayed.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Final, Self

import psycopg
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from sentinel_worker.local.database import Pool
from sentinel_worker.local.keys import Keys
from sentinel_worker.local.realtime.changes import Changes, ChangesSettings
from sentinel_worker.local.realtime.channel import Services
from sentinel_worker.local.realtime.frames import Broadcast, dumps, serializer_for
from sentinel_worker.local.realtime.messages import MessageStream
from sentinel_worker.local.realtime.pgoutput import Row
from sentinel_worker.local.realtime.socket import Socket, SocketSettings
from sentinel_worker.local.realtime.tokens import Claims, TokenRefused, token_of_key, verify
from sentinel_worker.local.realtime.topics import Refused, Topics, rights_on
from sentinel_worker.local.tokens import bearer

CONNECTIONS_FOR_RIGHTS: Final = 4
PARTITIONS_EVERY_SECONDS: Final = 3600.0
START_LIMIT_SECONDS: Final = 20.0
ACCEPTED: Final = 202
UNAUTHORIZED: Final = 401
UNPROCESSABLE: Final = 422

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RealtimeSettings:
    """Pace and limits; the defaults are those of the real server.

    A connection with a bad key is refused after `refused_key_seconds`.
    """

    changes: ChangesSettings = field(default_factory=ChangesSettings)
    sockets: SocketSettings = field(default_factory=SocketSettings)
    refused_key_seconds: float = 2.0


class Realtime:
    """An async context manager; mount `routes` at /realtime/v1 while it is entered.

    `dsn` belongs to a superuser and must stay good when PostgreSQL is restarted (TCP, not the socket
    folder of one start). PostgreSQL must be up on entry; later it may go and come.
    """

    def __init__(self, dsn: str, keys: Keys, settings: RealtimeSettings | None = None) -> None:
        self._dsn = dsn
        self._keys = keys
        self._settings = settings or RealtimeSettings()
        self._pool = Pool(dsn, size=CONNECTIONS_FOR_RIGHTS)
        self._topics = Topics()
        self._changes = Changes(dsn, self._settings.changes)
        self._services = Services(keys, self._pool, self._topics, self._changes)
        self._streaming = asyncio.Event()
        self._stack = contextlib.AsyncExitStack()
        self.routes: list[BaseRoute] = [
            WebSocketRoute("/websocket", self._connect),
            Route("/api/broadcast", self._broadcast_batch, methods=["POST"]),
            Route("/api/broadcast/{topic}/events/{event}", self._broadcast_one, methods=["POST"]),
        ]

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        await self._install()
        loop = asyncio.get_running_loop()
        stream = MessageStream(
            self._dsn,
            on_row=lambda row: _from_thread(loop, self._publish_row, row),
            on_ready=lambda: _from_thread(loop, self._streaming.set),
        )
        stream.start()
        self._stack.push_async_callback(self._pool.close)
        self._stack.push_async_callback(asyncio.to_thread, stream.stop)
        serving = asyncio.create_task(self._changes.run())
        self._stack.push_async_callback(_cancelled, serving)
        housekeeping = asyncio.create_task(self._keep_partitions())
        self._stack.push_async_callback(_cancelled, housekeeping)
        async with asyncio.timeout(START_LIMIT_SECONDS):
            await self._streaming.wait()

    async def _install(self) -> None:
        functions = files(__package__).joinpath("install.sql").read_bytes()
        async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as connection:
            await connection.execute(functions)

    async def _keep_partitions(self) -> None:
        """A partition of realtime.messages for each of the next days, as the real server's janitor makes them."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as connection:
                    await connection.execute("select realtime.keep_partitions()")
            except psycopg.OperationalError as error:
                log.warning("no partitions were made, the database is away: %s", error)
            await asyncio.sleep(PARTITIONS_EVERY_SECONDS)

    async def _connect(self, websocket: WebSocket) -> None:
        try:
            token = token_of_key(websocket.query_params.get("apikey"), self._keys)
            verify(token, self._keys)
        except TokenRefused as error:
            await asyncio.sleep(self._settings.refused_key_seconds)
            await websocket.send_denial_response(JSONResponse({"error": error.at_connect}, UNAUTHORIZED))
            return
        await websocket.accept()
        serializer = serializer_for(websocket.query_params.get("vsn"))
        await Socket(websocket, serializer, token, self._services, self._settings.sockets).run()

    def _publish_row(self, row: Row) -> None:
        if row.get("extension") == "broadcast":
            broadcast = Broadcast(row["event"] or "", row["payload"] or "null", dumps({"id": row["id"]}))
            self._topics.publish(row["topic"] or "", row["private"] == "t", broadcast)

    async def _broadcast_batch(self, request: Request) -> Response:
        try:
            messages = (await request.json())["messages"]
            batch = [(str(m["topic"]), str(m["event"]), bool(m.get("private")), dumps(m["payload"])) for m in messages]
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"errors": {"messages": ["is invalid"]}}, UNPROCESSABLE)
        return await self._publish_all(request, batch)

    async def _broadcast_one(self, request: Request) -> Response:
        try:
            payload = dumps(await request.json())
        except ValueError:
            return JSONResponse({"errors": {"payload": ["is invalid"]}}, UNPROCESSABLE)
        private = request.query_params.get("private") == "true"
        batch = [(request.path_params["topic"], request.path_params["event"], private, payload)]
        return await self._publish_all(request, batch)

    async def _publish_all(self, request: Request, batch: list[tuple[str, str, bool, str]]) -> Response:
        try:
            claims = self._sender(request)
        except TokenRefused as error:
            return JSONResponse({"error": error.at_connect}, UNAUTHORIZED)
        for topic, event, private, payload in batch:
            if not private or await self._may_write(topic, claims):
                self._topics.publish(topic, private, Broadcast(event, payload))
        return Response(status_code=ACCEPTED)

    def _sender(self, request: Request) -> Claims:
        headers = request.headers
        token = token_of_key(bearer(headers.get("authorization")) or headers.get("apikey"), self._keys)
        return verify(token, self._keys)

    async def _may_write(self, topic: str, claims: Claims) -> bool:
        try:
            return (await rights_on(self._pool, topic, claims)).broadcast_write
        except Refused:
            return False


def _from_thread(loop: asyncio.AbstractEventLoop, call: Any, *arguments: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
        loop.call_soon_threadsafe(call, *arguments)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
