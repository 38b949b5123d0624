"""One generation of a Realtime connection: a fresh client and one channel, watched until the first problem.

realtime-py can look alive and be dead in many ways (a listen task that ended, a channel closed by the server's reply
to another join, a rejoin that is refused repeatedly). So nothing is repaired: the whole generation is discarded.
"""

import asyncio
import contextlib
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, time
from typing import Any, Final, Literal

from realtime import AsyncRealtimeChannel, AsyncRealtimeClient, RealtimeSubscribeStates
from realtime.types import RealtimePostgresChangesListenEvent as RowEvent
from websockets.exceptions import WebSocketException

from sentinel_worker.supabase_client.jwt import Token, seconds_to_live

TABLE: Final = "analysis_requests"
QUEUED: Final = "status=eq.queued"
WAKE_TOPIC: Final = "sentinel:wake"

HintName = Literal["changes", "broadcast"]


@dataclass(frozen=True, slots=True)
class ConnectionTimes:
    """All times of a supervised connection, in seconds.

    A generation must be READY within `ready` and is checked every `check`. It ends after `age` (sockets made with
    secret keys end after 24 h), or `token_margin` before its token expires if a fresher one is available. After a loss
    the backoff starts at `backoff_first` and doubles up to `backoff_cap`, with full jitter; it is at least
    `rate_limited` after a rate limit, and `refused` after a refused private join. Being READY for `health` resets it. A
    hint is missing if it has not arrived `silence` after a row. It is dead if this is so for rows over `deaf`, which is
    longer than the minute of Realtime's rate limits; `deaf_cap` limits the doubling of `deaf`.
    """

    ready: float = 15.0
    check: float = 10.0
    age: float = 12 * 3600.0
    token_margin: float = 300.0
    backoff_first: float = 0.5
    backoff_cap: float = 60.0
    rate_limited: float = 30.0
    refused: float = 300.0
    health: float = 60.0
    silence: float = 3.0
    deaf: float = 90.0
    deaf_cap: float = 3600.0
    close: float = 5.0


@dataclass(frozen=True, slots=True)
class Access:
    """URL and credentials of a connection; see `Wakeup`."""

    url: str
    api_key: str | Callable[[], str]
    token: Token

    def current_api_key(self) -> str:
        """Return the key to connect with."""
        return self.api_key() if callable(self.api_key) else self.api_key

    def current_token(self) -> str | None:
        """Return the JWT to join with, or None to use the key's role."""
        return self.token() if callable(self.token) else self.token


class Generation:
    """One connection for one hint. `on_hint` is called for every hint, `on_gap` after a gap on the server.

    Call `open`, then `watch` if that returned None, then always `discard`.
    """

    def __init__(
        self,
        name: HintName,
        access: Access,
        times: ConnectionTimes,
        on_hint: Callable[[], None],
        on_gap: Callable[[], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._name = name
        self._access = access
        self._times = times
        self._on_hint = on_hint
        self._on_gap = on_gap
        self._client = AsyncRealtimeClient(access.url, access.current_api_key(), auto_reconnect=False, max_retries=1)
        self._channel: AsyncRealtimeChannel | None = None
        self._token: str | None = None
        self._ended: asyncio.Future[str] = loop.create_future()
        self._flowing: asyncio.Future[str] = loop.create_future()

    async def open(self) -> str | None:
        """Connect and join; return None once hints flow, else the reason for the failure."""
        try:
            async with asyncio.timeout(self._times.ready):
                await self._join()
                await asyncio.wait([self._flowing, self._ended], return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            return f"not ready after {self._times.ready:g} s"
        except Exception as error:  # noqa: BLE001 - the library raises bare Exceptions; a lost hint is not a crash
            return f"{type(error).__name__}: {error}"
        return self._ended.result() if self._ended.done() else None

    async def watch(self) -> str:
        """Wait for the connection's end; return the reason."""
        # The jitter keeps many workers from reconnecting at once.
        dies_at = monotonic() + self._times.age * random.uniform(0.9, 1.0)  # noqa: S311 - no secret
        while not self._ended.done():
            await asyncio.wait([self._ended], timeout=self._times.check)
            self._look(dies_at)
        return self._ended.result()

    def end(self, reason: str) -> None:
        """Make `open` or `watch` return `reason`; later reasons are ignored."""
        if not self._ended.done():
            self._ended.set_result(reason)

    async def discard(self) -> None:
        """Close for good, within a time limit, including the timers, which would rejoin on a dead socket."""
        client = self._client
        tasks = [task for task in (client._listen_task, client._heartbeat_task) if task]
        if self._channel is not None:
            self._channel.rejoin_timer.reset()
            self._channel.join_push.destroy()
            for push in self._channel.messages_waiting_for_ack.values():
                push.destroy()
        with contextlib.suppress(TimeoutError, OSError, WebSocketException):
            async with asyncio.timeout(self._times.close):
                await client.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._times.close)
        for task in tasks:
            if task.done() and not task.cancelled():
                task.exception()  # retrieved, so that asyncio does not warn that it never was

    async def _join(self) -> None:
        self._token = self._access.current_token()
        if self._token is not None:
            await self._client.set_auth(self._token)
        await self._client.connect()
        listener = self._client._listen_task
        assert listener is not None
        listener.add_done_callback(lambda _: self.end("the socket closed"))
        if self._name == "changes":
            self._channel = self._client.channel(f"{WAKE_TOPIC}:{uuid.uuid4()}")
            for event in (RowEvent.Insert, RowEvent.Update):
                self._channel.on_postgres_changes(
                    event, lambda _: self._on_hint(), table=TABLE, schema="public", filter=QUEUED
                )
            self._channel.on_system(self._on_system)
        else:
            self._channel = self._client.channel(WAKE_TOPIC, _private())
            self._channel.on_broadcast("*", lambda _: self._on_hint())
        await self._channel.subscribe(self._on_subscribe_state)

    # These callbacks run in the library's listen task, which an exception would end silently.

    def _on_subscribe_state(self, state: RealtimeSubscribeStates, error: Exception | None) -> None:
        if state is not RealtimeSubscribeStates.SUBSCRIBED:
            self.end(f"{state.value}: {error}" if error else state.value)
        elif self._name == "broadcast" and not self._flowing.done():
            self._flowing.set_result("joined")

    def _on_system(self, payload: Any) -> None:
        if payload.extension != "postgres_changes":
            return
        if self._flowing.done():
            self._on_gap()
        else:
            self._flowing.set_result(payload.message)

    def _look(self, dies_at: float) -> None:
        assert self._channel is not None
        if not self._channel.is_joined or self._client.channels.get(self._channel.topic) is not self._channel:
            self.end(f"the channel is {self._channel.state.value}")
        elif monotonic() > dies_at:
            self.end("old age")
        elif self._has_fresher_token():
            self.end("the token expires")

    def _has_fresher_token(self) -> bool:
        if self._token is None or seconds_to_live(self._token, time()) > self._times.token_margin:
            return False
        return self._access.current_token() != self._token


def _private() -> Any:
    quiet = {"broadcast": {"ack": False, "self": False}, "presence": {"key": "", "enabled": False}}
    return {"config": {**quiet, "private": True}}
