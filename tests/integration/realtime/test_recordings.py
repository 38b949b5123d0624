"""Frames compared with those of Supabase Realtime 2.128.3.

A recording is played again: what its client sent is sent, what happened to the table is derived from
the events that it received, and each frame must come back, in groups whose order the real server leaves
open. Equal apart from ids of bindings and messages, times of commit, and seconds since an expiry.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from websockets.exceptions import InvalidStatus

from sentinel_worker.local.keys import Keys
from tests.integration.realtime.conftest import Client, Served

RECORDINGS = Path(__file__).parent / "recordings"
TOKEN = re.compile(r"<jwt role=(\w+)(?: sub=([0-9a-f-]+))?>")
Frame = dict[str, Any]


def recorded(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (RECORDINGS / f"{name}.jsonl").read_text().splitlines()]


def as_object(frame: Frame | list[Any]) -> Frame:
    if isinstance(frame, list):
        return dict(zip(("join_ref", "ref", "topic", "event", "payload"), frame, strict=True))
    return frame


def comparable(frame: Frame) -> str:
    """A frame without what differs from run to run: binding and message ids, the time of the commit."""
    frame = json.loads(re.sub(r"expired \d+ seconds", "expired 0 seconds", json.dumps(frame)))
    payload = frame["payload"]
    if "ids" in payload:
        payload["ids"] = len(payload["ids"])
        if payload["data"]["commit_timestamp"]:
            payload["data"]["commit_timestamp"] = re.sub(r"\d", "0", payload["data"]["commit_timestamp"])
    if "meta" in payload:
        assert payload["meta"]["id"] == payload["payload"]["id"]
        payload["meta"]["id"] = payload["payload"]["id"] = None
    for binding in (payload.get("response") or {}).get("postgres_changes", []) if "response" in payload else []:
        assert isinstance(binding.pop("id"), int)
    return json.dumps(frame, sort_keys=True)


def change_the_table(database: psycopg.Connection, data: dict[str, Any]) -> None:
    """Do what a recorded event reports."""
    table = sql.Identifier(data["schema"], data["table"])
    if data["errors"]:
        database.execute(sql.SQL("insert into {} default values").format(table))
        return
    values = dict(data.get("record", {}))
    columns = sql.SQL(", ").join(map(sql.Identifier, values))
    marks = sql.SQL(", ").join([sql.Placeholder()] * len(values))
    match data["type"]:
        case "INSERT":
            statement = sql.SQL("insert into {} ({}) values ({})").format(table, columns, marks)
            database.execute(statement, list(values.values()))
        case "UPDATE":
            statement = sql.SQL("update {} set ({}) = row({}) where id = %s").format(table, columns, marks)
            database.execute(statement, [*values.values(), values["id"]])
        case _:
            key = data["old_record"]["id"]
            with database.transaction():  # a row that nobody saw: it is gone before the poll
                insert = "insert into {} (id) overriding system value values (%s) on conflict do nothing"
                database.execute(sql.SQL(insert).format(table), [key])
                database.execute(sql.SQL("delete from {} where id = %s").format(table), [key])


def groups(lines: list[dict[str, Any]]) -> Iterator[tuple[str, list[Frame]]]:
    """Sends one by one, runs of received frames together, each row change apart."""
    run: list[Frame] = []
    for line in lines:
        frame = as_object(line["frame"]) if line["dir"] != "note" else {}
        if run and (line["dir"] != "recv" or frame["event"] == "postgres_changes"):
            yield "recv", run
            run = []
        if line["dir"] == "send":
            yield "send", [frame]
        elif line["dir"] == "recv":
            run.append(frame)
    if run:
        yield "recv", run


class Player:
    """Plays one recording; `tokens` replaces the tokens of the sends in their order."""

    def __init__(self, server: Served, database: psycopg.Connection, sign: Callable[..., str]) -> None:
        self.server = server
        self.database = database
        self.sign = sign

    def token(self, text: str) -> str:
        if found := TOKEN.fullmatch(text):
            return self.sign(found[1], **({"sub": found[2]} if found[2] else {}))
        return text

    async def play(self, name: str, tokens: list[str] | None = None, apikey: str | None = None) -> None:
        pending = list(tokens or [])
        vsn = "2.0.0" if "vsn2" in name else "1.0.0"
        async with Client(self.server.url, apikey or self.sign("service_role"), vsn) as client:
            for direction, frames in groups(recorded(name)):
                if direction == "send":
                    frame = frames[0]
                    if "access_token" in frame["payload"]:
                        frame["payload"]["access_token"] = (
                            pending.pop(0) if pending else self.token(frame["payload"]["access_token"])
                        )
                    await client.send_frame(frame)
                    continue
                if frames[0]["event"] == "postgres_changes":
                    change_the_table(self.database, frames[0]["payload"]["data"])
                got = [await client.receive() for _ in frames]
                assert sorted(map(comparable, got)) == sorted(map(comparable, frames))
            # Nothing else was on its way: the answer to a heartbeat is the next frame.
            await client.send("phoenix", "heartbeat", {})
            assert (await client.receive())["topic"] == "phoenix"


@pytest.fixture
def player(server: Served, database: psycopg.Connection, sign: Callable[..., str]) -> Player:
    return Player(server, database, sign)


@pytest.mark.parametrize(
    "name",
    [
        "01_join_insert_update_delete",
        "01b_replica_identity_full",
        "02_heartbeat",
        "03_access_token",
        "04c_anon_apikey_service_token",
        "04d_anon_apikey_no_token",
        "05_bad_binding_empty_filter_string",
        "05_bad_binding_filter_bad_column",
        "05_bad_binding_filter_bad_operator",
        "05_bad_binding_filter_bad_value",
        "05_bad_binding_filter_in",
        "05_bad_binding_filter_null",
        "05_bad_binding_filter_undefined",
        "05_bad_binding_lowercase_event",
        "05_bad_binding_no_bindings",
        "05_bad_binding_one_good_one_bad",
        "05_bad_binding_schema_missing",
        "05_bad_binding_table_missing",
        "05_bad_binding_table_not_in_publication",
        "05b_vsn2",
        "05c_topic_without_realtime_prefix",
        "05d_double_join_same_topic",
        "06_rls_user",
        "06b_rls_anon",
        "06c_no_select_grant",
    ],
)
async def test_a_recorded_exchange_comes_back(player: Player, name: str) -> None:
    await player.play(name)


async def test_a_token_is_renewed_with_the_join_ref_only(player: Player, sign: Callable[..., str]) -> None:
    fresh = [sign("service_role", jti=str(n)) for n in range(4)]
    await player.play("03c_access_token_with_join_ref", [*fresh, sign("service_role", lives_seconds=-60)])


async def test_joins_with_bad_tokens_are_refused_in_the_same_words(
    player: Player, keys: Keys, sign: Callable[..., str]
) -> None:
    good = sign("service_role")
    head, body, _ = good.split(".")
    bad = {
        "bad_signature": f"{head}.{body}.{sign('anon').split('.')[2]}",
        "expired": sign("service_role", lives_seconds=-60),
        "garbage": "not-a-jwt",
        "no_role": keys.sign({"exp": 2_000_000_000}),
        "unknown_role": sign("nosuchrole"),
    }
    for case, token in bad.items():
        await player.play(f"04b_join_bad_token_{case}", [token])


@pytest.mark.parametrize(
    ("case", "apikey"),
    [
        ("bad_signature", "{head}.{body}.c2lnbmF0dXJl"),
        ("expired", "{expired}"),
        ("garbage", "not-a-jwt"),
        ("missing", ""),
        ("no_exp", "{no_exp}"),
        ("no_role", "{no_role}"),
        ("sb_key", "sb_publishable_abc"),
    ],
)
async def test_a_connection_with_a_bad_key_is_refused(
    server: Served, keys: Keys, sign: Callable[..., str], case: str, apikey: str
) -> None:
    head, body, _ = sign("anon").split(".")
    key = apikey.format(
        head=head,
        body=body,
        expired=sign("anon", lives_seconds=-60),
        no_exp=keys.sign({"role": "anon"}),
        no_role=keys.sign({"exp": 2_000_000_000}),
    )
    note = recorded(f"04a_connect_bad_apikey_{case}")[-1]["frame"]
    expected = re.search(r"HTTP (\d+) body=bytearray\(b'(.*?)'\) headers", note)
    assert expected is not None
    with pytest.raises(InvalidStatus) as refused:
        await Client(server.url, key).__aenter__()
    response = refused.value.response
    assert response.status_code == int(expected[1])
    assert json.loads(response.body) == json.loads(expected[2])


async def test_broadcasts_between_clients_and_over_http(server: Served, keys: Keys, sign: Callable[..., str]) -> None:
    lines = recorded("07_broadcast")
    async with Client(server.url, keys.service_key) as a, Client(server.url, keys.anon_key) as b:
        clients = {"A": a, "B": b}
        pending: dict[str, list[Frame]] = {"A": [], "B": []}
        over_http = {"rest": {"x": 1}, "rest2": {"x": 2}}
        for line in lines:
            frame, client = line["frame"], clients[line["client"]]
            if line["dir"] == "send":
                if "access_token" in frame["payload"]:
                    frame["payload"]["access_token"] = sign("service_role")
                await client.send_frame(frame)
            elif line["dir"] == "recv":
                event = frame["payload"].get("event")
                if event in over_http:
                    body = {"messages": [{"topic": "room", "event": event, "payload": over_http.pop(event)}]}
                    address = server.url.replace("ws://", "http://") + "/api/broadcast"
                    async with httpx.AsyncClient() as web:
                        answer = await web.post(address, json=body, headers={"apikey": keys.secret_key})
                    assert answer.status_code == 202
                if not pending[line["client"]]:
                    pending[line["client"]].append(await client.receive())
                assert comparable(pending[line["client"]].pop()) == comparable(frame)


async def test_a_broadcast_from_the_database(
    server: Served, database: psycopg.Connection, sign: Callable[..., str]
) -> None:
    send, reply, broadcast = (line["frame"] for line in recorded("07b_broadcast_from_database")[1:4])
    send["payload"]["access_token"] = sign("service_role")
    async with Client(server.url, sign("service_role")) as client:
        await client.send_frame(send)
        assert comparable(await client.receive()) == comparable(reply)
        database.execute("select realtime.send('{\"job\": 1}'::jsonb, 'created', 'dbroom', true)")
        assert comparable(await client.receive()) == comparable(broadcast)
