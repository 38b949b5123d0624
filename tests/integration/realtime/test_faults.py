"""Each fault of Realtime, over a real socket."""

import asyncio
import json
import time
from typing import Any

import psycopg
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sentinel_local_supabase.faults import Faults, RealtimeFaults
from sentinel_local_supabase.keys import ProjectKeys
from tests.integration.realtime.conftest import Client, Served
from tests.waits import until

ROWS = {"event": "*", "schema": "public", "table": "analysis_requests"}
INSERT = "insert into analysis_requests (status) values (%s)"
UPDATE = "update analysis_requests set status = 'changed'"
SEND = "select realtime.send('{}'::jsonb, %s, 'room', false)"
TOPIC = "realtime:room"


class Watcher(Client):
    """A client that has joined TOPIC and receives row changes and broadcasts."""

    async def __aenter__(self) -> "Watcher":
        await super().__aenter__()
        await self.subscribe(TOPIC, ROWS)
        return self

    async def is_well(self) -> None:
        """Assert that the connection replies to heartbeats and that nothing else was pending."""
        await self.send("phoenix", "heartbeat", {})
        assert (await self.receive())["topic"] == "phoenix"

    async def statuses(self, count: int) -> list[str]:
        """Return the statuses of the next rows."""
        frames = [await self.receive("postgres_changes") for _ in range(count)]
        return [frame["payload"]["data"]["record"]["status"] for frame in frames]


@pytest.fixture
def watcher(server: Served, keys: ProjectKeys) -> Watcher:
    return Watcher(server.url, keys.secret_key)


def misbehave(server: Served, **faults: Any) -> None:
    server.faults.now = Faults(realtime=RealtimeFaults(**faults))


def behave(server: Served) -> None:
    server.faults.now = Faults()


async def test_changes_are_lost_and_broadcasts_are_not(
    server: Served, watcher: Watcher, database: psycopg.Connection
) -> None:
    async with watcher:
        misbehave(server, lose_changes=True)
        database.execute(INSERT, ["lost"])
        database.execute(SEND, ["heard"])
        assert (await watcher.receive())["payload"]["event"] == "heard"
        await until_polled(database)
        behave(server)
        database.execute(INSERT, ["seen"])
        assert await watcher.statuses(1) == ["seen"]


async def until_polled(database: psycopg.Connection) -> None:
    """Wait until all commits so far have been polled and handled: the second poll from now has begun."""
    passed = (
        "select bool_and(confirmed_flush_lsn >= %s) from pg_replication_slots"
        " where slot_name like 'supabase_realtime_replication%%'"
    )
    move = "select pg_logical_emit_message(true, 'test', '')"
    for _ in range(2):
        position = database.execute(move).fetchone()

        def moved(position: Any = position) -> bool:
            database.execute(move)
            return database.execute(passed, position).fetchone() == (True,)

        await until(moved)


async def test_broadcasts_are_lost_and_changes_are_not(
    server: Served, watcher: Watcher, database: psycopg.Connection
) -> None:
    async with watcher, Client(server.url, watcher_key(watcher)) as other:
        await other.join(TOPIC)
        misbehave(server, lose_broadcasts=True)
        message = {"type": "broadcast", "event": "lost", "payload": {}}
        await other.send(TOPIC, "broadcast", message, join_ref="1")
        database.execute(INSERT, ["seen"])
        assert await watcher.statuses(1) == ["seen"]
        behave(server)
        await other.send(TOPIC, "broadcast", message | {"event": "heard"}, join_ref="1")
        assert (await watcher.receive("broadcast"))["payload"]["event"] == "heard"
        assert "lost" not in [f["payload"].get("event") for f in watcher.seen if f["event"] == "broadcast"]


def watcher_key(watcher: Watcher) -> str:
    return watcher.address.partition("apikey=")[2].partition("&")[0]


