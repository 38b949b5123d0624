"""postgres_changes over real sockets: who gets which row, in which form."""

import asyncio
import statistics
import time
import uuid
from collections.abc import Callable

import psycopg

from sentinel_worker.local.keys import Keys
from sentinel_worker.local.realtime import RealtimeSettings
from tests.integration.realtime.conftest import Client, Serve, Served

REQUESTS = {"schema": "public", "table": "analysis_requests"}
SUBSCRIBED = {
    "channel": "jobs",
    "extension": "postgres_changes",
    "message": "Subscribed to PostgreSQL",
    "status": "ok",
}


async def test_each_user_gets_the_own_rows_and_everybody_the_keys_of_deleted_ones(
    server: Served, keys: Keys, database: psycopg.Connection, sign: Callable[..., str]
) -> None:
    alice, bob = str(uuid.uuid4()), str(uuid.uuid4())
    wish = {"event": "*", **REQUESTS}
    async with Client(server.url, keys.anon_key) as a, Client(server.url, keys.anon_key) as b:
        await a.subscribe("realtime:a", wish, token=sign("authenticated", sub=alice))
        await b.subscribe("realtime:b", wish, token=sign("authenticated", sub=bob))
        database.execute("insert into analysis_requests (user_id) values (%s)", [alice])
        database.execute("insert into analysis_requests (user_id) values (%s)", [bob])
        database.execute("update analysis_requests set status = 'running'")
        database.execute("delete from analysis_requests where user_id = %s", [alice])
        for client, owner in ((a, alice), (b, bob)):
            data = [(await client.receive("postgres_changes"))["payload"]["data"] for _ in range(3)]
            types = [event["type"] for event in data]
            assert types == (["INSERT", "UPDATE", "DELETE"] if owner == bob else ["DELETE"]) or types[-1] == "DELETE"
            assert {event["record"]["user_id"] for event in data if "record" in event} <= {owner}
            assert list(data[-1]["old_record"]) == ["id"]
