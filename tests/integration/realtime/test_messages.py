"""Broadcasts: from the database to private topics, and the rights on them."""

import asyncio
import json
import statistics
import struct
import time
from collections.abc import Callable

import psycopg

from sentinel_worker.local.keys import Keys
from tests.integration.realtime.conftest import Client, Served

WAKE = "select realtime.send(%s::jsonb, 'wake', 'sentinel:wake', true)"


async def test_a_policy_lets_a_role_hear_a_private_topic(
    server: Served, keys: Keys, database: psycopg.Connection, sign: Callable[..., str]
) -> None:
    async with Client(server.url, keys.publishable_key) as client:
        reply = await client.join("realtime:sentinel:wake", private=True, token=sign("sentinel_worker"))
        assert reply["status"] == "ok"
        taken = []
        for n in range(80):
            started = time.perf_counter()
            await asyncio.to_thread(database.execute, WAKE, [json.dumps({"n": n})])
            payload = (await client.receive("broadcast"))["payload"]
            taken.append((time.perf_counter() - started) * 1000)
            assert payload["event"] == "wake"
            assert payload["payload"]["n"] == n
        print(f"realtime.send to frame: median {statistics.median(taken):.1f} ms, p95 {sorted(taken)[75]:.1f} ms")  # noqa: T201 - a measurement for whoever runs with -s
        assert min(taken) < 50  # the median belongs to the machine's load
        assert max(taken) < 2000


async def test_a_refused_private_join_stops_its_own_connection_only(
    server: Served, keys: Keys, database: psycopg.Connection, sign: Callable[..., str]
) -> None:
    async with Client(server.url, keys.anon_key) as blocked, Client(server.url, keys.anon_key) as free:
        for client in (blocked, free):
            await client.join("realtime:open")
        started = time.perf_counter()
        joining = asyncio.create_task(
            blocked.join("realtime:sentinel:wake", private=True, token=sign("authenticated", sub="x"))
        )
        await asyncio.sleep(0.1)
        database.execute("select realtime.send('{}'::jsonb, 'e', 'open', false)")
        await free.receive("broadcast")
        assert time.perf_counter() - started < 0.3
        reply = await joining
        assert reply == {
            "status": "error",
            "response": {
                "reason": "Unauthorized: You do not have permissions to read from this Channel topic: sentinel:wake"
            },
        }
        assert time.perf_counter() - started >= 0.3
        assert "broadcast" in [frame["event"] for frame in blocked.seen] or await blocked.receive("broadcast")


async def test_private_and_public_topics_of_one_name_are_two(
    server: Served, keys: Keys, database: psycopg.Connection, sign: Callable[..., str]
) -> None:
    token = sign("service_role")
    async with Client(server.url, keys.anon_key) as public, Client(server.url, keys.anon_key) as private:
        await public.join("realtime:room")
        await private.join("realtime:room", private=True, token=token)
        with database.transaction(force_rollback=True):
            database.execute("select realtime.send('{\"n\": 0}'::jsonb, 'rolled back', 'room', true)")
        database.execute("select realtime.send('{\"n\": 1}'::jsonb, 'e', 'room', true)")
        database.execute("select realtime.send('{\"n\": 2}'::jsonb, 'e', 'room', false)")
        assert (await private.receive("broadcast"))["payload"]["payload"]["n"] == 1
        assert (await public.receive("broadcast"))["payload"]["payload"]["n"] == 2


async def test_a_role_without_the_right_to_write_is_not_heard(
    server: Served, keys: Keys, sign: Callable[..., str]
) -> None:
    async with Client(server.url, keys.anon_key) as worker, Client(server.url, keys.anon_key) as service:
        await worker.join("realtime:sentinel:wake", private=True, token=sign("sentinel_worker"))
        await service.join("realtime:sentinel:wake", private=True, token=sign("service_role"))
        topic = "realtime:sentinel:wake"
        await worker.send(topic, "broadcast", {"type": "broadcast", "event": "forged", "payload": {}}, join_ref="1")
        await service.send(topic, "broadcast", {"type": "broadcast", "event": "real", "payload": {}}, join_ref="1")
        assert (await worker.receive("broadcast"))["payload"]["event"] == "real"
        await service.send("phoenix", "heartbeat", {})
        assert (await service.receive())["topic"] == "phoenix"


async def test_binary_pushes_of_version_two(server: Served, keys: Keys) -> None:
    async with Client(server.url, keys.anon_key, "2.0.0") as new, Client(server.url, keys.anon_key) as old:
        await new.join("realtime:b", broadcast={"self": True, "ack": True})
        await old.join("realtime:b")
        for encoding, body in ((1, b'{"n": 1}'), (0, b"\x00\xff")):
            fields = [b"1", b"9", b"realtime:b", b"ping", b""]
            header = struct.pack("7B", 3, *(len(field) for field in fields), encoding)
            await new.connection.send(header + b"".join(fields) + body)
            heard = await new.receive()
            if encoding:
                assert heard["payload"] == {"event": "ping", "payload": {"n": 1}, "type": "broadcast"}
            else:
                assert heard["payload"] == bytes([4, 10, 4, 0, 0]) + b"realtime:bping" + body
            assert (await new.receive("phx_reply"))["ref"] == "9"
        assert (await old.receive("broadcast"))["payload"]["payload"] == {"n": 1}
        await old.send("phoenix", "heartbeat", {})
        assert (await old.receive())["topic"] == "phoenix"  # version 1 has no form for bytes


async def test_presence_is_an_empty_state_once(server: Served, keys: Keys) -> None:
    async with Client(server.url, keys.anon_key) as client:
        await client.join("realtime:p", presence={"key": "w1", "enabled": True})
        state = await client.receive()
        assert (state["event"], state["payload"]) == ("presence_state", {})
        ref = await client.send("realtime:p", "presence", {"type": "presence", "event": "track"}, join_ref="1")
        reply = await client.receive()
        assert (reply["event"], reply["ref"], reply["payload"]["status"]) == ("phx_reply", ref, "ok")
