"""Wrongly typed and broken frames: handled as unknown or end their own connection, without effect on others."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from sentinel_local_supabase.keys import ProjectKeys
from sentinel_local_supabase.realtime.channel import Channel
from tests.integration.local.hostile import DEEP, LONG_NUMBER, RAW, VALUES
from tests.integration.realtime.conftest import Client, Served
from tests.matrix import examples

REQUESTS = {"event": "INSERT", "schema": "public", "table": "analysis_requests"}
TYPED = {"event": "INSERT", "schema": "public", "table": "typed_rows"}
INSERT = "insert into public.analysis_requests default values returning id::text"


@pytest.fixture
async def listener(server: Served, keys: ProjectKeys) -> AsyncIterator[Client]:
    """A healthy client that receives rows, and broadcasts on `realtime:shared`."""
    async with Client(server.url, keys.service_key, "2.0.0") as client:
        await client.join("realtime:shared")
        await client.subscribe("realtime:rows", REQUESTS, TYPED)
        yield client


async def hears_rows(listener: Client, database: psycopg.Connection) -> None:
    """Assert that a row inserted now arrives, and that nothing ended before it."""
    row = (await asyncio.to_thread(lambda: database.execute(INSERT).fetchone())) or ("",)
    while (change := await listener.receive("postgres_changes"))["payload"]["data"]["record"].get("id") != row[0]:
        continue
    assert change["topic"] == "realtime:rows"
    assert not {frame["event"] for frame in listener.seen} & {"phx_error", "phx_close"}


ODD = [
    {"topic": 5, "event": "phx_join", "payload": {}, "ref": 1},
    {"topic": {"a": [1]}, "event": "phx_join", "payload": {}, "ref": "1"},
    {"topic": None, "event": None, "payload": None, "ref": None},
    {"topic": "realtime:rows", "event": {"a": 1}, "payload": [], "ref": [1], "join_ref": {"b": 2}},
    {"topic": "realtime:a", "event": "phx_join", "payload": 5, "ref": "2"},
    {"topic": "realtime:b", "event": "phx_join", "payload": {"config": 5}, "ref": "3"},
    {"topic": "realtime:c", "event": "phx_join", "payload": {"config": {"postgres_changes": 5}}, "ref": "4"},
    {"topic": "realtime:d", "event": "phx_join", "payload": {"config": {"postgres_changes": {"a": 1}}}, "ref": "5"},
    {"topic": "realtime:e", "event": "phx_join", "payload": {"config": {"broadcast": 1, "presence": [2]}}, "ref": "6"},
    {
        "topic": "realtime:g",
        "event": "phx_join",
        "payload": {"config": {"private": True, "broadcast": {"replay": [1], "replication_ready": {"a": 1}}}},
        "ref": "8",
    },
    {
        "topic": "realtime:h",
        "event": "phx_join",
        "payload": {"config": {"private": True, "broadcast": {"replay": {"since": 10**40, "limit": -(10**40)}}}},
        "ref": "9",
    },
    {
        "topic": "realtime:i",
        "event": "phx_join",
        "payload": {"config": {"private": True, "broadcast": {"replay": {"since": 0, "limit": -(10**40)}}}},
        "ref": "10",
    },
    {"topic": "realtime:f", "event": "phx_join", "payload": {"access_token": {"a": 1}}, "ref": "7"},
    {"topic": "phoenix", "event": "heartbeat", "payload": "x", "ref": {"c": 3}},
    {},
]


@pytest.mark.parametrize("frame", ODD, ids=lambda one: json.dumps(one)[:60])
async def test_a_frame_with_wrong_types_does_not_disturb_its_socket(
    server: Served, keys: ProjectKeys, database: psycopg.Connection, frame: dict[str, Any]
) -> None:
    async with Client(server.url, keys.service_key) as client:
        await client.subscribe("realtime:rows", REQUESTS)
        await client.send_frame(frame)
        await client.send("phoenix", "heartbeat", {})
        await hears_rows(client, database)


@pytest.mark.parametrize(
    "changes", [5, "x", {"a": 1}, True, [5], [[]], [{"event": 5, "schema": [], "table": {}}], [{"filter": 5}]]
)
async def test_a_change_of_a_wrong_type_matches_no_subscription(
    server: Served, keys: ProjectKeys, changes: object
) -> None:
    async with Client(server.url, keys.service_key) as client:
        reply = await client.join("realtime:odd", postgres_changes=changes)
        assert reply["status"] == "ok", reply
        assert await client.join("realtime:other") == {"status": "ok", "response": {"postgres_changes": []}}


def push(*fields: bytes, encoding: int = 1, body: bytes = b"{}") -> bytes:
    """Return a binary push in version 2's form."""
    return bytes([3, *(len(field) for field in fields), encoding]) + b"".join(fields) + body


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"", 1011),
        (b"\x03", 1011),
        (b"\x03\x01\x01", 1011),
        (bytes([3, 255, 255, 255, 255, 255, 1]), 1011),
        (bytes([4, 0, 0, 0, 0, 0, 0]), 1011),
        (push(b"\xff", b"1", b"realtime:x", b"e", b""), 1011),
        (push(b"1", b"1", b"realtime:\xed\xa0\x80", b"e", b""), 1011),
        (push(b"1", b"1", b"realtime:x", b"e", b"", body=b"{"), 1011),
        (push(b"1", b"1", b"realtime:x", b"e", b"", body=b"\xff"), 1011),
        (push(b"1", b"1", b"realtime:x", b"e", b"", body=DEEP), 1011),
        (DEEP.decode(), 1011),
        (f'["1","1","realtime:x","broadcast",{{"a":{DEEP.decode()}}}]', 1011),
        (f'["1","1","realtime:x","broadcast",{{"a":{LONG_NUMBER}}}]', 1011),
        ("[1,2,3]", 1011),
        ("{}", 1011),
        ("", 1011),
        ("x" * (16 * 1024 * 1024 + 1), 1009),
    ],
    ids=lambda one: repr(one)[:40],
)
async def test_a_broken_frame_ends_only_its_own_connection(
    server: Served,
    keys: ProjectKeys,
    database: psycopg.Connection,
    listener: Client,
    caplog: pytest.LogCaptureFixture,
    frame: str | bytes,
    code: int,
) -> None:
    async with Client(server.url, keys.service_key, "2.0.0") as client:
        with contextlib.suppress(ConnectionClosed):  # before it has sent all
            await client.connection.send(frame)
        async with asyncio.timeout(30):
            await client.connection.wait_closed()
        assert client.connection.close_code == code
    await hears_rows(listener, database)
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_broadcast_that_no_client_could_read_disturbs_nobody(
    server: Served, keys: ProjectKeys, database: psycopg.Connection, listener: Client
) -> None:
    async with Client(server.url, keys.service_key, "2.0.0") as client:
        await client.join("realtime:shared")
        payload = '{"type":"broadcast","event":"e\\udc00","payload":{"a":"x\\ud800"}}'
        await client.connection.send(f'["1","9","realtime:shared","broadcast",{payload}]')
        heard = (await listener.receive("broadcast"))["payload"]
        assert (heard["event"], heard["payload"]) == ("e\ufffd", {"a": "x\ufffd"})
        await client.connection.send('["1","9","realtime:shared","broadcast",{"payload":NaN}]')
        with pytest.raises(ConnectionClosed):
            await client.receive("never")
    await hears_rows(listener, database)


