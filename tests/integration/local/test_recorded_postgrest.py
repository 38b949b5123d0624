"""REST answers as the real PostgREST 14.12 did: its recorded exchanges are sent again, in order."""

import asyncio
import time

import httpx
import jwt
import psycopg
import pytest

from sentinel_worker.local.stack import Stack
from tests.integration.local.replay import RECORDINGS, Claims, Exchange, Replayer, differences, read

ROLES = """
do $$ begin
  if not exists (select from pg_roles where rolname = 'sentinel_worker') then
    create role sentinel_worker nologin;
  end if;
end $$;
grant sentinel_worker to authenticator, service_role;
grant usage on schema public, auth to sentinel_worker;
"""
# Outages have tests of their own; role changes between the calls were not recorded; one call takes 8 s.
ELSEWHERE = (
    *("pool ", "backend terminated", "query cancelled", "request right after", "db down", "rpc raising 40"),
    *("stale cache", "after NOTIFY", "dropped fn", "worker token with non-uuid", "insert-only role"),
    *("insert policy + select", "upsert as insert-only", "statement timeout (authenticated"),
)
NOT_COMPARED = {
    "select count planned": "the estimate depends on the table's statistics",
    "fk violation delete (23503)": "PostgreSQL 18 answers 23001 for ON DELETE RESTRICT",
    "wrong accept": "the Accept header was not recorded",
    "rpc response.status/headers GUC": "the recorder unquoted the JSON string",
    "rpc in other schema": "the recorder unquoted the JSON string",
    "rpc raise errcode PT999": "uvicorn cannot send a status that HTTP does not define",
    "body 8 MB json insert": "the body was not recorded",
    "raw: csv": "CSV is not offered",
    "max-rows: update 1500 rows return rep": "the body was not recorded",
}
BEFORE = {
    "fk violation delete (23503)": "insert into results (job_id) select id from jobs where key = 'k3'",
    "max-rows: select 1500 rows without limit": "insert into jobs (key, owner) select 'm' || g, "
    "'11111111-1111-1111-1111-111111111111' from generate_series(1, 1500) g",
}
OBJECT = {"accept": "application/vnd.pgrst.object+json"}
UNRECORDED_HEADERS = {
    "select single ok": OBJECT,
    "select single, 0 rows (PGRST116)": OBJECT,
    "select single, many rows (PGRST116)": OBJECT,
    "raw: nulls stripped": {"accept": "application/vnd.pgrst.array+json;nulls=stripped"},
}
CLIENT = "supabase-py/2.34.1; platform=Linux; platform-version=6.18.44-fc-v657; runtime=python; runtime-version=3.11.7"


def token_of(exchange: Exchange, claims: Claims, secret: str) -> str:
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


def without_claims(found: list[str]) -> list[str]:
    """What whoami says about the token's times differs by nature."""
    return [line for line in found if '"claims"' not in line]


def replay(stack: Stack) -> tuple[int, list[str]]:
    same, found = 0, []
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        replayer = Replayer(client, stack.keys, lambda exchange, claims: token_of(exchange, claims, stack.jwt_secret))
        for exchange in read("postgrest.jsonl"):
            if exchange.label.startswith(ELSEWHERE):
                continue
            if exchange.label in BEFORE:
                with psycopg.connect(stack.superuser_dsn, autocommit=True) as database:
                    database.execute(BEFORE[exchange.label])
            exchange.request_headers.update(UNRECORDED_HEADERS.get(exchange.label, {"x-client-info": CLIENT}))
            if exchange.label == "body 8 MB json insert":
                continue
            response = replayer.send(exchange)
            if exchange.label in NOT_COMPARED:
                continue
            lines = differences(exchange, response)
            if "whoami" in exchange.label:
                lines = without_claims(lines)
            if isinstance(exchange.body, str) and exchange.body.startswith("<"):
                lines = [line for line in lines if not line.startswith("body")]
            same += not lines
            found += [f"{exchange.label}: {line}" for line in lines]
    return same, found


async def test_recorded_exchanges(bare_stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    with psycopg.connect(bare_stack.superuser_dsn, autocommit=True) as database:
        database.execute(ROLES.encode())
        for name in ("schema-postgrest.sql", "more-functions.sql"):
            database.execute((RECORDINGS / name).read_bytes())
    same, found = await asyncio.to_thread(replay, bare_stack)
    with capsys.disabled():
        print(f"\nPostgREST: {same} of {same + len({line.partition(':')[0] for line in found})} exchanges match")  # noqa: T201
    assert found == []
    assert same > 180
