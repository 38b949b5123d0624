"""Presence over real sockets: states, diffs, several metas of one key, rights."""

from collections.abc import Callable
from typing import Any

import psycopg

from sentinel_local_supabase.keys import ProjectKeys
from tests.integration.realtime.conftest import Client, Served

TOPIC = "realtime:p"


async def enter(client: Client, key: str, **config: Any) -> dict[str, Any]:
    """Join, and return the state that follows the reply."""
    assert (await client.join(TOPIC, presence={"key": key, "enabled": True}, **config))["status"] == "ok"
    return dict((await client.receive("presence_state"))["payload"])


async def say(client: Client, event: str, **payload: Any) -> dict[str, Any]:
    """Send a presence message, and return the payload of its reply."""
    ref = await client.send(TOPIC, "presence", {"type": "presence", "event": event, **payload}, join_ref="1")
    while (reply := await client.receive("phx_reply"))["ref"] != ref:
        continue
    return dict(reply["payload"])


async def next_diff(client: Client) -> dict[str, Any]:
    return dict((await client.receive("presence_diff"))["payload"])


def refs(diff: dict[str, Any], side: str, key: str) -> list[tuple[str, str | None]]:
    return [(meta["phx_ref"], meta.get("phx_ref_prev")) for meta in diff[side][key]["metas"]]


async def test_joins_updates_and_leaves_are_announced(server: Served, keys: ProjectKeys) -> None:
    async with Client(server.url, keys.anon_key) as a:
        assert await enter(a, "alice") == {}
        async with Client(server.url, keys.anon_key) as b:
            assert await enter(b, "bob") == {}
            assert await say(a, "track", payload={"mood": "good"}) == {"status": "ok", "response": {}}
            came = await next_diff(b)
            ((first, _),) = refs(came, "joins", "alice")
            assert came == {"joins": {"alice": {"metas": [{"mood": "good", "phx_ref": first}]}}, "leaves": {}}
            assert await say(a, "track", payload={"mood": "good"}) == {"status": "ok", "response": {}}
            await say(a, "TRACK", payload={"mood": "bad"})
            changed = await next_diff(b)
            ((second, previous),) = refs(changed, "joins", "alice")
            assert previous == first != second
            assert refs(changed, "leaves", "alice") == [(first, None)]
            async with Client(server.url, keys.anon_key) as again:
                state = await enter(again, "alice")
                assert [meta["mood"] for meta in state["alice"]["metas"]] == ["bad"]
                await say(again, "track", payload={"mood": "new"})
                assert (await next_diff(b))["joins"]["alice"]["metas"][0]["mood"] == "new"
            assert (await next_diff(b))["leaves"]["alice"]["metas"][0]["mood"] == "new"
            await say(a, "untrack")
            assert refs(await next_diff(b), "leaves", "alice") == [(second, first)]
        assert [frame["event"] for frame in a.seen].count("presence_diff") == 5  # the sender hears itself, too


async def test_an_invalid_presence_is_refused(server: Served, keys: ProjectKeys) -> None:
    async with Client(server.url, keys.anon_key) as client:
        await enter(client, "")
        refused = await say(client, "track", payload=[1])
        assert refused == {"status": "error", "response": {"reason": "Presence track payload must be a map"}}
        assert (await say(client, "dance"))["status"] == "error"
        assert (await say(client, "untrack"))["status"] == "ok"
        await say(client, "track", payload={"n": 1})
        diffs = [frame["payload"] for frame in client.seen if frame["event"] == "presence_diff"]
        assert [len(key) for diff in diffs for key in diff["joins"]] == [36]  # the server generated a key


async def test_presence_on_a_private_topic_needs_rights_of_its_own(
    server: Served, keys: ProjectKeys, database: psycopg.Connection, sign: Callable[..., str]
) -> None:
    policies = ["for select to authenticated using (true)"]
    policies += ["for insert to authenticated with check (extension = 'presence' and auth.jwt() ->> 'may' = 'yes')"]
    for number, policy in enumerate(policies):
        database.execute(f"create policy p{number} on realtime.messages {policy}".encode())
    try:
        async with Client(server.url, keys.anon_key) as a, Client(server.url, keys.anon_key) as b:
            await enter(a, "a", private=True, token=sign("authenticated", may="yes"))
            await enter(b, "b", private=True, token=sign("authenticated", may="no"))
            assert await say(b, "track", payload={}) == {"status": "error", "response": {}}
            assert (await say(a, "track", payload={}))["status"] == "ok"
            assert set((await next_diff(b))["joins"]) == {"a"}
    finally:
        for number in range(len(policies)):
            database.execute(f"drop policy p{number} on realtime.messages".encode())
