"""Plays one recording of Realtime against a stack: repeats its sends, notes and events."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence

import httpx
import psycopg
from websockets.exceptions import ConnectionClosed

from sentinel_local_supabase.stack import Stack
from tests.contract import realtime_frames as recorded
from tests.contract.realtime_ear import Ear
from tests.contract.realtime_frames import Cue, Frame
from tests.contract.realtime_probe import Differs, probe
from tests.contract.realtime_world import BEFORE_READY, FROM_DATABASE, INSERT_MARKER, MARKERS, OVER_HTTP, STATEMENTS
from tests.integration.realtime.conftest import Client
from tests.waits import until

PATIENCE_SECONDS = 15.0
MINUTE_SECONDS = 80.0
TAKES_A_MINUTE = ("06d", "09d", "10_", "14_")
_TOKEN = re.compile(r"<jwt role=(\w+)(?: sub=([0-9a-f-]+))?>")
_SLOTS = "select slot_name from pg_replication_slots where slot_name like 'supabase_realtime_replication%'"
_BURST = re.compile(r"(?:burst )?(\d+) (?:in one transaction:|inserts in one transaction)")


class Player:
    """Plays one recording. `tokens` replaces the sends' tokens in order; others are made from the recorded ones."""

    def __init__(
        self,
        stack: Stack,
        name: str,
        *,
        tokens: Sequence[str] = (),
        passes_over: frozenset[str] = frozenset(),
        connect: Callable[[str, str, str], Client] = Client,
    ) -> None:
        self.stack = stack
        self.name = name
        self.database = psycopg.connect(stack.superuser_dsn, autocommit=True)
        self.clients: dict[str, Ear] = {}
        self._connect = connect
        self._tokens = list(tokens)
        self._passes_over = passes_over
        self._payload_bytes: int | None = None
        slow = name.removeprefix("2.102.1/").startswith(TAKES_A_MINUTE)
        self._patience_seconds = MINUTE_SECONDS if slow else PATIENCE_SECONDS
        self._burst = 0
        self._asked: set[str] = set()
        self._caused: set[str] = set()
        self._ended: set[str] = set()
        self._subscribed: Frame = {}

    async def play(self) -> list[str]:
        """Play and return the differences, one a line; the first one ends the play."""
        try:
            for cue in recorded.cues(self.name):
                await self.follow(cue)
            for name in self.clients.keys() - self._ended:
                await self.finish(name)
        except Differs as difference:
            return str(difference).splitlines()
        except (ConnectionClosed, TimeoutError) as error:
            return [f"{type(error).__name__}: {error}"]
        finally:
            for ear in self.clients.values():
                await ear.client.__aexit__()
            self.database.close()
        return []

    async def follow(self, cue: Cue) -> None:
        """Carry out or expect one step."""
        match cue.kind:
            case "note":
                await self.act(cue.client, cue.note)
            case "send":
                await self.send(self.clients[cue.client].client, dict(cue.frames[0]))
            case "replies":
                await self.hear(self.clients[cue.client], self.answerable(cue.frames))
            case "changes":
                await self.change(self.clients[cue.client], cue.frames)
            case "cut":
                await self.pass_cut()

    async def act(self, client: str, note: str) -> None:
        """Carry out a note; most notes are only comments."""
        self._payload_bytes = recorded.thin_bytes(note)
        if burst := _BURST.match(note):
            self._burst = int(burst[1])
        deeds: dict[str, Callable[[], Awaitable[None]]] = {
            "GET ws": lambda: self.open(client),
            "closed code=1000": lambda: self.finish(client),
            "closed abnormally": lambda: self.expect_close(client, note.removeprefix("closed abnormally: ")),
            "client closes the websocket": lambda: self.leave(client),
            "TCP abort": lambda: self.abort(client),
            "broadcast payload": lambda: self.broadcast(client, int(note.split()[2])),
            "reconnect + join": self.stay_away,
            "pg_ctl stop": self.stack.stop_postgres,
            "PostgreSQL accepts": lambda: self.resume(client),
            "SIGTERM": self.stack.stop_gateway,
            "SIGKILL": lambda: self.stack.stop_gateway(kill=True),
            "server answers HTTP again": self.stack.start_gateway,
        }
        for beginning, deed in deeds.items():
            if note.startswith(beginning):
                await deed()
        for beginning, statement in STATEMENTS.items():
            if note.startswith(beginning):
                self.database.execute(statement.encode())

    async def stay_away(self) -> None:
        """Return only when changes written for nobody are gone, as they were after the recorded seconds."""
        await until(lambda: not self.database.execute(_SLOTS).fetchall())

    async def open(self, client: str) -> None:
        """Connect with the key of the recording."""
        key = self.stack.anon_key if "anon" in self.name or client == "B" else self.stack.service_key
        url = self.stack.url.replace("http", "ws") + "/realtime/v1"
        self._ended.discard(client)
        opened = await self._connect(url, key, "2.0.0" if "vsn2" in self.name else "1.0.0").__aenter__()
        self.clients[client] = Ear(opened, self.name, self._patience_seconds, self._passes_over)

    async def send(self, client: Client, frame: Frame) -> None:
        """Send a frame with a token of this stack in place of a recorded one."""
        payload = dict(frame["payload"])
        if "access_token" in payload:
            payload["access_token"] = self._tokens.pop(0) if self._tokens else self.token(payload["access_token"])
        self._asked.add(str(frame["ref"]))
        await client.send_frame(frame | {"payload": payload})

    def token(self, text: str) -> str:
        """Return a token for the role and user of a recorded one."""
        found = _TOKEN.fullmatch(text)
        if found is None:
            return text
        subject = {"sub": found[2]} if found[2] else {}
        return self.stack.keys.sign({"role": found[1], "exp": int(time.time()) + 3600, **subject})

    def answerable(self, frames: Sequence[Frame]) -> list[Frame]:
        """Drop replies to messages that were cut from the recording."""
        return [f for f in frames if f["event"] != "phx_reply" or str(f["ref"]) in self._asked]

    async def hear(self, ear: Ear, frames: Sequence[Frame]) -> None:
        """Receive these frames, and repeat the actions of others when their turn comes."""
        waited: list[Frame] = []
        for frame in frames:
            event = frame["payload"].get("event", "")
            if event in {*FROM_DATABASE, *OVER_HTTP} - self._caused:
                await ear.expect(waited)
                waited = []
                self._caused.add(event)
                await self.cause(event)
            if frame["event"] == "system":
                self._subscribed = frame
                if self.name in BEFORE_READY:
                    await ear.expect(waited)
                    waited = []
                    self.database.execute(BEFORE_READY[self.name].encode())
            waited.append(frame)
        await ear.expect(waited)

    async def change(self, ear: Ear, frames: Sequence[Frame]) -> None:
        """Change rows as these events report, and receive them in order; a burst has more rows than recorded."""
        more, self._burst = max(self._burst - len(frames), 0), 0
        if more:
            with self.database.transaction():
                self._do(frames)
                fill = "insert into public.analysis_requests (user_id) select null from generate_series(1, %s)"
                self.database.execute(fill, [more])
        else:
            self._do(frames)
        for frame in frames:
            await ear.expect([frame])
        await ear.expect_more(more)

    def _do(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            recorded.change(self.database, frame["payload"]["data"], self._payload_bytes)

    async def cause(self, event: str) -> None:
        """Send, as others did, the message that clients are expected to hear."""
        if event in FROM_DATABASE:
            self.database.execute(FROM_DATABASE[event].encode())
        if event in OVER_HTTP:
            body = {"messages": [{"topic": "room", "event": event, "payload": OVER_HTTP[event]}]}
            async with httpx.AsyncClient() as web:
                url, headers = f"{self.stack.url}/realtime/v1/api/broadcast", {"apikey": self.stack.secret_key}
                (await web.post(url, json=body, headers=headers)).raise_for_status()

    async def finish(self, name: str) -> None:
        """End a connection: its client closes it with nothing left to receive, or the server closes it."""
        if name in self._ended:
            return
        ear = self.clients[name]
        self._ended.add(name)
        if self._passes_over:
            await ear.expect_close()
            return
        await self.catch_up()
        await ear.expect_nothing()

    async def catch_up(self) -> None:
        """Wait until all row changes are delivered: a later one has arrived elsewhere."""
        url, key, row = self.stack.url.replace("http", "ws") + "/realtime/v1", self.stack.service_key, uuid.uuid4()
        binding = {"event": "INSERT", "schema": "public", "table": MARKERS, "filter": f"id=eq.{row}"}
        async with Client(url, key) as other:
            await other.subscribe("realtime:markers", binding, token=key)
            self.database.execute(INSERT_MARKER.encode(), [row])
            await other.receive("postgres_changes", seconds=self._patience_seconds)

    async def expect_close(self, client: str, recorded_text: str) -> None:
        """Expect the server, or an abort, to end the connection as recorded."""
        self._ended.add(client)
        await self.clients[client].expect_close(recorded_text)

    async def leave(self, client: str) -> None:
        """Close the connection."""
        self._ended.add(client)
        await self.clients[client].client.__aexit__()

    async def abort(self, client: str) -> None:
        """End the connection without a closing handshake."""
        self.clients[client].client.connection.transport.abort()

    async def broadcast(self, client: str, size: int) -> None:
        """Send a broadcast that was too long to be recorded."""
        payload = {"type": "broadcast", "event": "e", "payload": {"d": recorded.long_text(size, "x")}}
        frame = {"topic": "realtime:bb", "event": "broadcast", "payload": payload, "ref": str(size), "join_ref": "1"}
        await self.send(self.clients[client].client, frame)

    async def resume(self, client: str) -> None:
        """Start PostgreSQL, and insert rows until one arrives; all later rows must arrive."""
        await self.stack.start_postgres()
        self.database.close()
        self.database = psycopg.connect(self.stack.superuser_dsn, autocommit=True)
        await self.probe(self.clients[client], every_seconds=0.25)

    async def pass_cut(self) -> None:
        """Repeat what happened in the gap of a recording."""
        if "publication_changed" in self.name:
            await self.clients[""].expect([self._subscribed])
        else:  # the rate limit has been exceeded
            await self.probe(self.clients[""], every_seconds=1.0, loses=True)

    async def probe(self, ear: Ear, *, every_seconds: float, loses: bool = False) -> None:
        """Insert rows until one arrives."""
        patience = self._patience_seconds
        await probe(ear.client, self.database, every_seconds=every_seconds, patience_seconds=patience, loses=loses)
