"""One joined topic of one connection: its rights, its subscription, its token's end."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sentinel_worker.local.database import Pool
from sentinel_worker.local.keys import Keys
from sentinel_worker.local.realtime.bindings import binding_id
from sentinel_worker.local.realtime.changes import Changes, Subscription
from sentinel_worker.local.realtime.frames import Broadcast, Frame, dumps
from sentinel_worker.local.realtime.tokens import OPAQUE_PREFIX, Claims, TokenRefused, verify
from sentinel_worker.local.realtime.topics import Refused, Rights, Topics, rights_on

TOPIC_PREFIX: Final = "realtime:"
LONGEST_CHECK_SECONDS: Final = 300.0
LARGEST_BROADCAST_BYTES: Final = 3_000_000


@dataclass(frozen=True, slots=True)
class Services:
    """What every channel of a server shares."""

    keys: Keys
    pool: Pool
    topics: Topics
    changes: Changes


class Outlet(Protocol):
    """The connection, as its channels see it. None of these calls block."""

    def push(self, topic: str, event: str, payload: str, ref: str | None = None, join_ref: str | None = None) -> None:
        """Queue a message; `payload` is JSON text."""

    def push_broadcast(self, topic: str, broadcast: Broadcast) -> None:
        """Queue a broadcast."""


class Channel:
    """Made by `join`; ended by `close`, or by itself (then `on_end` is called) when its token ends."""

    def __init__(self, outlet: Outlet, services: Services, frame: Frame, on_end: Callable[["Channel"], None]) -> None:
        config = frame.payload.get("config")
        config = config if isinstance(config, dict) else {}
        broadcast = config.get("broadcast") or {}
        self.topic = frame.topic
        self.name = frame.topic.removeprefix(TOPIC_PREFIX)
        self.join_ref = frame.join_ref or frame.ref
        self._outlet = outlet
        self._services = services
        self._on_end = on_end
        self._private = bool(config.get("private"))
        self._acknowledges = bool(broadcast.get("ack"))
        self._hears_itself = bool(broadcast.get("self"))
        self._has_presence = bool((config.get("presence") or {}).get("enabled"))
        self._wishes: list[dict[str, Any]] = [w for w in config.get("postgres_changes") or [] if isinstance(w, dict)]
        self._rights = Rights()
        self._token = ""
        self._claims: Claims | None = None
        self._subscription: Subscription | None = None
        self._expiry: asyncio.TimerHandle | None = None

    async def join(self, token: str) -> dict[str, Any]:
        """Check token and rights; the response of the join reply. Raises Refused or TokenRefused."""
        await self._accept_token(token)
        self._services.topics.listen(self.name, self._private, self._hear)
        return {"postgres_changes": [wish | {"id": binding_id(wish)} for wish in self._wishes]}

    def begin(self) -> None:
        """What follows a join reply: the state of presence, and the check of the bindings."""
        if self._has_presence:
            self._outlet.push(self.topic, "presence_state", "{}", None, self.join_ref)
        self._subscribe()

    async def receive(self, frame: Frame) -> None:
        """Act on a client's message that carries this channel's join_ref."""
        match frame.event:
            case "broadcast":
                self._broadcast(frame)
            case "access_token":
                await self._renew_token(frame.payload.get("access_token"))
            case "presence":
                self._reply(frame, "ok")
            case _:
                pass

    def close(self) -> None:
        """Stop everything of this channel; nothing is sent."""
        self._services.topics.unlisten(self.name, self._private, self._hear)
        if self._subscription is not None:
            self._services.changes.remove(self._subscription)
        if self._expiry is not None:
            self._expiry.cancel()

    def _hear(self, broadcast: Broadcast) -> None:
        if self._rights.broadcast_read:
            self._outlet.push_broadcast(self.topic, broadcast)

    def _broadcast(self, frame: Frame) -> None:
        payload = frame.binary if frame.binary is not None else dumps(frame.payload.get("payload"))
        if len(payload) > LARGEST_BROADCAST_BYTES:
            if self._acknowledges:
                self._outlet.push(
                    self.topic,
                    "phx_reply",
                    '{"status":"error","response":"payload_size_exceeded"}',
                    frame.ref,
                    self.join_ref,
                )
            return
        if not self._rights.broadcast_write:
            return
        broadcast = Broadcast(str(frame.payload.get("event", "")), payload)
        self._services.topics.publish(
            self.name, self._private, broadcast, but=None if self._hears_itself else self._hear
        )
        if self._acknowledges:
            self._reply(frame, "ok")

    def _subscribe(self) -> None:
        if not self._wishes or self._claims is None:
            return
        subscription = Subscription(self._wishes, self._claims, self._announce, self._deliver)
        self._services.changes.add(subscription, instead_of=self._subscription)
        self._subscription = subscription

    def _announce(self, ok: bool, message: str) -> None:
        self._system("ok" if ok else "error", message, "postgres_changes")

    def _deliver(self, event: str, ids: list[int]) -> None:
        self._outlet.push(self.topic, "postgres_changes", f'{{"data":{event},"ids":{dumps(ids)}}}')

    async def _accept_token(self, token: str) -> None:
        claims = verify(token, self._services.keys)
        if self._private:
            had = self._rights if self._claims else None
            rights = await rights_on(self._services.pool, self.name, claims)
            if had is None and not (rights.broadcast_read or rights.presence_read):
                raise Refused(f"Unauthorized: You do not have permissions to read from this Channel topic: {self.name}")
            if had is not None and had.broadcast_read and not rights.broadcast_read:
                raise Refused(f"You no longer have permission to read from this Channel topic: {self.name}")
            self._rights = rights
        self._token, self._claims = token, claims
        self._watch_expiry()

    async def _renew_token(self, token: object) -> None:
        if not isinstance(token, str) or token.startswith(OPAQUE_PREFIX) or token == self._token:
            return
        try:
            await self._accept_token(token)
        except (Refused, TokenRefused) as error:
            self._shut_down(error.reason)
        else:
            self._subscribe()

    def _watch_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        assert self._claims is not None
        seconds = min(max(self._claims.expires_at - time.time(), 0.0), LONGEST_CHECK_SECONDS)
        self._expiry = asyncio.get_running_loop().call_later(seconds, self._check_expiry)

    def _check_expiry(self) -> None:
        try:
            verify(self._token, self._services.keys)
        except TokenRefused as error:
            self._shut_down(error.reason)
        else:
            self._watch_expiry()

    def _shut_down(self, reason: str) -> None:
        self._system("error", reason, "system")
        self.close()
        self._on_end(self)

    def _system(self, status: str, message: str, extension: str) -> None:
        payload = {"message": message, "status": status, "extension": extension, "channel": self.name}
        self._outlet.push(self.topic, "system", dumps(payload), None, self.join_ref)

    def _reply(self, frame: Frame, status: str) -> None:
        self._outlet.push(self.topic, "phx_reply", dumps({"status": status, "response": {}}), frame.ref, self.join_ref)
