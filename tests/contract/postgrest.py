"""Replay of the recorded exchanges with PostgREST 14.12 against the local REST, in order."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import jwt
import psycopg

from sentinel_local_supabase.stack import Stack
from tests.contract import postgrest_scenes as scenes
from tests.contract.explained import Known, judge
from tests.contract.replay import RECORDINGS, Claims, Exchange, Replayer, differences, masked, read
from tests.contract.report import Report

NAME = "PostgREST"
_DEADLINE_SECONDS = 10
# The response to an update of 1,500 rows, with masked times.
_UPDATED_ROWS = (
    '[{"amount": null, "at": "<instant>", "attempts": 0, "big": null, "data": null, "day": null, "id": 9,… '
    "(362577 characters, sha256=266d6fb9b890ba1605af7702eaf9528c07ca5764feafade325023f31453477c5)"
)


def _raised(code: str) -> Known:
    """Return the explained differences for a function that raises a serialization failure."""
    body = {"code": code, "details": None, "hint": None, "message": "raised on purpose"}
    return Known(
        "The real one repeats the function until its backend is terminated; the local one responds with 500 at once",
        {"status": 500, "proxy-status": f"PostgREST; error={code}", "retry-after": None, "body": masked(body)},
    )


EXPLAINED = {
    "select count planned": Known(
        "The planner's estimate for a table without statistics differs in PostgreSQL 18",
        {"status": 200, "content-range": "0-0/1"},
    ),
    "rpc raise errcode PT999": Known(
        "HTTP has no status 999, and the local web server refuses to send it", {"status": 500}
    ),
    "max-rows: update 1500 rows return rep": Known(
        "Only size and hash of the body were recorded, and it contains times", {"body": _UPDATED_ROWS}
    ),
    "rpc raising 40001: never answers (backend terminated by hand after 3 s)": _raised("40001"),
    "rpc raising 40P01: never answers (backend terminated by hand after 3 s)": _raised("40P01"),
    f"{scenes.PARALLEL} #3": Known(
        "Ten calls run at a time here; one of the real server's ten connections was in use elsewhere",
        {"status": 200, "content-range": "0-0/*", "proxy-status": None, "body": '""'},
    ),
}


LAST = ("statement timeout (authenticated: set 8s; slow 9s)", "statement timeout (anon 3s)")
"""Exchanges that take many seconds and duplicate another one: `make test` sends the others."""


def expected() -> Report:
    """Return the report of a replay in which everything is as recorded or explained."""
    report = Report(NAME)
    for label, group in itertools.groupby(read("postgrest.jsonl"), lambda exchange: exchange.label):
        for number, _ in enumerate(group, 1):
            known = EXPLAINED.get(numbered := f"{label} #{number}" if label == scenes.PARALLEL else label)
            if known is None:
                report.match(numbered)
            else:
                report.differ(numbered, list(known.here), known.reason)
    return report


def replay(stack: Stack, report: Report, exchanges: Iterable[Exchange] | None = None) -> None:
    """Replay against a stack without migrations that exposes `public` and `private_api`; blocks for about a minute."""
    with (
        psycopg.connect(stack.superuser_dsn, autocommit=True) as database,
        httpx.Client(base_url=stack.url, timeout=60) as client,
        ThreadPoolExecutor(12) as threads,
    ):
        database.execute(scenes.ROLES.encode())
        for name in ("schema-postgrest.sql", "more-functions.sql"):
            database.execute((RECORDINGS / name).read_bytes())
        database.execute(scenes.UNTOUCHED)
        _until_known(client, stack.secret_key)
        replayer = Replayer(client, stack.keys, lambda exchange, claims: _token(exchange, claims, stack.jwt_secret))
        scene = _Scene(stack, replayer, threads)
        for label, group in itertools.groupby(exchanges or read("postgrest.jsonl"), lambda exchange: exchange.label):
            for exchange, response in scene.play(label, [_completed(one) for one in group]):
                judge(report, exchange.label, differences(exchange, response), EXPLAINED.get(exchange.label))


class _Scene:
    """Sends the exchanges in order, and repeats the events between and during them."""

    def __init__(self, stack: Stack, replayer: Replayer, threads: ThreadPoolExecutor) -> None:
        self._stack = stack
        self._replayer = replayer
        self._threads = threads

    def play(self, label: str, group: list[Exchange]) -> list[tuple[Exchange, httpx.Response]]:
        """Send the exchanges of one label; return each with its response."""
        if label == scenes.OUTAGE_BEGINS:
            self._stack.postgres.stop()
        elif label == scenes.OUTAGE_ENDS:
            self._stack.postgres.start()
        if label in scenes.BEFORE:
            self._execute(scenes.BEFORE[label])
        if label == scenes.PARALLEL:
            answers = sorted(self._threads.map(self._replayer.send, group), key=lambda one: -one.status_code)
            recorded = sorted(group, key=lambda one: -one.status)
            numbered = [replace(one, label=f"{label} #{number}") for number, one in enumerate(recorded, 1)]
            return list(zip(numbered, answers, strict=True))
        return [(exchange, self._send(exchange)) for exchange in group]

    def _send(self, exchange: Exchange) -> httpx.Response:
        if exchange.label in scenes.DURING:
            answer = self._threads.submit(self._replayer.send, exchange)
            self._until_a_row(scenes.DURING[exchange.label])
            return answer.result()
        response = self._replayer.send(exchange)
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while exchange.label in scenes.EVENTUALLY and response.status_code != exchange.status:
            if time.monotonic() > deadline:
                break
            response = self._replayer.send(exchange)
        return response

    def _execute(self, statements: str) -> None:
        with psycopg.connect(self._stack.superuser_dsn, autocommit=True) as database:
            database.execute(statements.encode())

    def _until_a_row(self, query: str) -> None:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        with psycopg.connect(self._stack.superuser_dsn, autocommit=True) as database:
            while not database.execute(query.encode()).fetchall():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"nothing to see: {query}")


def _until_known(client: httpx.Client, key: str) -> None:
    """Wait until the schema cache has reloaded for the new tables and functions."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    # The last function in the last file.
    while (answer := client.post("/rest/v1/rpc/slow30", headers={"apikey": key}, json={"s": 0})).is_error:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the recorded schema is not served: {answer.text}")


def _completed(exchange: Exchange) -> Exchange:
    """Return the exchange with the parts that the recorder left out."""
    headers = {**scenes.CLIENT, **exchange.request_headers, **scenes.HEADERS.get(exchange.label, {})}
    body = scenes.BODIES.get(exchange.label, exchange.request_body)
    return replace(exchange, request_headers=headers, request_body=body)


def _token(exchange: Exchange, claims: Claims, secret: str) -> str:
    label, now = exchange.label, int(time.time())
    changes: dict[str, Claims] = {
        "JWT expired 20s (within 30s skew)": {"exp": now - 20},
        "JWT expired": {"exp": now - 60},
        "JWT expired via supabase-py": {"exp": now - 60},
        "JWT not yet valid nbf +60": {"nbf": now + 60},
        "JWT iat in the future +60": {"iat": now + 60},
        "JWT role claim not a string": {"role": 5},
    }
    claims |= changes.get(label, {})
    if label == "JWT bad signature":
        return jwt.encode(claims, "another secret of at least 32 bytes", algorithm="HS256")
    if label == "JWT HS512":
        return jwt.encode(claims, secret * 2, algorithm="HS512")
    if label == "JWT alg none":
        return jwt.encode(claims, "", algorithm="none")
    return jwt.encode(claims, secret, algorithm="HS256")
