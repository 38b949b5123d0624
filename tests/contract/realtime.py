"""Replay of the recorded exchanges with Supabase Realtime 2.128.3, or 2.102.1 if only that was recorded.

Each recording is one entry of the report. Masked: ids, times, tokens, ages in seconds; binding ids become positions.
Order is compared, durations are not; `realtime_sides` defines which order is free.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from ast import literal_eval
from collections.abc import Collection, Mapping, Sequence

import psycopg
from websockets.exceptions import InvalidStatus

from sentinel_local_supabase.faults import Faults, RealtimeFaults
from sentinel_local_supabase.stack import Stack
from tests.contract import realtime_frames as recorded
from tests.contract.realtime_player import Player
from tests.contract.realtime_world import BEFORE_READY, BEGINNING, MARKERS
from tests.contract.replay import COMPARED_HEADERS, RECORDINGS
from tests.contract.report import Report
from tests.integration.realtime.conftest import Client
from tests.waits import until

NAME = "Realtime"
_SUPERSEDED = "Only from 2.102.1; 2.128.3, recorded with an outage of 75 s, sends its clients nothing"
LEFT_OUT = {
    "05e_unknown_tenant": "The local Supabase has one project under any host name",
    "2.102.1/08_postgres_restart_immediate_30s": _SUPERSEDED,
    "2.102.1/08c_postgres_restart_immediate_75s": _SUPERSEDED,
    "2.102.1/08b_postgres_restart_selfhost_fast_10s": "A self-hosted setup whose whole server ends with PostgreSQL",
}
# These change the publication, which affects all subscriptions; stop PostgreSQL or the gateway; or exceed the limit.
_ALONE = re.compile(r"06d|14_|08|12_|15_|10_|09d")
_FRESH = ("2.102.1/15_rate_limit_fresh_1000", "10_burst")
_SILENT = "2.102.1/09d_no_heartbeat"
LAST = {
    *(*_FRESH, _SILENT),
    # Each is a variant, in length or method, of one that is played.
    "08_postgres_restart_immediate_75s",
    "2.102.1/08_postgres_restart_fast_3s",
    "2.102.1/11_big_payload",
    "2.102.1/12_server_restart_TERM_20s",
}
"""Recordings that take many seconds: `make test` plays the others."""
_BAD_KEY = "04a_connect_bad_apikey_"
_BAD_TOKEN = "04b_join_bad_token_"
_CLEAN = f"""
alter table public.analysis_requests enable row level security;
truncate public.analysis_requests, public.big_rows, public.full_rows;
alter publication supabase_realtime set table public.analysis_requests, public.big_rows, public.full_rows,
  public.no_grant, public.{MARKERS};
