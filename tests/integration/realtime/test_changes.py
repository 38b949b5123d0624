"""postgres_changes over real sockets: who gets which row, in which form, how soon, and after what."""

import asyncio
import json
import statistics
import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from websockets.exceptions import ConnectionClosed

from sentinel_worker.local.keys import Keys
from sentinel_worker.local.postgres import Postgres
from sentinel_worker.local.realtime.service import RealtimeSettings
from sentinel_worker.local.realtime.socket import SocketSettings
from tests.integration.realtime.conftest import FAST, Client, Serve, Served

REQUESTS = {"schema": "public", "table": "analysis_requests"}
EVERYTHING = {"event": "*", **REQUESTS}
INSERT = "insert into analysis_requests (user_id, status) values (%s, %s) returning id::text"


async def next_data(client: Client) -> dict[str, Any]:
    return dict((await client.receive("postgres_changes"))["payload"]["data"])


async def nothing_more(client: Client) -> None:
    """No change is on its way: two idle polls pass, then a heartbeat's answer is the next frame."""
    with pytest.raises(TimeoutError):
        await client.receive("postgres_changes", seconds=0.2)


@pytest.mark.parametrize("vsn", ["1.0.0", "2.0.0"])
async def test_users_get_their_own_rows_and_the_keys_of_all_deleted_ones(
    server: Served, keys: Keys, database: psycopg.Connection, sign: Callable[..., str], vsn: str
) -> None:
    alice, bob = str(uuid.uuid4()), str(uuid.uuid4())
    async with Client(server.url, keys.anon_key, vsn) as a, Client(server.url, keys.publishable_key, vsn) as b:
        await a.subscribe("realtime:a", EVERYTHING, token=sign("authenticated", sub=alice))
        await b.subscribe("realtime:b", EVERYTHING, token=sign("authenticated", sub=bob))
        row_of_alice = database.execute(INSERT, [alice, "queued"]).fetchone()
        row_of_bob = database.execute(INSERT, [bob, "queued"]).fetchone()
        assert row_of_alice
        assert row_of_bob
        for client, (row,) in ((a, row_of_alice), (b, row_of_bob)):
            assert (await next_data(client))["record"]["id"] == row
        database.execute("update analysis_requests set status = 'running'")
        for client, (row,) in ((a, row_of_alice), (b, row_of_bob)):
            event = await next_data(client)
            assert (event["type"], event["record"]["id"], event["record"]["status"]) == ("UPDATE", row, "running")
            assert event["old_record"] == {"id": row}
        database.execute("delete from analysis_requests where user_id = %s", [alice])
        for client in (a, b):
            event = await next_data(client)
            assert event["type"] == "DELETE"
            assert event["old_record"] == {"id": row_of_alice[0]}
            assert "record" not in event
            await nothing_more(client)


async def test_one_event_names_all_bindings_that_it_matches(
    server: Served, keys: Keys, database: psycopg.Connection
) -> None:
    wishes = [
        {"event": "INSERT", **REQUESTS, "filter": "status=eq.queued"},
        {"event": "UPDATE", **REQUESTS, "filter": "status=eq.queued"},
        {"event": "*", "schema": "public"},
        {"event": "INSERT", **REQUESTS, "filter": "status=in.(queued,scheduled)"},
        {"event": "INSERT", **REQUESTS, "filter": "created_at=gt.2020-01-01,status=neq.failed"},
        {"event": "INSERT", **REQUESTS, "filter": "created_at=lt.2020-01-01"},
        {"event": "INSERT", **REQUESTS, "filter": "user_id=is.null"},
        {"event": "INSERT", **REQUESTS, "filter": "status=not.eq.queued"},
    ]
    async with Client(server.url, keys.secret_key) as client:
        reply = await client.join("realtime:many", *wishes)
        ids = [binding["id"] for binding in reply["response"]["postgres_changes"]]
        assert len(set(ids)) == len(wishes)
        await client.receive("system")
        database.execute(INSERT, [None, "queued"])
        frame = await client.receive("postgres_changes")
        assert set(frame["payload"]["ids"]) == {ids[n] for n in (0, 2, 3, 4, 6)}
        database.execute("update analysis_requests set status = 'running'")
        frame = await client.receive("postgres_changes")
        assert frame["payload"]["ids"] == [ids[2]]
        database.execute("update analysis_requests set status = 'queued'")
        frame = await client.receive("postgres_changes")
        assert set(frame["payload"]["ids"]) == {ids[1], ids[2]}


