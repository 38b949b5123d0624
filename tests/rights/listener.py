"""A WebSocket to /realtime/v1 that keeps every frame by topic."""

import asyncio
import json
from collections import defaultdict
from itertools import count
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect

from sentinel_local_supabase.keys import ProjectKeys
from tests.rights.world import ANON, SERVICE, Identity

PATIENCE_SECONDS = 30.0
Frame = dict[str, Any]


class Listener:
    """Client for protocol version 1 as one identity; `url` is the gateway's."""

    def __init__(self, url: str, identity: Identity, keys: ProjectKeys) -> None:
        apikey = keys.secret_key if identity is SERVICE else keys.publishable_key
        self._address = f"{url.replace('http', 'ws', 1)}/realtime/v1/websocket?apikey={apikey}&vsn=1.0.0"
        self._token = None if identity in (ANON, SERVICE) else identity.token(keys)
        self._refs = count(1)
        self._joins: dict[str, str] = {}
        self._connection: ClientConnection
        self._reading: asyncio.Task[None]
        self._arrived = asyncio.Condition()
        self._frames: dict[str, list[Frame]] = defaultdict(list)

    async def __aenter__(self) -> Self:
        self._connection = await connect(self._address, max_size=None, compression=None)
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()
        await self._reading

    async def join(self, topic: str, *bindings: Frame, private: bool = False) -> bool:
        """Join a topic; return True if it was allowed."""
        config = {"broadcast": {"self": False}, "private": private, "postgres_changes": list(bindings)}
        payload: Frame = {"config": config} | ({"access_token": self._token} if self._token else {})
        self._joins[topic] = await self._send(topic, "phx_join", payload)
        reply = await self.until(topic, lambda frame: frame["ref"] == self._joins[topic])
        return bool(reply["payload"]["status"] == "ok")

    async def broadcast(self, topic: str, event: str) -> None:
        """Broadcast on a joined topic; the server has handled it when this call returns."""
        await self._send(topic, "broadcast", {"type": "broadcast", "event": event, "payload": {}})
        beat = await self._send("phoenix", "heartbeat", {}, bare=True)
        await self.until("phoenix", lambda frame: frame["ref"] == beat, bare=True)

    async def until(self, topic: str, is_wanted: Any, *, bare: bool = False) -> Frame:
        """Return the first frame of the topic that `is_wanted`, already received or yet to come."""
        name = topic if bare else f"realtime:{topic}"
        async with asyncio.timeout(PATIENCE_SECONDS), self._arrived:
            while True:
                for frame in self._frames[name]:
                    if is_wanted(frame):
                        return frame
                await self._arrived.wait()

    def frames(self, topic: str, event: str) -> list[Frame]:
        """Return the payloads of received frames of one event on a topic."""
        return [frame["payload"] for frame in self._frames[f"realtime:{topic}"] if frame["event"] == event]

    async def _send(self, topic: str, event: str, payload: Frame, *, bare: bool = False) -> str:
        ref = str(next(self._refs))
        frame: Frame = {"topic": topic if bare else f"realtime:{topic}", "event": event, "payload": payload, "ref": ref}
        if not bare:
            frame["join_ref"] = ref if event == "phx_join" else self._joins[topic]
        await self._connection.send(json.dumps(frame))
        return ref

    async def _read(self) -> None:
        async for raw in self._connection:
            frame = json.loads(raw)
            async with self._arrived:
                self._frames[frame["topic"]].append(frame)
                self._arrived.notify_all()