async def test_only_the_row_that_fits_into_no_event_is_left_out(database: psycopg.Connection, listener: Client) -> None:
    # `json` keeps the escape that `jsonb` refuses, and both keep values that Python cannot parse.
    database.execute("alter table public.typed_rows add column raw json")
    try:
        with database.transaction():
            add = "insert into public.typed_rows (id, part, raw, document) values (%s, 'p', %s, %s)"
            database.execute(add, [1, r'{"a": "\u0000"}', None])
            database.execute(add, [2, "[" * 2000 + "]" * 2000, "9" * 5000])
            database.execute(add, [3, '{"a": 1}', None])
        async with asyncio.timeout(15):
            heard = [str(await listener.connection.recv()) for _ in range(2)]
        assert ["[" * 2000 in heard[0], "9" * 5000 in heard[0], '"id": 3' in heard[1]] == [True, True, True]
    finally:
        database.execute("alter table public.typed_rows drop column raw")
    await hears_rows(listener, database)


async def test_a_channel_that_fails_takes_no_other_with_it(
    server: Served, keys: ProjectKeys, database: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError("nobody foresaw this")

    async with Client(server.url, keys.service_key) as client:
        await client.join("realtime:other")
        await client.subscribe("realtime:rows", REQUESTS)
        with monkeypatch.context() as patch:
            patch.setattr(Channel, "receive", fail)
            await client.send("realtime:other", "broadcast", {}, join_ref="1")
            assert (await client.receive("phx_error"))["topic"] == "realtime:other"
            patch.setattr(Channel, "join", fail)
            crashed = await client.join("realtime:third")
            assert crashed == {"status": "error", "response": {"reason": "join crashed"}}
        client.seen.clear()
        await hears_rows(client, database)
        assert (await client.join("realtime:other"))["status"] == "ok"


_EVENTS = st.sampled_from(["phx_join", "phx_leave", "broadcast", "presence", "access_token", "heartbeat"]) | VALUES
_TOPICS = st.sampled_from(["realtime:x", "realtime:", "realtime:shared", "phoenix"]) | VALUES
_CONFIG = st.fixed_dictionaries(
    {},
    optional={
        "broadcast": VALUES | st.just({"ack": True, "self": True}),
        "presence": VALUES | st.fixed_dictionaries({"enabled": VALUES, "key": VALUES}),
        "private": VALUES,
        "postgres_changes": VALUES
        | st.lists(
            st.fixed_dictionaries({}, optional=dict.fromkeys(("event", "schema", "table", "filter", "select"), VALUES))
        ),
    },
)
_PAYLOADS = VALUES | st.fixed_dictionaries(
    {},
    optional={"config": _CONFIG | VALUES, "access_token": VALUES, "event": VALUES, "type": VALUES, "payload": VALUES},
)
_REFS = st.sampled_from(["1", "2", None]) | VALUES
FRAMES = (
    st.tuples(_REFS, _REFS, _TOPICS, _EVENTS, _PAYLOADS).map(json.dumps)
    | st.binary(max_size=40)
    | st.binary(max_size=40).map(lambda rest: b"\x03" + rest)
    | st.sampled_from(RAW).map(lambda raw: raw.decode("latin-1"))
)


@settings(max_examples=examples(100, thin=30), suppress_health_check=list(HealthCheck))
@given(frames=st.lists(FRAMES, min_size=1, max_size=6))
async def test_no_frame_disturbs_who_listened_before(
    server: Served,
    keys: ProjectKeys,
    database: psycopg.Connection,
    listener: Client,
    caplog: pytest.LogCaptureFixture,
    frames: list[str | bytes],
) -> None:
    async with Client(server.url, keys.service_key, "2.0.0") as client:
        await client.send("realtime:x", "phx_join", {})
        with contextlib.suppress(ConnectionClosed):
            for frame in frames:
                await client.connection.send(frame)
        await hears_rows(listener, database)
    assert client.connection.close_code in (1000, 1011)
    listener.seen.clear()
    assert not [record for record in caplog.records if record.exc_info]
