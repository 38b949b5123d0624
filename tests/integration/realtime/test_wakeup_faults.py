"""The daemon's wake-ups under every fault in which Realtime is dead but looks alive."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import psycopg
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from sentinel_local_supabase.faults import Faults, RealtimeFaults
from sentinel_local_supabase.keys import ProjectKeys
from sentinel_worker.wake.silence import ROWS
from sentinel_worker.wake.wakeup import Wakeup, without_seconds
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.realtime.conftest import Served
from tests.integration.realtime.test_wakeup import INSERT, QUICK, WAKE, Watched, watching
from tests.waits import until


def misbehave(server: Served, **faults: Any) -> None:
    server.faults.now = Faults(realtime=RealtimeFaults(**faults))


def behave(server: Served) -> None:
    server.faults.now = Faults()


async def heard(watched: Watched, database: psycopg.Connection) -> None:
    """Assert that both hints arrive."""
    await watched.ready()
    for statement in (INSERT.replace("%s", "null"), WAKE):
        database.execute(statement.encode())
        await watched.woken()


@dataclass
class Cable:
    """A proxy's address in the form that `watching` expects of a server."""

    url: str


@contextlib.asynccontextmanager
async def by_cable(server: Served) -> AsyncIterator[tuple[FaultProxy, Any]]:
    async with FaultProxy(server.port).running() as proxy:
        yield proxy, Cable(f"ws://127.0.0.1:{proxy.port}/realtime/v1")


async def test_a_reset_while_idle(server: Served, keys: ProjectKeys, database: psycopg.Connection) -> None:
    async with by_cable(server) as (proxy, cable), watching(cable, keys.secret_key) as watched:
        await watched.ready()
        proxy.reset()
        await watched.woken()  # the return wakes the worker to look for rows inserted meanwhile
        for hint in watched.wakeup.hints:
            assert (await watched.logged("realtime.lost", hint))["reason"] == "the socket closed"
        await heard(watched, database)
        assert watched.generations == [2, 2]