"""
_SLOW = Faults(realtime=RealtimeFaults(ready_seconds=0.5))
_SLOTS = "select from pg_replication_slots where slot_name like 'supabase_realtime_replication%'"


async def compare(stack: Stack, report: Report) -> None:
    """Play all on a stack without migrations; restarts its PostgreSQL and its gateway, and takes two minutes."""
    found = await _played(stack, set(recorded.names()) - {*_FRESH, _SILENT})
    await _restart_gateway(stack)
    found[_FRESH[0]] = await play(stack, _FRESH[0])
    # Both take a minute and do not interact; the tables are prepared before either subscribes.
    await _restart_gateway(stack)
    await make_ready(stack, _FRESH[1])
    found[_FRESH[1]], found[_SILENT] = await asyncio.gather(Player(stack, _FRESH[1]).play(), _stay_silent(stack))
    await _restart_gateway(stack)
    _tell(report, found)


async def compare_sample(stack: Stack, report: Report) -> None:
    """Play all except LAST, which takes seconds; the report has only the played ones."""
    _tell(report, await _played(stack, set(recorded.names()) - LAST))


def expected() -> Report:
    """Return the report of a replay in which everything is as recorded."""
    report = Report(NAME)
    _tell(report, {name: [] for name in recorded.names()})
    return report


async def _played(stack: Stack, wanted: Collection[str]) -> dict[str, list[str]]:
    """Return the differences in the `wanted` that need no fresh gateway: refusals at once, others in turn."""
    prepare(stack)
    names = [name for name in recorded.names() if name in wanted and name not in LEFT_OUT]
    refused = [name for name in names if name.startswith((_BAD_KEY, _BAD_TOKEN))]
    answers = await asyncio.gather(*(_refusal(stack, name) for name in refused))
    found = dict(zip(refused, answers, strict=True))
    for name in sorted((name for name in names if name not in found), key=lambda name: bool(_ALONE.search(name))):
        found[name] = await play(stack, name)
    return found


def _tell(report: Report, found: Mapping[str, list[str]]) -> None:
    for name in recorded.names():
        if name in LEFT_OUT:
            report.leave_out(name, LEFT_OUT[name])
        elif name in found:
            report.compared(name, found[name])


def prepare(stack: Stack) -> None:
    """Create the tables that recordings are played on."""
    with psycopg.connect(stack.superuser_dsn, autocommit=True) as database:
        database.execute((RECORDINGS / "schema-realtime.sql").read_bytes())
        database.execute(BEGINNING.encode())


async def play(stack: Stack, name: str) -> list[str]:
    """Play one recording and return its differences, one a line."""
    await make_ready(stack, name)
    return await Player(stack, name, tokens=_tokens(stack, name)).play()


async def make_ready(stack: Stack, name: str) -> None:
    """Remove traces of earlier recordings, and make the server as slow as it was for this one."""
    await clean(stack)
    await stack.misbehave(_SLOW if name in BEFORE_READY else Faults())


async def _stay_silent(stack: Stack) -> list[str]:
    passes_over = frozenset({"postgres_changes"})
    return await Player(stack, _SILENT, passes_over=passes_over).play()


async def _restart_gateway(stack: Stack) -> None:
    await stack.stop_gateway()
    await stack.start_gateway()


async def clean(stack: Stack) -> None:
    """Empty the tables and restore the publication, without any subscription that would notice."""
    async with await psycopg.AsyncConnection.connect(stack.superuser_dsn, autocommit=True) as database:

        async def is_free() -> bool:
            return not (await database.execute(_SLOTS)).rowcount

        await until(is_free)
        await database.execute(_CLEAN.encode())


async def _refusal(stack: Stack, name: str) -> list[str]:
    if name.startswith(_BAD_TOKEN):
        return await Player(stack, name, tokens=_tokens(stack, name)).play()
    note = next(cue.note for cue in recorded.cues(name) if cue.note.startswith("HTTP"))
    expected = re.search(r"HTTP (\d+) body=bytearray\(b'(.*?)'\) headers=({.*?})", note)
    assert expected is not None
    url = stack.url.replace("http", "ws") + "/realtime/v1"
    try:
        await Client(url, _bad_key(stack, name.removeprefix(_BAD_KEY))).__aenter__()
    except InvalidStatus as refused:
        answer = refused.response
        headers = {name: value for name, value in literal_eval(expected[3]).items() if name in COMPARED_HEADERS}
        got = (answer.status_code, json.loads(answer.body), {name: answer.headers.get(name) for name in headers})
        wanted = (int(expected[1]), json.loads(expected[2]), headers)
        return [] if got == wanted else [f"got {got}, recorded {wanted}"]
    return [f"connected, recorded {note}"]


def _bad_key(stack: Stack, case: str) -> str:
    head, body, _ = stack.anon_key.split(".")
    return {
        "bad_signature": f"{head}.{body}.c2lnbmF0dXJl",
        "expired": stack.keys.sign({"role": "anon", "exp": int(time.time()) - 60}),
        "garbage": "not-a-jwt",
        "missing": "",
        "no_exp": stack.keys.sign({"role": "anon"}),
        "no_role": stack.keys.sign({"exp": 2_000_000_000}),
        "sb_key": "sb_publishable_abc",
    }[case]


def _tokens(stack: Stack, name: str) -> Sequence[str]:
    """Return the tokens whose special property is not visible in the recorded text."""

    def token(role: str = "service_role", lives_seconds: int = 3600, **claims: str) -> str:
        return stack.keys.sign({"role": role, "exp": int(time.time()) + lives_seconds, **claims})

    head, body, _ = token().split(".")
    special: dict[str, Sequence[str]] = {
        "03_access_token": [token(), *[token(jti="1")] * 2, token(lives_seconds=-60)],
        "03b_access_token_expires_while_joined": [token(lives_seconds=2)],
        "03c_access_token_with_join_ref": [*(token(jti=str(n)) for n in range(4)), token(lives_seconds=-60)],
        f"{_BAD_TOKEN}bad_signature": [f"{head}.{body}.{stack.anon_key.split('.')[2]}"],
        f"{_BAD_TOKEN}expired": [token(lives_seconds=-60)],
        f"{_BAD_TOKEN}garbage": ["not-a-jwt"],
        f"{_BAD_TOKEN}no_role": [stack.keys.sign({"exp": 2_000_000_000})],
        f"{_BAD_TOKEN}unknown_role": [token("nosuchrole")],
    }
    return special.get(name, ())
