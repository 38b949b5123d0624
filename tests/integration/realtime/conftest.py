"""Fixtures: a real PostgreSQL, the local Realtime server on a real port, and a client that sees every frame."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from websockets.asyncio.client import ClientConnection, connect

from sentinel_local_supabase.faults import Switch
from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.postgres import Postgres
from sentinel_local_supabase.realtime.service import Realtime
from sentinel_local_supabase.realtime.settings import RealtimeSettings
from tests.stacks import postgres_at

HERE = Path(__file__).parent
FAST = RealtimeSettings.at("fast", events_per_second=None)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with postgres_at(tmp_path_factory.mktemp("realtime")) as server:
        with psycopg.connect(server.dsn("supabase_admin"), autocommit=True) as connection:
            connection.execute((HERE / "schema.sql").read_bytes())
        yield server


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> ProjectKeys:
    return ProjectKeys.load(tmp_path_factory.mktemp("keys") / "keys.json")


@pytest.fixture
def sign(keys: ProjectKeys) -> Callable[..., str]:
    """Return a function that signs a role's token: `sign("authenticated", sub=…, lives_seconds=60)`."""

    def make(role: str, lives_seconds: int = 3600, **claims: Any) -> str:
        return keys.sign({"role": role, "exp": int(time.time()) + lives_seconds, **claims})

    return make


@pytest.fixture
def database(postgres: Postgres) -> Iterator[psycopg.Connection]:
    """An autocommit connection of the superuser, with empty tables."""
    with psycopg.connect(postgres.dsn("supabase_admin", tcp=True), autocommit=True) as connection:
        connection.execute("truncate public.analysis_requests, public.big_rows, public.full_rows, public.typed_rows")
        yield connection


@dataclass
class Served:
    """The server at `url`; `stop` and `start` act like a process restart: same port, only the faults are kept."""

    dsn: str
    keys: ProjectKeys
    settings: RealtimeSettings
    port: int = 0
    faults: Switch = field(default_factory=Switch)
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/realtime/v1"

    async def start(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        realtime = await self._stack.enter_async_context(Realtime(self.dsn, self.keys, self.settings, self.faults))
        app = Starlette(routes=[Mount("/realtime/v1", routes=realtime.routes)])
        config = uvicorn.Config(app, ws="websockets-sansio", lifespan="off", log_config=None, access_log=False)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))

        async def stop() -> None:
            server.should_exit = True
            await serving
            listener.close()

        self._stack.push_async_callback(stop)

    async def stop(self) -> None:
        await self._stack.aclose()


Serve = Callable[[RealtimeSettings], contextlib.AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve(postgres: Postgres, keys: ProjectKeys) -> Serve:
    @contextlib.asynccontextmanager
    async def run(settings: RealtimeSettings = FAST) -> AsyncIterator[Served]:
        served = Served(postgres.dsn("supabase_admin", tcp=True), keys, settings)
        await served.start()
        try:
            yield served
        finally:
            await served.stop()

    return run


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[Served]:
    async with serve(FAST) as served:
        yield served


class Client:
    """Client for either protocol version, frame by frame."""

    def __init__(self, url: str, apikey: str, vsn: str = "1.0.0") -> None:
        self.vsn = vsn
        self.address = f"{url}/websocket?apikey={apikey}&vsn={vsn}"
        self._ref = 0
        self.seen: list[dict[str, Any]] = []
        self.connection: ClientConnection

    async def __aenter__(self) -> Self:
        self.connection = await connect(self.address, max_size=None, ping_interval=None, compression=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()

    async def send(self, topic: str, event: str, payload: dict[str, Any], *, join_ref: str | None = None) -> str:
        """Send one message and return its ref. A join is its own join_ref."""
        self._ref += 1
        ref = str(self._ref)
        await self.send_frame(
            {
                "topic": topic,
                "event": event,
                "payload": payload,
                "ref": ref,
                "join_ref": ref if event == "phx_join" else join_ref,
            }
        )
        return ref

    async def send_frame(self, frame: dict[str, Any]) -> None:
        if self.vsn.startswith("2"):
            order = ("join_ref", "ref", "topic", "event", "payload")
            await self.connection.send(json.dumps([frame.get(name) for name in order]))
        else:
            await self.connection.send(json.dumps(frame))

    async def receive(self, event: str | None = None, *, seconds: float = 30.0) -> dict[str, Any]:
        """Return the next frame, or the next of an event; others are kept in `seen`."""
        async with asyncio.timeout(seconds):
            while True:
                frame = self._decoded(await self.connection.recv())
                self.seen.append(frame)
                if event in {None, frame["event"]}:
                    return frame

    def _decoded(self, raw: str | bytes) -> dict[str, Any]:
        if isinstance(raw, bytes):
            return {"event": "binary", "payload": raw}
        frame = json.loads(raw)
        if isinstance(frame, list):
            return dict(zip(("join_ref", "ref", "topic", "event", "payload"), frame, strict=True))
        return dict(frame)

    async def join(
        self, topic: str, *bindings: dict[str, Any], token: str | None = None, private: bool = False, **config: Any
    ) -> dict[str, Any]:
        """Join and return the reply's payload."""
        return await self.reply(await self.ask_to_join(topic, *bindings, token=token, private=private, **config))

    async def ask_to_join(
        self, topic: str, *bindings: dict[str, Any], token: str | None = None, private: bool = False, **config: Any
    ) -> str:
        """Send a join and return its ref."""
        payload: dict[str, Any] = {
            "config": {
                "broadcast": {"ack": False, "self": False},
                "presence": {"key": "", "enabled": False},
                "private": private,
                "postgres_changes": list(bindings),
                **config,
            }
        }
        if token is not None:
            payload["access_token"] = token
        return await self.send(topic, "phx_join", payload)

    async def reply(self, ref: str) -> dict[str, Any]:
        """Return the payload of the reply to a message."""
        while (reply := await self.receive("phx_reply"))["ref"] != ref:
            continue
        return dict(reply["payload"])

    async def subscribe(self, topic: str, *bindings: dict[str, Any], token: str | None = None) -> dict[str, Any]:
        """Join, wait until changes flow, and return the system message's payload."""
        reply = await self.join(topic, *bindings, token=token)
        assert reply["status"] == "ok", reply
        return dict((await self.receive("system"))["payload"])