async def test_values_are_typed_as_postgres_types_them(
    server: Served, keys: Keys, database: psycopg.Connection
) -> None:
    async with Client(server.url, keys.secret_key) as client:
        await client.subscribe("realtime:t", {"event": "*", "schema": "public", "table": "typed_rows"})
        values = [7, "p", True, "1.10", 0.5, ["a", 'b"c'], '{"k": [1, null]}', "2026-11-22"]
        database.execute("insert into typed_rows values (%s, %s, %s, %s, %s, %s, %s, %s)", values)
        assert (await next_data(client))["record"] == {
            "id": 7,
            "part": "p",
            "flag": True,
            "exact": 1.10,
            "approximate": 0.5,
            "tags": ["a", 'b"c'],
            "document": {"k": [1, None]},
            "day": "2026-11-22",
        }
        database.execute("update typed_rows set id = 8, flag = null, document = 'null'")
        event = await next_data(client)
        assert event["old_record"] == {"id": 7, "part": "p"}
        assert event["record"]["flag"] is None
        assert event["record"]["document"] is None
        database.execute("delete from typed_rows")
        assert (await next_data(client))["old_record"] == {"id": 8, "part": "p"}


async def test_rows_over_one_mebibyte_come_thin(server: Served, keys: Keys, database: psycopg.Connection) -> None:
    async with Client(server.url, keys.secret_key) as client:
        await client.subscribe("realtime:big", {"event": "*", "schema": "public", "table": "big_rows"})
        insert = "insert into big_rows (payload, note) values (%s, 'short') returning id"
        whole = database.execute(insert, ["x" * 1_048_000]).fetchone()
        event = await next_data(client)
        assert whole
        assert event["errors"] is None
        assert len(event["record"]["payload"]) == 1_048_000
        database.execute("update big_rows set note = 'changed'")
        assert (await next_data(client))["record"] == {"id": whole[0], "note": "changed"}
        thin = database.execute(insert, ["x" * 1_200_000]).fetchone()
        assert thin
        event = await next_data(client)
        assert event["errors"] == ["Error 413: Payload Too Large"]
        assert event["record"] == {"id": thin[0], "note": "short"}


async def test_a_burst_arrives_whole_and_in_order(server: Served, keys: Keys, database: psycopg.Connection) -> None:
    rows = 3000
    async with Client(server.url, keys.secret_key) as client:
        await client.subscribe("realtime:burst", {"event": "INSERT", **REQUESTS})
        started = time.perf_counter()
        database.execute("insert into analysis_requests (status) select 'r' || n from generate_series(1, %s) n", [rows])
        got = [(await next_data(client))["record"]["status"] for _ in range(rows)]
        print(f"{rows} rows in {time.perf_counter() - started:.2f} s")  # noqa: T201 - a measurement for whoever runs with -s
        assert got == [f"r{n}" for n in range(1, rows + 1)]


async def test_latency_with_the_real_servers_pace(serve: Serve, keys: Keys, database: psycopg.Connection) -> None:
    async with serve(RealtimeSettings()) as server, Client(server.url, keys.secret_key) as client:
        await client.subscribe("realtime:slow", {"event": "INSERT", **REQUESTS})
        taken = []
        for _ in range(12):
            started = time.perf_counter()
            database.execute(INSERT, [None, "queued"])
            await next_data(client)
            taken.append((time.perf_counter() - started) * 1000)
        print(f"insert to event: median {statistics.median(taken):.0f} ms, longest {max(taken):.0f} ms")  # noqa: T201 - a measurement for whoever runs with -s
        assert max(taken) < 2000


