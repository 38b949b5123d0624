"""Quotas of a user (open requests, requests an hour, bytes, retries): enforced in SQL and HTTP, also concurrently."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio

from tests.rights.asking import Asking
from tests.rights.session import Session
from tests.rights.world import ADMIN, REQUEST_A, SERVICE, USER_A, USER_B, A, B, Identity, prepare
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")
TABLE, RETRY = "/rest/v1/analysis_requests", "/rest/v1/rpc/retry_analysis"
INSERT = "insert into public.analysis_requests (storage_path) values (%s)"
NEW = {"storage_path": f"{USER_A}/new.mp4"}
WAITING = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
CROWD = 12
NAMES = ("max_open_requests", "max_requests_per_hour", "max_stored_bytes", "max_retries_per_hour")

Limit = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Two:
    """HTTP clients of both users."""

    a: httpx.AsyncClient
    b: httpx.AsyncClient


@pytest.fixture
def limit(world: Asking) -> Iterator[Limit]:
    """Function that sets limits, `limit(max_open_requests=3)`, which are restored afterwards.

    Every row is in its place, and nobody has used anything.
    """
    prepare(world.superuser)
    world.superuser.execute("truncate sentinel.usage")
    before = world.superuser.execute("select name, value::text from sentinel.settings").fetchall()

    def change(**limits: int | None) -> None:
        for name, value in limits.items():
            assert name in NAMES
            change = "update sentinel.settings set value = %s where name = %s"
            world.superuser.execute(change, [json.dumps(value), name])

    yield change
    for name, value in before:
        world.superuser.execute("update sentinel.settings set value = %s where name = %s", [value, name])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def two(world: Asking) -> AsyncIterator[Two]:
    async with world.client(A) as a, world.client(B) as b:
        yield Two(a, b)


def refusal(answer: httpx.Response) -> dict[str, Any]:
    """Return the detail of a refusal by quota, which has a sentence and a hint for people."""
    body = answer.json()
    assert (answer.status_code, body["code"]) == (429, "PT429"), answer.text
    assert body["message"].endswith(".")
    assert body["hint"].endswith(".")
    detail: dict[str, Any] = json.loads(body["details"])
    assert str(detail["limit"]) in body["message"] or detail["quota"] == "stored_bytes"
    return detail


def requests_of(world: Asking, user: str) -> int:
    row = world.superuser.execute("select count(*) from public.analysis_requests where user_id = %s", [user]).fetchone()
    assert row is not None
    return int(row[0])


def fail_some(world: Asking, count: int) -> list[str]:
    """Give user A `count` failed requests; return their ids."""
    rows = world.superuser.execute(
        "insert into public.analysis_requests (user_id, storage_path)"
        " select %s, %s || '/failed.mp4' from generate_series(1, %s) returning id::text",
        [USER_A, USER_A, count],
    ).fetchall()
    ids = [str(row[0]) for row in rows]
    fail = "update public.analysis_requests set status = 'failed' where id = any (%s::uuid[])"
    world.superuser.execute(fail, [ids])
    return ids


@contextmanager
def acting_as_a(dsn: str) -> Iterator[psycopg.Connection]:
    """Open user A's transaction as PostgREST does."""
    with psycopg.connect(dsn) as connection:
        connection.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps(A.claims)])
        connection.execute("select set_config('role', 'authenticated', true)")
        yield connection


def insert_and_commit(dsn: str) -> str:
    """Insert as user A; return `stored`, or the SQLSTATE of the refusal."""
    try:
        with acting_as_a(dsn) as connection:
            connection.execute(INSERT, [NEW["storage_path"]])
    except psycopg.Error as error:
        return str(error.sqlstate)
    return "stored"


async def test_open_requests(world: Asking, two: Two, limit: Limit) -> None:
    limit(max_open_requests=3)  # the seed has one
    assert (await two.a.post(TABLE, json=NEW)).status_code == 201
    many = await two.a.post(TABLE, json=[NEW, NEW])
    assert refusal(many) == {"quota": "open_requests", "limit": 3, "used": 2}
    assert requests_of(world, USER_A) == 2, "the whole statement is refused"
    later = NEW | {"run_at": "2100-01-01T00:00:00Z"}
    assert (await two.a.post(TABLE, json=later)).status_code == 201
    assert refusal(await two.a.post(TABLE, json=later))["used"] == 3
    other = {"storage_path": f"{USER_B}/new.mp4"}
    assert (await two.b.post(TABLE, json=other)).status_code == 201, "a limit is each user's own"
    assert (await two.a.post("/rest/v1/rpc/cancel_analysis", json={"id": REQUEST_A})).json() == "cancelled"
    assert (await two.a.post(TABLE, json=NEW)).status_code == 201
    assert refusal(await two.a.post(RETRY, json={"id": REQUEST_A})) == {"quota": "open_requests", "limit": 3, "used": 3}
    state = world.superuser.execute("select status from public.analysis_requests where id = %s", [REQUEST_A])
    assert state.fetchone() == ("cancelled",)


