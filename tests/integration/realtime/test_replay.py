"""Broadcasts that a joining client asks to hear again, the notice that new ones arrive, and bytes from the database."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from sentinel_local_supabase.keys import ProjectKeys
from tests.integration.realtime.conftest import Client, Served
from tests.waits import until

SEND = "select realtime.send(jsonb_build_object('n', %s::int), 'e', %s, true)"


async def joined(client: Client, room: str, token: str, **replay: Any) -> list[int]:
    """Join a private room; return the numbers of the replayed messages, which a later one follows."""
    broadcast = {"ack": False, "self": True, "replay": replay}
    assert (await client.join(f"realtime:{room}", private=True, token=token, broadcast=broadcast))["status"] == "ok"
    marker = {"type": "broadcast", "event": "last", "payload": {}}
    await client.send(f"realtime:{room}", "broadcast", marker, join_ref="1")
    heard = []
    while (payload := (await client.receive("broadcast"))["payload"])["event"] != "last":
        assert payload["meta"]["replayed"] is True
        assert payload["meta"]["id"] == payload["payload"]["id"]
        heard.append(payload["payload"]["n"])
    return heard


async def test_the_latest_messages_are_replayed_in_order(
    server: Served, keys: ProjectKeys, database: psycopg.Connection, sign: Callable[..., str]
) -> None:
    room, token = f"room-{uuid4()}", sign("service_role")
    for n in range(30):
        database.execute(SEND, [n, room])
    database.execute("select realtime.send('{\"n\": 99}'::jsonb, 'e', %s, false)", [room])
    database.execute(SEND, [98, f"{room}-other"])
    middle = database.execute(
        "select floor(extract(epoch from inserted_at at time zone 'utc') * 1000)::bigint from realtime.messages "
        "where topic = %s and payload ->> 'n' = '27'",
        [room],
    ).fetchone()
    assert middle is not None
    database.execute("update realtime.messages set inserted_at = inserted_at - interval '1 s' "
                     "where topic = %s and (payload ->> 'n')::int < 27", [room])  # fmt: skip
    wishes: list[tuple[dict[str, Any], list[int]]] = [
        ({"since": 0}, list(range(5, 30))),
        ({"since": 0, "limit": 3}, [27, 28, 29]),
        ({"since": 0, "limit": -1}, [29]),
        ({"since": middle[0], "limit": 25}, [27, 28, 29]),
        ({"since": 253_402_300_799_999}, []),
    ]
    for wish, expected in wishes:
        async with Client(server.url, keys.anon_key) as client:
            assert await joined(client, room, token, **wish) == expected


@pytest.mark.parametrize(
    ("private", "replay", "reason"),
    [
        (False, {"since": 0}, "UnableToReplayMessages: Replay is not allowed for public channels"),
        (True, {"limit": 3}, "UnableToReplayMessages: Replay params are not valid"),
        (True, {"since": "0"}, "UnableToReplayMessages: Replay params are not valid"),
        (True, {"since": 0, "limit": 1.5}, "UnableToReplayMessages: Replay params are not valid"),
        (True, {"since": 10**18}, "UnableToReplayMessages: Replay params are not valid"),
    ],
)
async def test_a_replay_that_cannot_be_is_refused(
    server: Served, keys: ProjectKeys, sign: Callable[..., str], private: bool, replay: dict[str, Any], reason: str
) -> None:
    async with Client(server.url, keys.anon_key) as client:
        reply = await client.join(
            "realtime:room", private=private, token=sign("service_role"), broadcast={"replay": replay}
        )
        assert reply == {"status": "error", "response": {"reason": reason}}


async def test_a_client_that_asks_is_told_that_broadcasts_of_the_database_arrive(
    server: Served, keys: ProjectKeys
) -> None:
    async with Client(server.url, keys.anon_key) as client:
        await client.join("realtime:room", broadcast={"replication_ready": True})
        assert (await client.receive("system"))["payload"] == {
            "message": "Replication connection established",
            "status": "ok",
            "extension": "system",
            "channel": "room",
        }
        await client.join("realtime:other")
        await client.send("phoenix", "heartbeat", {})
        assert (await client.receive())["topic"] == "phoenix"


async def test_a_replayed_message_is_not_heard_again(
    server: Served, keys: ProjectKeys, database: psycopg.Connection, sign: Callable[..., str]
) -> None:
    """A message of the moment of the join can be in both: among the latest ones, and in the stream that follows."""
    room, token = f"room-{uuid4()}", sign("service_role")
    database.execute(SEND, [1, room])
    streamed_again = (
        "insert into realtime.messages (id, topic, event, private, extension, payload) "
        "select id, topic, event, private, extension, payload from realtime.messages where topic = %s"
    )
    async with Client(server.url, keys.anon_key) as client, Client(server.url, keys.anon_key) as other:
        assert await joined(client, room, token, since=0) == [1]
        await other.join(f"realtime:{room}", private=True, token=token)
        database.execute(streamed_again, [room])
        database.execute(SEND, [2, room])
        assert (await client.receive("broadcast"))["payload"]["payload"]["n"] == 2
        assert [(await other.receive("broadcast"))["payload"]["payload"]["n"] for _ in range(2)] == [1, 2]


async def test_the_notice_waits_while_the_stream_is_lost(
    server: Served, keys: ProjectKeys, database: psycopg.Connection
) -> None:
    async with Client(server.url, keys.anon_key) as client:
        free = "select count(*) < current_setting('max_replication_slots')::int from pg_replication_slots"
        fill = "select pg_create_physical_replication_slot('filler_' || %s::int)"
        lost = "select pg_terminate_backend(pid) from pg_stat_replication where application_name = 'realtime_messages'"
        fillers = 0
        try:
            while database.execute(free).fetchone() == (True,):
                database.execute(fill, [fillers := fillers + 1])
            assert database.execute(lost).fetchall() == [(True,)]
            # Its own slot is free again once its backend is gone, and must not be taken by the next one.
            await until(lambda: database.execute(free).fetchone() == (True,))
            database.execute(fill, [fillers := fillers + 1])

            async def is_silent() -> bool:
                await client.join(f"realtime:{uuid4()}", broadcast={"replication_ready": True})
                heard = len(client.seen)
                await client.reply(await client.send("phoenix", "heartbeat", {}))
                return "system" not in [frame["event"] for frame in client.seen[heard:]]

            await until(is_silent)
        finally:
            database.execute(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name ~ '^filler_'"
            )
        assert (await client.receive("system"))["payload"]["message"] == "Replication connection established"


async def test_bytes_from_the_database(
    server: Served, keys: ProjectKeys, database: psycopg.Connection, sign: Callable[..., str]
) -> None:
    room, token = f"room-{uuid4()}", sign("service_role")
    async with Client(server.url, keys.anon_key, "2.0.0") as client:
        await client.join(f"realtime:{room}", private=True, token=token)
        database.execute("select realtime.send_binary('\\x00ff', 'e', %s)", [room])
        live = (await client.receive("binary"))["payload"]
    async with Client(server.url, keys.anon_key, "2.0.0") as client:
        await client.join(f"realtime:{room}", private=True, token=token, broadcast={"replay": {"since": 0}})
        again = (await client.receive("binary"))["payload"]
    for raw, replayed in ((live, None), (again, True)):
        kind, topic, event, meta, encoding = raw[:5]
        assert (kind, encoding, raw[5 + topic + event + meta :]) == (4, 0, b"\x00\xff")
        assert json.loads(raw[5 + topic + event :][:meta]).get("replayed") is replayed


@pytest.mark.parametrize("vsn", ["1.0.0", "2.0.0"])
async def test_a_join_without_join_ref_is_answered_by_messages_without_one(
    server: Served, keys: ProjectKeys, vsn: str
) -> None:
    """As clients of protocol 1 such as realtime-py 2.30 send them; another join_ref is ignored."""
    topic = "realtime:null"
    config = {"broadcast": {"self": True, "ack": True}, "presence": {"enabled": True, "key": "me"}}
    message: dict[str, Any] = {"type": "broadcast", "payload": {}}
    async with Client(server.url, keys.anon_key, vsn) as client:

        async def send(event: str, payload: dict[str, Any], ref: str, join_ref: str | None = None) -> None:
            frame = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": join_ref}
            await client.send_frame(frame)

        await send("phx_join", {"config": config}, "1")
        assert (await client.reply("1"))["status"] == "ok"
        assert (await client.receive("presence_state"))["payload"] == {}
        await send("broadcast", message | {"event": "ignored"}, "2", join_ref="1")
        await send("broadcast", message | {"event": "heard"}, "3")
        assert (await client.receive("broadcast"))["payload"]["event"] == "heard"
        assert (await client.reply("3"))["status"] == "ok"
        await send("presence", {"type": "presence", "event": "track", "payload": {"a": 1}}, "4")
        assert list((await client.receive("presence_diff"))["payload"]["joins"]) == ["me"]
        await send("phx_leave", {}, "5")
        assert (await client.reply("5"))["status"] == "ok"
        closed = await client.receive("phx_close")
        assert (closed["ref"], closed.get("join_ref")) == (None, None)
