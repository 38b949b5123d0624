"""One joined topic of one connection: its rights, subscription, presence and token expiry."""

import secrets
import uuid
from collections.abc import Callable
from typing import Any, Final

from sentinel_local_supabase.realtime.bindings import binding_id
from sentinel_local_supabase.realtime.changes import SUBSCRIBED
from sentinel_local_supabase.realtime.channel_services import Outlet, Services
from sentinel_local_supabase.realtime.connection_tokens import OPAQUE_PREFIX, TokenClaims, TokenRefused, verify
from sentinel_local_supabase.realtime.expiry import ExpiryWatch
from sentinel_local_supabase.realtime.fault_injector import Alarms
from sentinel_local_supabase.realtime.frames import Broadcast, Frame, dumps
from sentinel_local_supabase.realtime.readiness import ReadinessNotice
from sentinel_local_supabase.realtime.replay import Replay
from sentinel_local_supabase.realtime.subscriptions import Subscription
from sentinel_local_supabase.realtime.topics import UNREACHABLE, Refused, TopicRights, rights_on, unauthorized

TOPIC_PREFIX: Final = "realtime:"
LARGEST_BROADCAST_BYTES: Final = 3_000_000
TOO_LARGE: Final = '{"status":"error","response":"payload_size_exceeded"}'
NO_MAP: Final = {"reason": "Presence track payload must be a map"}