async def test_requests_per_hour(world: Asking, two: Two, limit: Limit) -> None:
    limit(max_requests_per_hour=2)
    ids = []
    for _ in range(2):
        answer = await two.a.post(TABLE, json=NEW, headers={"Prefer": "return=representation"})
        ids.append(answer.json()[0]["id"])
    expected = {"quota": "requests_per_hour", "limit": 2, "used": 2}
    assert refusal(await two.a.post(TABLE, json=NEW)) == expected
    for request in ids:
        assert (await two.a.post("/rest/v1/rpc/delete_analysis", json={"id": request})).json() == "deleted"
    assert refusal(await two.a.post(TABLE, json=NEW)) == expected, "deleting gives no place back"
    world.superuser.execute("update sentinel.usage set at = at - interval '1 hour'")
    assert (await two.a.post(TABLE, json=NEW)).status_code == 201


async def test_retries_per_hour(world: Asking, two: Two, limit: Limit) -> None:
    first, second = fail_some(world, 2)
    limit(max_retries_per_hour=1)
    assert (await two.a.post(RETRY, json={"id": first})).json() == "queued"
    detail = refusal(await two.a.post(RETRY, json={"id": second}))
    assert detail == {"quota": "retries_per_hour", "limit": 1, "used": 1}
    assert (await two.a.post(RETRY, json={"id": first})).json() == "queued", "what runs already costs nothing"


async def test_stored_bytes(world: Asking, two: Two, limit: Limit) -> None:
    async with world.client(SERVICE) as service:
        await service.post("/storage/v1/bucket/media/empty")
    limit(max_stored_bytes=1000)
    objects = f"/storage/v1/object/media/{USER_A}"
    assert (await two.a.post(f"{objects}/one", content=b"x" * 600)).status_code == 200
    assert (await two.a.post(TABLE, json=NEW)).status_code == 201
    assert (await two.a.post(f"{objects}/two", content=b"x" * 600)).status_code == 200, "the one that passes the limit"
    copy = {"bucketId": "media", "sourceKey": f"{USER_A}/one", "destinationKey": f"{USER_A}/copy"}
    for answer in (
        await two.a.post(f"{objects}/three", content=b"x"),
        await two.a.put(f"{objects}/one", content=b"x" * 5000),
        await two.a.post("/storage/v1/object/copy", json=copy),
        await two.a.post(f"/storage/v1/object/upload/sign/media/{USER_A}/four"),
    ):
        assert (answer.status_code, answer.json()["statusCode"]) == (400, "403"), answer.text
        assert "row-level security" in answer.json()["message"]
    assert refusal(await two.a.post(TABLE, json=NEW)) == {"quota": "stored_bytes", "limit": 1000, "used": 1200}
    assert (await two.b.post(f"/storage/v1/object/media/{USER_B}/one", content=b"x")).status_code == 200
    assert (await two.a.delete(f"{objects}/two")).status_code == 200
    assert (await two.a.post(f"{objects}/three", content=b"x")).status_code == 200


@pytest.fixture
def heir(world: Asking) -> Iterator[Identity]:
    """User A with a JWT for a custom role of the project that inherits all rights of `authenticated`."""
    world.superuser.execute("create role premium in role authenticated; grant premium to authenticator")
    yield Identity("user A as premium", "premium", USER_A)
    world.superuser.execute("drop role premium")


async def test_a_role_that_inherits_is_bound(world: Asking, limit: Limit, heir: Identity) -> None:
    limit(max_requests_per_hour=2)
    async with world.client(heir) as client:
        assert [(await client.post(TABLE, json=NEW)).status_code for _ in range(2)] == [201, 201]
        assert refusal(await client.post(TABLE, json=NEW))["quota"] == "requests_per_hour"
        limit(max_stored_bytes=0)
        stored = await client.post(f"/storage/v1/object/media/{USER_A}/heirloom", content=b"x")
        assert stored.json()["statusCode"] == "403", stored.text


