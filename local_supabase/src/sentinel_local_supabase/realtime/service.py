"""The Realtime server of the local Supabase: the protocol of Supabase Realtime 2.128.

It has channels with postgres_changes (changes.py), broadcasts between clients and from `realtime.send`
(messages.py), private channels, presence and token renewal. Delivery is at most once, as on the real server:
changes committed while nobody is subscribed are not replayed.
"""

import asyncio
import contextlib
from importlib.resources import files
from typing import Any, Final, Self

import psycopg
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from sentinel_local_supabase.database import Pool
from sentinel_local_supabase.faults import Switch
from sentinel_local_supabase.json_answer import json_answer
from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.realtime.broadcast_api import UNAUTHORIZED, BroadcastApi
from sentinel_local_supabase.realtime.changes import Changes
from sentinel_local_supabase.realtime.channel_services import Services
from sentinel_local_supabase.realtime.connection_tokens import TokenRefused, token_of_key, verify
from sentinel_local_supabase.realtime.frames import Broadcast, dumps, serializer_for
from sentinel_local_supabase.realtime.messages import MessageStream
from sentinel_local_supabase.realtime.pgoutput import Row
from sentinel_local_supabase.realtime.presence import Presences
from sentinel_local_supabase.realtime.rate_limit import BROADCASTS, RateLimit
from sentinel_local_supabase.realtime.settings import RealtimeSettings
from sentinel_local_supabase.realtime.socket import Socket
from sentinel_local_supabase.realtime.topics import Topics

CONNECTIONS_FOR_RIGHTS: Final = 4
NOT_KEPT: Final = {"cache-control": "max-age=0, private, must-revalidate"}
START_LIMIT_SECONDS: Final = 20.0


class Realtime:
    """An async context manager; mount `routes` at /realtime/v1 while it is open.

    `dsn` belongs to a superuser and must stay valid when PostgreSQL restarts (TCP, not the socket folder of one
    start). PostgreSQL must be up on entry and may restart later. `faults` is read continuously: assigning its
    `now` also affects open connections and channels.
    """

    def __init__(
        self, dsn: str, keys: ProjectKeys, settings: RealtimeSettings | None = None, faults: Switch | None = None
    ) -> None:
        self._dsn = dsn
        self._keys = keys
        self._settings = settings or RealtimeSettings()
        self._pool = Pool(dsn, size=CONNECTIONS_FOR_RIGHTS)
        self._topics = Topics(RateLimit(self._settings.broadcasts_per_second, windows=BROADCASTS))
        self._changes = Changes(dsn, self._settings.changes)
        self._faults = faults or Switch()
        self._streaming = asyncio.Event()
        self._services = Services(
            keys, self._pool, self._topics, Presences(), self._changes, self._faults, self._streaming
        )
        self._sockets: set[Socket] = set()
        self._stack = contextlib.AsyncExitStack()
        self.routes: list[BaseRoute] = [
            WebSocketRoute("/websocket", self._connect),
            *BroadcastApi(keys, self._pool, self._topics).routes,
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
            on_lost=lambda: _from_thread(loop, self._streaming.clear),
        )
        stream.start()
        self._stack.push_async_callback(self._pool.close)
        self._stack.push_async_callback(asyncio.to_thread, stream.stop)
        serving = asyncio.create_task(self._changes.run())
        self._stack.push_async_callback(_cancelled, serving)
        self._faults.on_change(self._arm_all)
        async with asyncio.timeout(START_LIMIT_SECONDS):
            await self._streaming.wait()

    async def _install(self) -> None:
        parts = sorted(files(__package__).joinpath("install").iterdir(), key=lambda part: part.name)
        functions = b"".join(part.read_bytes() for part in parts)
        async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as connection:
            await connection.execute(functions)

    def _arm_all(self) -> None:
        for connection in tuple(self._sockets):
            connection.arm()

    async def _connect(self, websocket: WebSocket) -> None:
        faults = self._faults.now.realtime
        await asyncio.sleep(faults.connect_seconds)
        if faults.refuse_status is not None:
            await websocket.send_denial_response(Response(status_code=faults.refuse_status))
            return
        try:
            token = token_of_key(websocket.query_params.get("apikey"), self._keys)
            verify(token, self._keys)
        except TokenRefused as error:
            await asyncio.sleep(self._settings.refused_key_seconds)
            await websocket.send_denial_response(json_answer({"error": error.at_connect}, UNAUTHORIZED, NOT_KEPT))
            return
        await websocket.accept()
        serializer = serializer_for(websocket.query_params.get("vsn"))
        connection = Socket(websocket, serializer, token, self._services, self._settings.sockets)
        self._sockets.add(connection)
        try:
            await connection.run()
        finally:
            self._sockets.discard(connection)

    def _publish_row(self, row: Row) -> None:
        if row.get("extension") == "broadcast" and not self._topics.rate.exceeded():
            content = row.get("binary_payload")
            payload = (row["payload"] or "null") if content is None else bytes.fromhex(content.removeprefix("\\x"))
            meta = dumps({"id": row["id"]})
            broadcast = Broadcast(row["event"] or "", payload, meta, framed=True, id=row["id"])
            self._topics.publish(row["topic"] or "", row["private"] == "t", broadcast)


def _from_thread(loop: asyncio.AbstractEventLoop, call: Any, *arguments: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: no listeners are left
        loop.call_soon_threadsafe(call, *arguments)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