class Channel:
    """A channel, opened by `join` and ended by `close`, or by the end of its token, which calls `on_end`."""

    def __init__(self, outlet: Outlet, services: Services, frame: Frame, on_end: Callable[["Channel"], None]) -> None:
        config = _map(frame.payload.get("config"))
        broadcast, presence = _map(config.get("broadcast")), _map(config.get("presence"))
        self.topic = frame.topic
        self.name = frame.topic.removeprefix(TOPIC_PREFIX)
        self.join_ref = frame.join_ref
        self._outlet = outlet
        self._services = services
        self._on_end = on_end
        self._private = bool(config.get("private"))
        self._room = (self.name, self._private)
        self._acknowledges = bool(broadcast.get("ack"))
        self._hears_itself = bool(broadcast.get("self"))
        self._replay = Replay(broadcast)
        self._wants_readiness = bool(broadcast.get("replication_ready"))
        self._has_presence = bool(presence.get("enabled"))
        self._presence_key = str(presence.get("key") or uuid.uuid4())
        self._wishes: list[dict[str, Any]] = [w for w in _list(config.get("postgres_changes")) if isinstance(w, dict)]
        self._rights = TopicRights()
        self._token = ""
        self._claims: TokenClaims | None = None
        self._subscription: Subscription | None = None
        self._expiry = ExpiryWatch(services.keys, self._shut_down)
        self._alarms = Alarms()
        self._readiness = Alarms()
        self._notice = ReadinessNotice(services.streaming, self._tell_readiness, self._shut_down)

    async def join(self, token: str) -> dict[str, Any]:
        """Check token and rights; return the response of the join reply. Raises Refused or TokenRefused."""
        await self._accept_token(token)
        if self._services.faults.now.realtime.refuse_joins:
            self.close()
            raise Refused(UNREACHABLE)
        try:
            await self._replay.load(self._services.pool, self.name, self._private, readable=self._rights.broadcast_read)
        except Refused:
            self.close()
            raise
        self._services.topics.listen(self.name, self._private, self._hear)
        self._services.presences.listen(self._room, self._hear_presence)
        return {"postgres_changes": [wish | {"id": binding_id(wish)} for wish in self._wishes]}

    def begin(self) -> None:
        """Start what follows a join reply: replayed messages, the presence state and the check of the bindings."""
        self._replay.push(self._outlet, self.topic, self.join_ref)
        if self._wants_readiness:
            self._notice.start()
        if self._has_presence and self._rights.presence_read:
            state = self._services.presences.state(self._room)
            self._outlet.push(self.topic, "presence_state", state, None, self.join_ref)
        self._subscribe()
        self.arm()

    def arm(self) -> None:
        """Schedule the active faults that depend on time."""
        faults = self._services.faults.now.realtime
        self._alarms.cancel()
        self._alarms.add(
            faults.close_channels_after_seconds, lambda: self._shut_down("Token has expired 0 seconds ago")
        )
        self._alarms.add(faults.stale_close_after_seconds, self._close_what_was_before)
        self._alarms.add(faults.ready_again_after_seconds, lambda: self._announce(True, SUBSCRIBED))
        self._alarms.add(faults.changes_error_after_seconds, self._give_up_changes)

    async def receive(self, frame: Frame) -> None:
        """Handle a client's message that carries this channel's join_ref."""
        match frame.event:
            case "broadcast":
                self._broadcast(frame)
            case "access_token":
                await self._renew_token(frame.payload.get("access_token"))
            case "presence":
                self._presence(frame)
            case _:
                pass

    def close(self) -> None:
        """Stop all activity of this channel; nothing is sent on it."""
        self._services.topics.unlisten(self.name, self._private, self._hear)
        self._services.presences.unlisten(self._room, self._hear_presence)
        self._services.presences.untrack(self._room, self)
        if self._subscription is not None:
            self._services.changes.remove(self._subscription)
        self._expiry.cancel()
        self._alarms.cancel()
        self._readiness.cancel()
        self._notice.cancel()

    def _hear(self, broadcast: Broadcast) -> None:
        if self._rights.broadcast_read and not self._replay.has(broadcast):
            self._outlet.push_broadcast(self.topic, broadcast)

    def _hear_presence(self, diff: str) -> None:
        if self._rights.presence_read:
            self._outlet.push(self.topic, "presence_diff", diff, None, self.join_ref)

    def _broadcast(self, frame: Frame) -> None:
        payload = frame.body if frame.body is not None else dumps(frame.payload.get("payload"))
        if len(payload) > LARGEST_BROADCAST_BYTES:
            if self._acknowledges:
                self._outlet.push(self.topic, "phx_reply", TOO_LARGE, frame.ref, self.join_ref)
            return
        if not self._rights.broadcast_write:
            return
        broadcast = Broadcast(str(frame.payload.get("event", "")), payload, framed=frame.body is not None)
        but = None if self._hears_itself else self._hear
        self._services.topics.publish(self.name, self._private, broadcast, but=but)
        if self._acknowledges:
            self._reply(frame, "ok")

    def _presence(self, frame: Frame) -> None:
        payload = frame.payload.get("payload", {})
        match str(frame.payload.get("event", "")).lower():
            case "":
                self._reply(frame, "ok")
            case "untrack":
                self._services.presences.untrack(self._room, self)
                self._reply(frame, "ok")
            case "track" if not self._rights.presence_write:
                self._reply(frame, "error")
            case "track" if not isinstance(payload, dict):
                self._reply(frame, "error", NO_MAP)
            case "track":
                self._services.presences.track(self._room, self, self._presence_key, payload)
                self._reply(frame, "ok")
            case _:
                self._reply(frame, "error")

    def _subscribe(self) -> None:
        if not self._wishes or self._claims is None:
            return
        former, self._subscription = (
            self._subscription,
            Subscription(self._wishes, self._claims, self._announce, self._deliver),
        )
        subscription = self._subscription
        self._readiness.cancel()
        if seconds := self._services.faults.now.realtime.ready_seconds:
            if former is not None:
                self._services.changes.remove(former)
            self._readiness.add(seconds, lambda: self._services.changes.add(subscription))
        else:
            self._services.changes.add(subscription, instead_of=former)

    def _announce(self, ok: bool, message: str) -> None:
        if self._subscription is not None:
            self._system("ok" if ok else "error", message, "postgres_changes")

    def _deliver(self, event: str, ids: list[int]) -> None:
        self._outlet.push(self.topic, "postgres_changes", f'{{"data":{event},"ids":{dumps(ids)}}}')

    async def _accept_token(self, token: str) -> None:
        claims = verify(token, self._services.keys)
        if self._private:
            had = self._rights if self._claims else None
            rights = await rights_on(self._services.pool, self.name, claims)
            reads_presence = rights.presence_read and self._has_presence
            if had is None and not (rights.broadcast_read or reads_presence):
                raise unauthorized(self.name)
            if had is not None and (
                (had.broadcast_read and not rights.broadcast_read)
                or (self._has_presence and had.presence_read and not rights.presence_read)
            ):
                raise Refused(f"You no longer have permission to read from this Channel topic: {self.name}")
            self._rights = rights
        self._token, self._claims = token, claims
        self._expiry.follow(token, claims)

    async def _renew_token(self, token: object) -> None:
        if not isinstance(token, str) or token.startswith(OPAQUE_PREFIX) or token == self._token:
            return
        try:
            await self._accept_token(token)
        except (Refused, TokenRefused) as error:
            self._shut_down(error.reason)
        else:
            self._subscribe()

    def _shut_down(self, reason: str) -> None:
        self._system("error", reason, "system")
        self.close()
        self._on_end(self)

    def _close_what_was_before(self) -> None:
        former = secrets.token_hex(4)
        self._outlet.push(self.topic, "phx_close", "{}", former, former)

    def _give_up_changes(self) -> None:
        if self._subscription is not None:
            self._services.changes.remove(self._subscription)
            self._system("error", '{:error, "Too many database timeouts"}', "postgres_changes")

    def _tell_readiness(self, message: str) -> None:
        self._system("ok", message, "system")

    def _system(self, status: str, message: str, extension: str) -> None:
        payload = {"message": message, "status": status, "extension": extension, "channel": self.name}
        self._outlet.push(self.topic, "system", dumps(payload), None, self.join_ref)

    def _reply(self, frame: Frame, status: str, response: dict[str, str] | None = None) -> None:
        reply = dumps({"status": status, "response": response or {}})
        self._outlet.push(self.topic, "phx_reply", reply, frame.ref, self.join_ref)


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