async def test_postgres_goes_and_comes_back(
    server: Served, keys: Keys, postgres: Postgres, sign: Callable[..., str]
) -> None:
    async with Client(server.url, keys.secret_key) as client:
        await client.subscribe("realtime:pgr", {"event": "INSERT", **REQUESTS})
        await asyncio.to_thread(postgres.stop)
        await client.send("phoenix", "heartbeat", {})
        assert (await client.receive())["topic"] == "phoenix"
        refused = await client.join("realtime:private", private=True, token=sign("sentinel_worker"))
        assert refused["response"]["reason"] == (
            "UnableToConnectToProject: Realtime was unable to connect to the project database"
        )
        await asyncio.to_thread(postgres.start)
        assert (await client.receive("system"))["payload"]["status"] == "ok"
        with psycopg.connect(postgres.dsn("supabase_admin"), autocommit=True) as connection:
            row = connection.execute(INSERT, [None, "queued"]).fetchone()
        assert row
        assert (await next_data(client))["record"]["id"] == row[0]


async def test_what_a_left_channel_and_an_ended_client_leave_behind(
    server: Served, keys: Keys, database: psycopg.Connection
) -> None:
    slots = "select count(*) from pg_replication_slots where slot_name like 'supabase_realtime_replication%'"
    async with Client(server.url, keys.secret_key) as client:
        await client.subscribe("realtime:l", EVERYTHING)
        assert database.execute(slots).fetchone() == (1,)
        await client.send("realtime:l", "phx_leave", {}, join_ref="1")
        assert (await client.receive("phx_reply"))["payload"] == {"status": "ok", "response": {}}
        assert (await client.receive())["event"] == "phx_close"
        database.execute(INSERT, [None, "queued"])
        await nothing_more(client)
        await client.subscribe("realtime:l", EVERYTHING)
    async with asyncio.timeout(10):
        while database.execute(slots).fetchone() != (0,):
            await asyncio.sleep(0.02)


async def test_a_silent_client_is_closed_and_heartbeats_keep_it(serve: Serve, keys: Keys) -> None:
    settings = RealtimeSettings(sockets=SocketSettings(idle_seconds=0.3))
    async with serve(settings) as server, Client(server.url, keys.anon_key) as client:
        for _ in range(4):
            await client.send("phoenix", "heartbeat", {})
            await client.receive()
            await asyncio.sleep(0.15)
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000


async def test_a_client_that_does_not_read_is_disconnected_alone(
    serve: Serve, keys: Keys, database: psycopg.Connection
) -> None:
    settings = RealtimeSettings(changes=FAST.changes, sockets=SocketSettings(queued_bytes=2_000_000))
    big = {"event": "INSERT", "schema": "public", "table": "big_rows"}
    async with serve(settings) as server, Client(server.url, keys.secret_key) as reader:
        deaf = Client(server.url, keys.secret_key)
        async with deaf:
            await deaf.subscribe("realtime:deaf", big)
            await reader.subscribe("realtime:reader", big)
            deaf.connection.transport.pause_reading()
            for _ in range(40):
                database.execute("insert into big_rows (payload) values (repeat('x', 900000))")
                assert len((await next_data(reader))["record"]["payload"]) == 900_000
            deaf.connection.transport.resume_reading()
            with pytest.raises(ConnectionClosed):
                await deaf.receive("never")


async def test_nonsense_ends_the_connection(server: Served, keys: Keys) -> None:
    for vsn, nonsense in (("1.0.0", "]"), ("1.0.0", "[]"), ("2.0.0", '{"topic": 1}'), ("2.0.0", b"\x07")):
        async with Client(server.url, keys.anon_key, vsn) as client:
            await client.connection.send(nonsense)
            with pytest.raises(ConnectionClosed):
                await client.receive()


async def test_numbers_keep_every_digit(server: Served, keys: Keys, database: psycopg.Connection) -> None:
    async with Client(server.url, keys.secret_key) as client:
        await client.subscribe("realtime:n", {"event": "*", "schema": "public", "table": "typed_rows"})
        database.execute("insert into typed_rows (id, part, exact) values (1, 'p', 12345678901234567890.123456789)")
        async with asyncio.timeout(10):
            raw = str(await client.connection.recv())
        assert "12345678901234567890.123456789" in raw
        assert json.loads(raw)["payload"]["data"]["errors"] is None
