"""postgres_changes over real sockets: recipients, form, latency and ordering of row changes."""

import asyncio
import contextlib
import json
import statistics
import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from websockets.exceptions import ConnectionClosed

from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.postgres import Postgres
from sentinel_local_supabase.realtime.settings import RealtimeSettings, SocketSettings
from tests.integration.realtime.conftest import FAST, Client, Serve, Served
from tests.waits import until

REQUESTS = {"schema": "public", "table": "analysis_requests"}
EVERYTHING = {"event": "*", **REQUESTS}
INSERT = "insert into analysis_requests (user_id, status) values (%s, %s) returning id::text"


async def next_data(client: Client) -> dict[str, Any]:
    return dict((await client.receive("postgres_changes"))["payload"]["data"])


async def nothing_more(client: Client) -> None:
    """Assert that no change is pending: after two idle polls a heartbeat's reply is the next frame."""
    with pytest.raises(TimeoutError):
        await client.receive("postgres_changes", seconds=0.2)


@pytest.mark.parametrize("vsn", ["1.0.0", "2.0.0"])
async def test_users_get_their_own_rows_and_the_keys_of_all_deleted_ones(
    server: Served, keys: ProjectKeys, database: psycopg.Connection, sign: Callable[..., str], vsn: str
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
    server: Served, keys: ProjectKeys, database: psycopg.Connection
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


async def test_patterns_and_null_safe_filters(server: Served, keys: ProjectKeys, database: psycopg.Connection) -> None:
    filters = ["status=match.^q.e", "status=imatch.^Q", "status=not.match.^q", "status=isdistinct.queued"]
    wishes = [{"event": "INSERT", **REQUESTS, "filter": filter_} for filter_ in filters]
    async with Client(server.url, keys.secret_key) as client:
        reply = await client.join("realtime:f", *wishes)
        ids = [binding["id"] for binding in reply["response"]["postgres_changes"]]
        assert (await client.receive("system"))["payload"]["status"] == "ok"
        for status, matched in (("queued", [0, 1]), ("Quick", [1, 2, 3]), (None, [3])):
            database.execute(INSERT, [None, status])
            assert sorted((await client.receive("postgres_changes"))["payload"]["ids"]) == sorted(
                ids[n] for n in matched
            )


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ({"filter": "status=match.["}, "invalid regular expression for match filter"),
        ({"filter": "id=like.a%"}, "operator like requires a text-compatible column type, got uuid"),
        ({"filter": "status=is.true"}, "is true filter requires a boolean column, got text"),
        ({"filter": "status=is.nothing"}, "invalid value for is filter: must be null, true, false, or unknown"),
        ({"filter": f"status=in.({','.join('x' * 101)})"}, "too many values for `in` filter. Maximum 100"),
        ({"select": ["id", "no_such"]}, "invalid column for select no_such"),
        ({"select": "id"}, "Error parsing `select` params: expected a list of column name strings"),
        ({"select": ["id"], "table": "*"}, "Column selection is not supported for wildcard subscriptions"),
    ],
)
async def test_subscriptions_that_cannot_be_met(
    server: Served, keys: ProjectKeys, wish: dict[str, Any], reason: str
) -> None:
    async with Client(server.url, keys.secret_key) as client:
        refused = await client.subscribe("realtime:bad", EVERYTHING | wish)
        assert refused["status"] == "error"
        assert reason in refused["message"]