@pytest.mark.parametrize("who", [SERVICE, ADMIN], ids=lambda who: who.name)
async def test_servers_and_admins_are_not_limited(world: Asking, limit: Limit, who: Identity) -> None:
    limit(max_open_requests=0, max_requests_per_hour=0, max_stored_bytes=0, max_retries_per_hour=0)
    row = {**NEW, "user_id": USER_A}
    if who is SERVICE:
        async with world.client(who) as client:
            assert (await client.post(TABLE, json=row)).status_code == 201
            stored = await client.post(
                f"/storage/v1/object/media/{USER_A}/x", content=b"x", headers={"x-upsert": "true"}
            )
            assert stored.status_code == 200
    session = Session(world.stack.postgres.dsn("postgres" if who is ADMIN else "authenticator"), who)
    insert = "insert into public.analysis_requests (user_id, storage_path) values (%s, %s)"
    assert session.ask(insert, USER_A, NEW["storage_path"]).rows == 1
    assert session.ask("update public.analysis_requests set status = 'queued'").rows > 0
    session.close()


async def test_the_quota_is_told_to_its_owner(two: Two, limit: Limit) -> None:
    limit(max_open_requests=7, max_requests_per_hour=8, max_stored_bytes=9, max_retries_per_hour=10)
    (mine,) = (await two.a.post("/rest/v1/rpc/analysis_quota")).json()
    assert (mine["open_requests"], mine["max_open_requests"], mine["max_requests_per_hour"]) == (1, 7, 8)
    assert (mine["max_stored_bytes"], mine["max_retries_per_hour"]) == (9, 10)
    (theirs,) = (await two.b.post("/rest/v1/rpc/analysis_quota")).json()
    assert theirs["open_requests"] == 2


async def test_refusals_in_sql_have_the_same_words(world: Asking, two: Two, limit: Limit) -> None:
    limit(max_open_requests=1)
    by_http = (await two.a.post(TABLE, json=NEW)).json()
    session = Session(world.stack.postgres.dsn("authenticator"), A)
    asked = session.ask(INSERT, NEW["storage_path"])
    session.close()
    assert (asked.state, asked.message) == ("PT429", by_http["message"])


@pytest.mark.parametrize("name", ["max_open_requests", "max_requests_per_hour"])
async def test_a_crowd_of_inserts_cannot_pass_together(world: Asking, two: Two, limit: Limit, name: str) -> None:
    world.superuser.execute("update public.analysis_requests set status = 'cancelled'")
    limit(**{name: 4})
    before = requests_of(world, USER_A)
    answers = await asyncio.gather(*(two.a.post(TABLE, json=NEW) for _ in range(CROWD)))
    assert sorted(answer.status_code for answer in answers) == [201] * 4 + [429] * (CROWD - 4)
    assert requests_of(world, USER_A) == before + 4


@pytest.mark.parametrize("name", ["max_open_requests", "max_requests_per_hour"])
async def test_open_transactions_cannot_pass_together(world: Asking, limit: Limit, name: str) -> None:
    """An insert waits for an uncommitted one of the same user, and then counts it."""
    world.superuser.execute("update public.analysis_requests set status = 'cancelled'")
    limit(**{name: 2})
    dsn = world.stack.postgres.dsn("authenticator")
    with ThreadPoolExecutor(5) as pool, acting_as_a(dsn) as first:
        first.execute(INSERT, [NEW["storage_path"]])
        others = [pool.submit(insert_and_commit, dsn) for _ in range(5)]

        def all_wait() -> bool:
            assert not any(other.done() for other in others)
            return world.superuser.execute(WAITING).fetchone() == (5,)

        await until(all_wait)
        first.commit()
        answers = sorted(await asyncio.gather(*map(asyncio.wrap_future, others)))
    assert answers == ["PT429"] * 4 + ["stored"]


async def test_a_crowd_of_retries_cannot_pass_together(world: Asking, two: Two, limit: Limit) -> None:
    failed = fail_some(world, CROWD)
    limit(max_retries_per_hour=4)
    answers = await asyncio.gather(*(two.a.post(RETRY, json={"id": request}) for request in failed))
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [429] * (CROWD - 4)