async def test_readiness_comes_late_and_what_is_inserted_before_is_lost(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    misbehave(server, ready_seconds=2.0)
    async with Client(server.url, keys.secret_key) as client:
        started = time.monotonic()
        assert (await client.join(TOPIC, ROWS))["status"] == "ok"
        assert "system" not in [frame["event"] for frame in client.seen]  # the reply does not wait for readiness
        database.execute(INSERT, ["early"])
        assert (await client.receive())["event"] == "system"
        assert time.monotonic() - started >= 2
        database.execute(INSERT, ["ready"])
        assert (await client.receive())["payload"]["data"]["record"]["status"] == "ready"


async def test_the_reply_to_a_join_comes_late(server: Served, keys: ProjectKeys) -> None:
    misbehave(server, join_reply_seconds=0.5)
    async with Client(server.url, keys.secret_key) as client:
        started = time.monotonic()
        assert (await client.join(TOPIC, ROWS))["status"] == "ok"
        assert time.monotonic() - started >= 0.5
        assert (await client.receive())["event"] == "system"
    async with Client(server.url, keys.secret_key) as client:
        await client.send(TOPIC, "phx_join", {})
        await client.send("phoenix", "heartbeat", {})
        assert (await client.receive())["topic"] == "phoenix"  # the connection is not blocked meanwhile


async def test_joins_are_refused(server: Served, keys: ProjectKeys) -> None:
    misbehave(server, refuse_joins=True)
    async with Client(server.url, keys.secret_key) as client:
        assert await client.join(TOPIC) == {
            "status": "error",
            "response": {"reason": "UnableToConnectToProject: Realtime was unable to connect to the project database"},
        }
        behave(server)
        assert (await client.join(TOPIC))["status"] == "ok"


async def test_all_channels_are_closed_even_established_ones(server: Served, watcher: Watcher) -> None:
    async with watcher:
        misbehave(server, close_channels_after_seconds=0.1)
        error, close = await watcher.receive(), await watcher.receive()
        assert (error["event"], error["payload"]["status"]) == ("system", "error")
        assert (close["event"], close["ref"]) == ("phx_close", "1")
        await watcher.is_well()
        assert (await watcher.join(TOPIC))["status"] == "ok"
        assert (await watcher.receive())["event"] == "system"
        assert (await watcher.receive())["event"] == "phx_close"


@pytest.mark.parametrize("code", [1012, 4000])
async def test_connections_are_closed(server: Served, watcher: Watcher, code: int) -> None:
    async with watcher:
        misbehave(server, close_sockets_after_seconds=0.1, close_code=code)
        with pytest.raises(ConnectionClosed) as closed:
            await watcher.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code


async def test_heartbeats_are_ignored(server: Served, watcher: Watcher, database: psycopg.Connection) -> None:
    async with watcher:
        misbehave(server, ignore_heartbeats=True)
        await watcher.send("phoenix", "heartbeat", {})
        database.execute(INSERT, ["seen"])
        assert (await watcher.receive())["payload"]["data"]["record"]["status"] == "seen"
        behave(server)
        await watcher.is_well()


async def test_new_connections_are_refused_and_old_ones_stay(server: Served, watcher: Watcher) -> None:
    async with watcher:
        misbehave(server, refuse_status=503)
        with pytest.raises(InvalidStatus) as refused:
            await Client(server.url, watcher_key(watcher)).__aenter__()
        assert refused.value.response.status_code == 503
        await watcher.is_well()


async def test_new_connections_wait(server: Served, keys: ProjectKeys) -> None:
    misbehave(server, connect_seconds=0.4)
    started = time.monotonic()
    async with Client(server.url, keys.anon_key):
        assert time.monotonic() - started >= 0.4


async def test_a_mute_connection_only_answers_pings(
    server: Served, watcher: Watcher, database: psycopg.Connection
) -> None:
    async with watcher:
        misbehave(server, mute=True)
        await watcher.send("phoenix", "heartbeat", {})
        database.execute(INSERT, ["lost"])
        database.execute(SEND, ["lost"])
        await until_polled(database)
        assert await asyncio.wait_for(await watcher.connection.ping(), 30) >= 0
        with pytest.raises(TimeoutError):
            await watcher.receive(seconds=0.2)
        behave(server)
        await watcher.is_well()


async def test_replies_are_lost_and_what_they_were_about_is_done(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    misbehave(server, lose_replies=True)
    async with Client(server.url, keys.secret_key) as client:
        await client.send(TOPIC, "phx_join", {"config": {"postgres_changes": [ROWS]}})
        assert (await client.receive())["event"] == "system"
        database.execute(INSERT, ["seen"])
        assert (await client.receive())["event"] == "postgres_changes"
        await client.send("phoenix", "heartbeat", {})
        assert (await client.receive())["topic"] == "phoenix"


async def test_an_old_close_comes_and_the_channel_goes_on(
    server: Served, watcher: Watcher, database: psycopg.Connection
) -> None:
    async with watcher:
        misbehave(server, stale_close_after_seconds=0.1)
        close = await watcher.receive()
        assert (close["event"], close["topic"]) == ("phx_close", TOPIC)
        assert close["ref"] not in {None, "1"}
        database.execute(INSERT, ["still"])
        assert await watcher.statuses(1) == ["still"]


async def test_readiness_is_said_again(server: Served, watcher: Watcher) -> None:
    async with watcher:
        misbehave(server, ready_again_after_seconds=0.1)
        again = await watcher.receive()
        assert (again["event"], again["payload"]["status"]) == ("system", "ok")


async def test_readiness_is_taken_back_and_the_channel_stays(
    server: Served, watcher: Watcher, database: psycopg.Connection
) -> None:
    async with watcher, Client(server.url, watcher_key(watcher)) as other:
        await other.subscribe("realtime:other", ROWS)
        misbehave(server, changes_error_after_seconds=0.1)
        for client, channel in ((watcher, "room"), (other, "other")):
            payload = (await client.receive())["payload"]
            assert payload == {
                "message": '{:error, "Too many database timeouts"}',
                "status": "error",
                "extension": "postgres_changes",
                "channel": channel,
            }
        database.execute(INSERT, ["lost"])
        database.execute(SEND, ["heard"])
        assert (await watcher.receive())["payload"]["event"] == "heard"
        await watcher.is_well()


async def test_changes_come_late(server: Served, watcher: Watcher, database: psycopg.Connection) -> None:
    async with watcher:
        misbehave(server, delay_changes_seconds=0.5)
        started = time.monotonic()
        database.execute(INSERT, ["late"])
        await watcher.is_well()
        assert await watcher.statuses(1) == ["late"]
        assert time.monotonic() - started >= 0.5


async def test_changes_come_twice(server: Served, watcher: Watcher, database: psycopg.Connection) -> None:
    async with watcher:
        misbehave(server, repeat_changes=True)
        database.execute(INSERT, ["again"])
        database.execute(INSERT, ["and again"])
        assert await watcher.statuses(4) == ["again", "again", "and again", "and again"]


async def test_changes_come_in_another_order(server: Served, watcher: Watcher, database: psycopg.Connection) -> None:
    async with watcher:
        misbehave(server, reorder_changes=True)
        database.execute("insert into analysis_requests (status) select n from generate_series(1, 5) n")
        assert await watcher.statuses(5) == ["2", "1", "4", "3", "5"]


async def test_changes_come_thin(server: Served, watcher: Watcher, database: psycopg.Connection) -> None:
    async with watcher:
        misbehave(server, thin_changes=True)
        changes = {"INSERT": "insert into analysis_requests default values", "UPDATE": UPDATE}
        for kind, statement in changes.items():
            database.execute(statement.encode())
            data = (await watcher.receive())["payload"]["data"]
            thin: dict[str, Any] = {
                "errors": ["Error 401: Unauthorized"],
                "columns": [],
                "record": {},
                "commit_timestamp": None,
            }
            old: dict[str, Any] = {"old_record": {}} if kind == "UPDATE" else {}
            assert data == {"schema": "public", "table": "analysis_requests", "type": kind, **thin, **old}
        database.execute("delete from analysis_requests")
        assert (await watcher.receive())["payload"]["data"]["old_record"]  # a deletion requires no grant


async def test_changes_come_in_frames_that_are_too_large(
    server: Served, watcher: Watcher, database: psycopg.Connection
) -> None:
    async with watcher:
        misbehave(server, oversize_changes=True)
        database.execute(INSERT, ["large"])
        raw = await watcher.connection.recv()
        assert len(raw) > 1024 * 1024  # realtime-py's limit, at which it closes the connection with 1009
        assert json.loads(raw)["payload"]["data"]["record"]["status"] == "large"


async def test_changes_come_in_another_shape(server: Served, watcher: Watcher, database: psycopg.Connection) -> None:
    async with watcher:
        misbehave(server, malform_changes=True)
        database.execute(INSERT, ["odd"])
        data = (await watcher.receive())["payload"]["data"]
        assert "type" not in data
        assert data["record"]["status"] == "odd"