async def test_a_half_open_connection_ends_when_a_row_was_not_announced(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    async with by_cable(server) as (proxy, cable), watching(cable, keys.secret_key) as watched:
        await watched.ready()
        proxy.silent = True
        watched.wakeup.missed(queued_seconds=0.0)  # a sweep reports this when it finds a row
        for hint in watched.wakeup.hints:
            assert "silent" in (await watched.logged("realtime.lost", hint))["reason"]
        proxy.silent = False
        proxy.reset()  # connections made during the silence stay half open
        await heard(watched, database)


async def test_a_half_open_server_is_given_up_and_tried_again(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    async with by_cable(server) as (proxy, cable):
        proxy.silent = True
        async with watching(cable, keys.secret_key, times=replace(QUICK, ready=0.3)) as watched:
            for hint in watched.wakeup.hints:
                assert "not ready after 0.3 s" in (await watched.logged("realtime.failed", hint))["reason"]
        proxy.silent = False
        async with watching(cable, keys.secret_key) as watched:
            await heard(watched, database)


@pytest.mark.parametrize("code", [1000, 1001, 1012])
async def test_a_close_by_the_server(
    server: Served, keys: ProjectKeys, database: psycopg.Connection, code: int
) -> None:
    async with watching(server, keys.secret_key) as watched:
        await watched.ready()
        misbehave(server, close_sockets_after_seconds=0.05, close_code=code)
        for hint in watched.wakeup.hints:
            await watched.logged("realtime.lost", hint)
        behave(server)
        await heard(watched, database)


@pytest.mark.parametrize("status", [401, 403, 429, 500])
async def test_a_refused_handshake_is_tried_again(
    server: Served, keys: ProjectKeys, database: psycopg.Connection, status: int
) -> None:
    misbehave(server, refuse_status=status)
    async with watching(server, keys.secret_key) as watched:
        for hint in watched.wakeup.hints:
            assert str(status) in (await watched.logged("realtime.failed", hint))["reason"]
        behave(server)
        await heard(watched, database)


async def test_a_late_reply_to_a_join_belongs_to_nobody(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    misbehave(server, join_reply_seconds=2.0)
    async with watching(server, keys.secret_key, times=replace(QUICK, ready=1.5)) as watched:
        for hint in watched.wakeup.hints:
            assert "not ready" in (await watched.logged("realtime.failed", hint))["reason"]
        behave(server)
        await heard(watched, database)
        before = watched.generations
        with contextlib.suppress(TimeoutError):  # the late replies reach connections that are gone
            await watched.changed("changes", False, seconds=0.8)
        assert watched.generations == before


async def test_an_error_after_the_subscription(server: Served, keys: ProjectKeys, database: psycopg.Connection) -> None:
    async with watching(server, keys.secret_key) as watched:
        await watched.ready()
        misbehave(server, changes_error_after_seconds=0.05)
        await watched.logged("realtime.lost", "changes")
        behave(server)
        await heard(watched, database)
        assert watched.wakeup.hints["broadcast"].generation == 1


async def test_a_stale_close_unmaps_the_channel_and_is_noticed(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    async with watching(server, keys.secret_key) as watched:
        await watched.ready()
        misbehave(server, stale_close_after_seconds=0.05)
        for hint in watched.wakeup.hints:
            await watched.logged("realtime.lost", hint)
        behave(server)
        await heard(watched, database)


async def test_heartbeats_are_answered_and_no_event_comes(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    async with watching(server, keys.secret_key) as watched:
        await watched.ready()
        misbehave(server, lose_changes=True, lose_broadcasts=True)
        database.execute(INSERT, [None])
        database.execute(WAKE)
        watched.wakeup.missed(queued_seconds=0.0)
        for hint in watched.wakeup.hints:
            assert "silent" in (await watched.logged("realtime.lost", hint))["reason"]
        behave(server)
        await heard(watched, database)


async def test_a_subscription_that_ended_without_a_word_is_renewed(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    """PostgreSQL was away for a minute: the socket lives, broadcasts come, and no row change ever will."""
    async with watching(server, keys.secret_key, times=replace(QUICK, deaf=0.0)) as watched:
        await watched.ready()
        misbehave(server, lose_changes=True)
        await claim_unannounced(watched, database, rows=ROWS)
        assert "announced none" in (await watched.logged("realtime.lost", "changes"))["reason"]
        behave(server)
        await heard(watched, database)
        assert watched.generations == [2, 1]


async def test_rows_of_an_earlier_connection_do_not_count_against_a_new_one(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    async with watching(server, keys.secret_key, times=replace(QUICK, deaf=0.0)) as watched:
        await watched.ready()
        misbehave(server, lose_changes=True)
        await claim_unannounced(watched, database, rows=ROWS - 1)
        watched.wakeup.renew()
        for hint in watched.wakeup.hints:
            assert (await watched.logged("realtime.lost", hint))["reason"] == "the key changed"
        await watched.ready()
        await claim_unannounced(watched, database, rows=ROWS - 1)
        assert watched.generations == [2, 2]
        await claim_unannounced(watched, database, rows=1)
        assert "announced none" in (await watched.logged("realtime.lost", "changes"))["reason"]


async def test_hints_that_come_after_the_claim_are_in_time(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    async with watching(server, keys.secret_key, times=replace(QUICK, silence=3.0, deaf=0.0)) as watched:
        await watched.ready()
        for _ in range(ROWS):
            watched.wakeup.claimed(monotonic())
            await heard(watched, database)
        await judged(watched)
        assert watched.generations == [1, 1]


async def claim_unannounced(watched: Watched, database: psycopg.Connection, rows: int) -> None:
    """Claim rows of which only the broadcast told, until they are weighed."""
    for _ in range(rows):
        queued_at = monotonic()
        database.execute(WAKE)
        watched.wakeup.claimed(queued_at)
        await judged(watched)


async def judged(watched: Watched) -> None:
    """Wait until every hint has been weighed by the last claim."""
    await until(lambda: not any(hint._expected for hint in watched.wakeup.hints.values()), what="both are weighed")


async def test_no_heartbeat_is_answered_and_events_come(
    server: Served, keys: ProjectKeys, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime._async.client.DEFAULT_HEARTBEAT_INTERVAL", 0.05)
    misbehave(server, ignore_heartbeats=True)
    async with watching(server, keys.secret_key) as watched:
        await heard(watched, database)
        assert watched.generations == [1, 1]


class RaisesOnce(asyncio.Event):
    """An event whose `set` raises when armed, like a bug in a callback."""

    armed = False

    def set(self) -> None:
        if self.armed:
            self.armed = False
            raise RuntimeError("a fault in a callback")
        super().set()


async def test_a_callback_that_raises_ends_its_generation(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    event = RaisesOnce()
    async with watching(server, keys.secret_key, event=event) as watched:
        await watched.ready()
        event.armed = True
        database.execute(WAKE)
        assert (await watched.logged("realtime.lost", "broadcast"))["reason"] == "the socket closed"
        await heard(watched, database)
        assert watched.generations == [1, 2]


async def test_a_row_between_the_subscription_and_readiness(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    misbehave(server, ready_seconds=2.0, lose_broadcasts=True)
    async with watching(server, keys.secret_key) as watched:
        await watched.changed("broadcast", True)
        watched.event.clear()
        assert not watched.wakeup.states["changes"]
        database.execute(INSERT, [None])
        await watched.woken()
        assert watched.wakeup.states["changes"]  # the event was lost; readiness is a wake-up


async def test_a_row_during_a_disconnect(server: Served, keys: ProjectKeys, database: psycopg.Connection) -> None:
    async with watching(server, keys.secret_key) as watched:
        await watched.ready()
        await server.stop()
        await watched.woken()
        for hint in watched.wakeup.hints:
            await watched.logged("realtime.failed", hint)
        database.execute(INSERT, [None])
        watched.event.clear()
        await server.start()
        await watched.woken()


@pytest.mark.parametrize("how", ["repeat_changes", "reorder_changes"])
async def test_odd_events_are_hints_like_any_other(
    server: Served, keys: ProjectKeys, database: psycopg.Connection, how: str
) -> None:
    misbehave(server, **{how: True})
    async with watching(server, keys.secret_key) as watched:
        await heard(watched, database)
        assert watched.generations == [1, 1]


@pytest.mark.parametrize("how", ["malform_changes", "thin_changes"])
async def test_an_event_that_the_library_drops_ends_nothing_and_the_other_hint_wakes(
    server: Served, keys: ProjectKeys, database: psycopg.Connection, how: str
) -> None:
    misbehave(server, **{how: True})
    async with watching(server, keys.secret_key) as watched:
        await watched.ready()
        database.execute(INSERT, [None])
        database.execute(WAKE)
        await watched.woken()
        behave(server)
        await heard(watched, database)


async def test_an_event_over_1_mib_closes_the_socket_and_the_return_wakes(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    async with watching(server, keys.secret_key) as watched:
        await watched.ready()
        misbehave(server, oversize_changes=True)
        database.execute(INSERT, [None])
        await watched.woken()
        await watched.logged("realtime.lost", "changes")
        behave(server)
        await heard(watched, database)
        assert watched.generations == [2, 1]


async def test_the_table_leaves_the_publication_and_comes_back(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    tables = "public.analysis_requests, public.big_rows, public.full_rows, public.no_grant, public.typed_rows"
    async with watching(server, keys.secret_key, times=replace(QUICK, silence=2.0)) as watched:
        await watched.ready()
        database.execute("alter publication supabase_realtime drop table public.analysis_requests")
        try:
            database.execute(INSERT, [None])
            watched.wakeup.missed(queued_seconds=0.0)
            database.execute(WAKE)  # the other hint works
            await watched.logged("realtime.lost", "changes")
            assert "enabled" in (await watched.logged("realtime.failed", "changes"))["reason"]
        finally:
            database.execute(f"alter publication supabase_realtime set table {tables}".encode())
        await heard(watched, database)
        assert watched.wakeup.hints["broadcast"].generation == 1


async def test_the_same_reason_for_hours_is_one_line(server: Served, keys: ProjectKeys) -> None:
    misbehave(server, refuse_status=503)
    async with watching(server, keys.secret_key) as watched:
        lines = [await watched.logged("realtime.failed", "changes") for _ in range(4)]
    assert [line["level"] for line in lines] == ["warning", "debug", "debug", "debug"]


def test_seconds_that_count_up_make_no_new_reason() -> None:
    first, later = (f"CHANNEL_ERROR: Token has expired {n} seconds ago" for n in (1, 7200))
    assert without_seconds(first) == without_seconds(later)
    assert without_seconds("HTTP 401") != without_seconds("HTTP 503")


class Phoenix:
    """A minimal server for frames that the local Realtime does not send."""

    def __init__(self) -> None:
        self.spoilt = True
        self.joins = 0
        self._joining = asyncio.Condition()

    async def converse(self, connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for raw in connection:
                message = json.loads(raw)
                topic, ref = message["topic"], message["ref"]
                if message["event"] != "phx_join":
                    await self._send(connection, topic, "phx_reply", {"status": "ok", "response": {}}, ref)
                    continue
                async with self._joining:
                    self.joins += 1
                    self._joining.notify_all()
                await self.join(connection, message)

    async def joined(self, count: int) -> None:
        """Wait until `count` joins have arrived."""
        async with asyncio.timeout(30), self._joining:
            await self._joining.wait_for(lambda: self.joins >= count)

    async def join(self, connection: ServerConnection, message: dict[str, Any]) -> None:
        topic, ref, asked = message["topic"], message["ref"], message["payload"]["config"].get("postgres_changes", [])
        bound = {"postgres_changes": [{"id": n, **binding} for n, binding in enumerate(asked)]}
        await self._send(connection, topic, "phx_reply", {"status": "ok", "response": bound}, ref)
        if self.spoilt:
            await self._send(connection, topic, "phx_error", {}, ref)
        elif asked:
            ready = {"status": "ok", "extension": "postgres_changes", "message": "Subscribed", "channel": "x"}
            await self._send(connection, topic, "system", ready, None)

    async def _send(
        self, connection: ServerConnection, topic: str, event: str, payload: dict[str, Any], ref: str | None
    ) -> None:
        await connection.send(json.dumps({"topic": topic, "event": event, "payload": payload, "ref": ref}))


class RefusingJoins(Phoenix):
    """Refuses each join because of the rate limit."""

    async def join(self, connection: ServerConnection, message: dict[str, Any]) -> None:
        if not self.spoilt:
            await super().join(connection, message)
            return
        reason = {"reason": "ClientJoinRateLimitReached: Too many joins per second"}
        refusal = {"status": "error", "response": reason}
        await self._send(connection, message["topic"], "phx_reply", refusal, message["ref"])


@contextlib.asynccontextmanager
async def phoenix(it: Phoenix) -> AsyncIterator[Any]:
    async with serve(it.converse, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield Cable(f"ws://127.0.0.1:{port}/realtime/v1")


async def test_a_phx_error_loop_is_one_attempt_at_a_time(keys: ProjectKeys) -> None:
    it = Phoenix()
    async with phoenix(it) as address, watching(address, keys.secret_key, times=replace(QUICK, ready=0.3)) as watched:
        await it.joined(6)
        assert it.joins <= sum(watched.generations), "the library's own rejoins end with their generation"
        it.spoilt = False
        await watched.ready()


async def test_a_join_over_the_rate_limit_waits(keys: ProjectKeys) -> None:
    it = RefusingJoins()
    async with (
        phoenix(it) as address,
        watching(address, keys.secret_key, times=replace(QUICK, rate_limited=0.5)) as watched,
    ):
        for hint in watched.wakeup.hints:
            failed = await watched.logged("realtime.failed", hint)
            assert "RateLimit" in failed["reason"]
            assert failed["retry_seconds"] >= 0.5
        it.spoilt = False
        await watched.ready()
    assert isinstance(watched.wakeup, Wakeup)