async def test_selected_columns_come_with_the_key(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    wishes = [{"event": "*", "schema": "public", "table": "full_rows", "select": ["note"]}]
    wishes += [{"event": "*", "schema": "public", "table": "full_rows"}]
    async with Client(server.url, keys.secret_key) as client:
        reply = await client.join("realtime:s", *wishes)
        few, all_ = (binding["id"] for binding in reply["response"]["postgres_changes"])
        await client.receive("system")
        database.execute("insert into full_rows (id, note) overriding system value values (1, 'a')")
        database.execute("update full_rows set note = 'b'")
        seen: dict[int, list[Any]] = {few: [], all_: []}
        for _ in range(4):
            payload = (await client.receive("postgres_changes"))["payload"]
            data = payload["data"]
            assert {column["name"] for column in data["columns"]} == set(data["record"])
            seen[payload["ids"][0]].append((data["record"], data.get("old_record")))
        assert seen[few] == [({"id": 1, "note": "a"}, None), ({"id": 1, "note": "b"}, {"id": 1, "note": "a"})]
        assert [set(record) for record, _ in seen[all_]] == [{"id", "user_id", "status", "note"}] * 2


async def test_values_are_typed_as_postgres_types_them(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
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


async def test_rows_over_one_mebibyte_come_thin(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
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


async def test_a_burst_arrives_whole_and_in_order(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    rows = 3000
    async with Client(server.url, keys.secret_key) as client:
        await client.subscribe("realtime:burst", {"event": "INSERT", **REQUESTS})
        started = time.perf_counter()
        database.execute("insert into analysis_requests (status) select 'r' || n from generate_series(1, %s) n", [rows])
        got = [(await next_data(client))["record"]["status"] for _ in range(rows)]
        print(f"{rows} rows in {time.perf_counter() - started:.2f} s")  # noqa: T201 - a measurement for whoever runs with -s
        assert got == [f"r{n}" for n in range(1, rows + 1)]


async def test_rows_arrive_at_the_real_servers_pace(
    serve: Serve, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    settings = RealtimeSettings()
    assert (settings.changes.idle_poll_seconds, settings.changes.busy_poll_seconds) == (
        0.5,
        0.1,
    )  # measured on the real server
    async with serve(settings) as server, Client(server.url, keys.secret_key) as client:
        await client.subscribe("realtime:slow", {"event": "INSERT", **REQUESTS})
        taken = []
        for _ in range(3):
            started = time.perf_counter()
            database.execute(INSERT, [None, "queued"])
            await next_data(client)
            taken.append((time.perf_counter() - started) * 1000)
        print(f"insert to event: median {statistics.median(taken):.0f} ms, longest {max(taken):.0f} ms")  # noqa: T201 - a measurement for whoever runs with -s


async def test_postgres_goes_and_comes_back(
    server: Served, keys: ProjectKeys, postgres: Postgres, sign: Callable[..., str]
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
        with psycopg.connect(postgres.dsn("supabase_admin"), autocommit=True) as connection:
            event = await the_first_that_comes(client, connection)
            assert event["payload"]["data"]["type"] == "INSERT"
            assert "system" not in [frame["event"] for frame in client.seen[2:]]  # no message announced the outage


async def the_first_that_comes(client: Client, connection: psycopg.Connection) -> dict[str, Any]:
    """Insert rows until one arrives: rows committed before the new slot existed are lost."""
    async with asyncio.timeout(20):
        while True:
            connection.execute(INSERT, [None, "queued"])
            with contextlib.suppress(TimeoutError):
                return await client.receive(seconds=0.2)


async def test_a_subscription_that_is_refused_costs_the_others_nothing(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    slot = "select slot_name from pg_replication_slots where slot_name like 'supabase_realtime_replication%'"
    async with Client(server.url, keys.secret_key) as client, Client(server.url, keys.secret_key) as careless:
        await client.subscribe("realtime:ok", EVERYTHING)
        stands = database.execute(slot).fetchone()
        for filter_ in ("id=eq.not-a-uuid", "no_such=eq.1"):
            refused = await careless.subscribe("realtime:bad", {**EVERYTHING, "filter": filter_})
            assert refused["status"] == "error"
        # An error in the poller's session would have ended its temporary slot.
        assert database.execute(slot).fetchone() == stands
        database.execute(INSERT, [None, "queued"])
        assert (await next_data(client))["type"] == "INSERT"


async def test_only_the_subscription_that_fits_into_no_query_is_refused(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    async with Client(server.url, keys.secret_key) as client, Client(server.url, keys.anon_key) as hostile:
        await client.subscribe("realtime:ok", EVERYTHING)
        refused = await hostile.subscribe("realtime:bad", {**EVERYTHING, "schema": "public\0"})
        assert refused["status"] == "error"
        database.execute(INSERT, [None, "queued"])
        assert (await next_data(client))["type"] == "INSERT"


async def test_a_policy_that_fails_blinds_its_own_role_only(
    server: Served, keys: ProjectKeys, database: psycopg.Connection, sign: Callable[..., str]
) -> None:
    database.execute("create policy failing on full_rows for select to authenticated using (1 / (id - id) = 1)")
    try:
        async with Client(server.url, keys.secret_key) as service, Client(server.url, keys.anon_key) as user:
            wish = {"event": "*", "schema": "public", "table": "full_rows"}
            await user.subscribe("realtime:u", wish, token=sign("authenticated", sub=str(uuid.uuid4())))
            await service.subscribe("realtime:s", wish)
            for _ in range(2):
                database.execute("insert into full_rows (note) values ('n')")
                assert (await next_data(service))["type"] == "INSERT"
            await nothing_more(user)
    finally:
        database.execute("drop policy failing on full_rows")


async def test_a_changed_publication_is_noticed_and_loses_nothing(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    async with Client(server.url, keys.secret_key) as client, Client(server.url, keys.secret_key) as other:
        await client.subscribe("realtime:p", EVERYTHING)
        await other.subscribe("realtime:o", {"event": "*", "schema": "public", "table": "no_grant"})
        database.execute("alter publication supabase_realtime drop table no_grant")
        try:
            database.execute(INSERT, [None, "queued"])
            again = (await client.receive("system"))["payload"]
            assert (again["status"], again["message"]) == ("ok", "Subscribed to PostgreSQL")
            gone = (await other.receive("system"))["payload"]
            assert gone["status"] == "error"
            database.execute(INSERT, [None, "scheduled"])
            changes = [frame for frame in client.seen if frame["event"] == "postgres_changes"]
            while len(changes) < 2:
                changes.append(await client.receive("postgres_changes"))
            statuses = [frame["payload"]["data"]["record"]["status"] for frame in changes]
            assert statuses == ["queued", "scheduled"]
        finally:
            database.execute("alter publication supabase_realtime add table no_grant")


async def test_what_a_left_channel_and_an_ended_client_leave_behind(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
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
    await until(lambda: database.execute(slots).fetchone() == (0,))


async def test_a_silent_client_is_closed_and_heartbeats_keep_it(serve: Serve, keys: ProjectKeys) -> None:
    settings = RealtimeSettings(sockets=SocketSettings(idle_seconds=2.0))
    async with serve(settings) as server, Client(server.url, keys.anon_key) as client:
        for _ in range(5):
            await client.send("phoenix", "heartbeat", {})
            await client.receive()
            # Longer than the limit in total, but each wait is short enough that a busy machine does not reach it.
            await asyncio.sleep(0.5)
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000


async def test_only_the_client_that_does_not_read_is_disconnected(
    serve: Serve, keys: ProjectKeys, database: psycopg.Connection
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


async def test_nonsense_ends_the_connection(server: Served, keys: ProjectKeys) -> None:
    for vsn, nonsense in (("1.0.0", "]"), ("1.0.0", "[]"), ("2.0.0", '{"topic": 1}'), ("2.0.0", b"\x07")):
        async with Client(server.url, keys.anon_key, vsn) as client:
            await client.connection.send(nonsense)
            with pytest.raises(ConnectionClosed):
                await client.receive()


async def test_numbers_keep_every_digit(server: Served, keys: ProjectKeys, database: psycopg.Connection) -> None:
    async with Client(server.url, keys.secret_key) as client:
        await client.subscribe("realtime:n", {"event": "*", "schema": "public", "table": "typed_rows"})
        database.execute("insert into typed_rows (id, part, exact) values (1, 'p', 12345678901234567890.123456789)")
        async with asyncio.timeout(30):
            raw = str(await client.connection.recv())
        assert "12345678901234567890.123456789" in raw
        assert json.loads(raw)["payload"]["data"]["errors"] is None
