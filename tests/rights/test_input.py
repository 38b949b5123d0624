"""Hostile input by a signed-in user: refused with its SQLSTATE or stored unchanged; nothing else changes."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.rights import hostile
from tests.rights.asking import Asking
from tests.rights.session import Session
from tests.rights.world import REQUEST_A, REQUESTS_B, USER_A, A, prepare, sql_value

pytestmark = pytest.mark.asyncio(loop_scope="session")
TABLE = "/rest/v1/analysis_requests"
INPUTS = {
    "id",
    "user_id",
    "media_kind",
    "storage_path",
    "source_url",
    "detector",
    "options",
    "run_at",
    "dedupe_key",
    "batch_id",
    "answer_by",
}
FINGERPRINT = """
select jsonb_build_object(
  'requests', (select jsonb_object_agg(r.id, to_jsonb(r) order by r.id) from public.analysis_requests r),
  'results', (select jsonb_object_agg(e.id, to_jsonb(e) order by e.id) from public.analysis_results e),
  'settings', (select jsonb_object_agg(s.name, s.value order by s.name) from sentinel.settings s),
  'tables', (select count(*) from pg_tables where schemaname in ('public', 'sentinel')))
"""


@pytest.fixture(scope="module")
def ground(world: Asking) -> Any:
    """Fingerprint of everything that must not change, with every row in its place."""
    prepare(world.superuser)
    return fingerprint(world)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(world: Asking) -> AsyncIterator[httpx.AsyncClient]:
    """User A's HTTP client."""
    async with world.client(A) as client:
        yield client


@pytest.fixture(scope="module")
def session(world: Asking) -> Iterator[Session]:
    """User A's SQL session, rolled back after each statement."""
    session = Session(world.stack.postgres.dsn("authenticator"), A)
    yield session
    session.close()


@pytest.fixture(autouse=True)
def nothing_else_changed(world: Asking, ground: Any) -> Iterator[None]:
    """Check after each test that everything is unchanged: a test removes the rows it could insert."""
    yield
    assert fingerprint(world) == ground


def fingerprint(world: Asking) -> Any:
    """Return every row that a user could want to change."""
    row = world.superuser.execute(FINGERPRINT).fetchone()
    assert row is not None
    return row[0]


async def refused(client: httpx.AsyncClient, row: dict[str, Any], state: str) -> None:
    """Assert that an INSERT of `row` over HTTP is a 4xx with the SQLSTATE."""
    answer = await client.post(TABLE, content=json.dumps(row), headers={"content-type": "application/json"})
    status = 403 if state == hostile.DENIED else 400
    assert (answer.status_code, answer.json()["code"]) == (status, state), answer.text[:300]


async def stored(world: Asking, client: httpx.AsyncClient, row: dict[str, Any]) -> dict[str, Any]:
    """Assert that an INSERT of `row` over HTTP is a 201; remove the stored row and return it."""
    answer = await insert(client, row)
    assert answer.status_code == httpx.codes.CREATED, answer.text[:300]
    return removed(world, answer)


async def stored_or_refused(world: Asking, client: httpx.AsyncClient, row: dict[str, Any], column: str) -> int:
    """Insert `row` and return the status. A 201 has `column` as sent; a 4xx has a code for invalid input."""
    answer = await insert(client, row)
    if answer.status_code == httpx.codes.CREATED:
        assert removed(world, answer)[column] == row[column]
    else:
        assert httpx.codes.BAD_REQUEST <= answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR, answer.text[:300]
        assert answer.json()["code"][:2] in ("22", "23", "PG"), answer.text[:300]
    return answer.status_code


async def insert(client: httpx.AsyncClient, row: dict[str, Any]) -> httpx.Response:
    headers = {"content-type": "application/json", "Prefer": "return=representation"}
    return await client.post(TABLE, content=json.dumps(row), headers=headers)


def removed(world: Asking, answer: httpx.Response) -> dict[str, Any]:
    (row,) = answer.json()
    world.superuser.execute("delete from public.analysis_requests where id = %s", [row["id"]])
    return dict(row)


@pytest.mark.parametrize("trick", hostile.PATHS)
async def test_no_path_leaves_the_users_folder(client: httpx.AsyncClient, session: Session, trick: str) -> None:
    path = hostile.spelled(hostile.PATHS[trick])
    asked = session.ask("insert into public.analysis_requests (storage_path) values (%s)", path)
    assert (asked.state, asked.rule) == (hostile.CHECK, "own_path")
    await refused(client, {"storage_path": path}, hostile.CHECK)


@pytest.mark.parametrize("name", hostile.LAWFUL_PATHS)
async def test_a_valid_path_is_stored_unchanged(world: Asking, client: httpx.AsyncClient, name: str) -> None:
    path = hostile.spelled(hostile.LAWFUL_PATHS[name])
    assert (await stored(world, client, {"storage_path": path}))["storage_path"] == path


async def test_a_nul_in_a_path_is_refused(client: httpx.AsyncClient) -> None:
    await refused(client, {"storage_path": f"{USER_A}/b\x00.mp4"}, hostile.UNTRANSLATABLE)


@pytest.mark.parametrize("trick", hostile.URLS)
async def test_only_http_urls_are_taken(client: httpx.AsyncClient, session: Session, trick: str) -> None:
    url = hostile.URLS[trick]
    asked = session.ask("insert into public.analysis_requests (source_url) values (%s)", url)
    assert (asked.state, asked.rule) == (hostile.CHECK, "source_url_is_http")
    await refused(client, {"source_url": url}, hostile.CHECK)


async def test_exactly_one_source(client: httpx.AsyncClient) -> None:
    await refused(client, {"media_kind": "video"}, hostile.CHECK)
    await refused(client, {"storage_path": f"{USER_A}/b.mp4", "source_url": "https://example.org/"}, hostile.CHECK)


async def test_every_column_that_is_no_input_is_forged_below(world: Asking) -> None:
    table = next(table for table in world.universe.tables if table.name == "public.analysis_requests")
    assert {column["name"] for column in table.columns} == INPUTS | hostile.FORGED.keys()


@pytest.mark.parametrize("column", hostile.FORGED)
async def test_nothing_can_be_forged(world: Asking, client: httpx.AsyncClient, session: Session, column: str) -> None:
    value = hostile.spelled(hostile.FORGED[column]) if column == "user_id" else hostile.FORGED[column]
    state = hostile.GENERATED if column == "lane" else hostile.DENIED
    table = next(table for table in world.universe.tables if table.name == "public.analysis_requests")
    typed = sql_value(value, table.column_type(column))
    insert = f"insert into public.analysis_requests (storage_path, {column}) values (%s, %s)"  # noqa: S608
    assert session.ask(insert, f"{USER_A}/b.mp4", typed).state == state
    update = f"update public.analysis_requests set {column} = %s"  # noqa: S608
    assert session.ask(update, typed).state == state
    await refused(client, {"storage_path": f"{USER_A}/b.mp4", column: value}, state)
    # The same with an upsert onto the user's own row, and an update of it.
    prefer = {"Prefer": "resolution=merge-duplicates"}
    row = {"id": REQUEST_A, "storage_path": f"{USER_A}/b.mp4", column: value}
    upsert = await client.post(TABLE, json=row, headers=prefer)
    patch = await client.patch(TABLE, params={"id": f"eq.{REQUEST_A}"}, json={column: value})
    assert [one.json()["code"] for one in (upsert, patch)] == [state, state]


async def test_another_users_request_cannot_be_taken_over(client: httpx.AsyncClient) -> None:
    row = {"id": REQUESTS_B[0], "storage_path": f"{USER_A}/b.mp4"}
    taken = await client.post(TABLE, json=row)
    assert (taken.status_code, taken.json()["code"]) == (409, "23505")
    upsert = await client.post(TABLE, json=row, headers={"Prefer": "resolution=merge-duplicates"})
    assert (upsert.status_code, upsert.json()["code"]) == (403, "42501")
    for function in ("cancel_analysis", "retry_analysis", "delete_analysis"):
        for request in (REQUESTS_B[0], "00000000-0000-4000-8000-000000000000"):
            answer = await client.post(f"/rest/v1/rpc/{function}", json={"id": request})
            assert (answer.status_code, answer.json()) == (200, "not_found")


async def test_a_time_in_the_past_buys_no_place(world: Asking, client: httpx.AsyncClient) -> None:
    row = await stored(world, client, {"storage_path": f"{USER_A}/b.mp4", "run_at": "1970-01-01T00:00:00Z"})
    assert (row["run_at"], row["status"]) == (row["created_at"], "queued")


@pytest.mark.parametrize("name", hostile.STRINGS)
async def test_a_hostile_string_is_refused_or_stored_unchanged(
    world: Asking, client: httpx.AsyncClient, name: str
) -> None:
    text = hostile.STRINGS[name]
    for column in hostile.TEXT_INPUTS:
        source = {} if column in ("storage_path", "source_url") else {"storage_path": f"{USER_A}/b.mp4"}
        await stored_or_refused(world, client, {**source, column: text}, column)


@pytest.mark.parametrize("name", hostile.STRINGS)
async def test_a_hostile_string_in_options(world: Asking, client: httpx.AsyncClient, name: str) -> None:
    text = hostile.STRINGS[name]
    for options in ({"x": text}, {text: "x"}, {"x": [{"y": text}]}):
        await stored_or_refused(world, client, {"storage_path": f"{USER_A}/b.mp4", "options": options}, "options")


@pytest.mark.parametrize("name", hostile.OPTIONS)
async def test_hostile_options(world: Asking, client: httpx.AsyncClient, name: str) -> None:
    row = {"storage_path": f"{USER_A}/b.mp4", "options": hostile.OPTIONS[name]}
    status = await stored_or_refused(world, client, row, "options")
    assert status == (201 if name in hostile.STORED_OPTIONS else 400)


@pytest.mark.parametrize("digits", [309, 310, 4300, 4301, 8000])
async def test_digits_in_options(world: Asking, client: httpx.AsyncClient, session: Session, digits: int) -> None:
    """Sent as text, because Python cannot write a number of more than 4,300 digits either."""
    options = f'{{"n": {"1" * digits}}}'
    insert = "insert into public.analysis_requests (storage_path, options) values (%s, %s)"
    asked = session.ask(insert, f"{USER_A}/b.mp4", options)
    assert asked.state == (None if digits == 309 else hostile.CHECK)
    assert digits == 309 or asked.rule == "options_are_readable"
    row = f'{{"storage_path": "{USER_A}/b.mp4", "options": {options}}}'
    answer = await client.post(TABLE, content=row, headers={"content-type": "application/json"})
    assert answer.is_success == (digits == 309), answer.text[:300]
    world.superuser.execute("delete from public.analysis_requests where options <> '{}'")


@pytest.mark.parametrize("depth", hostile.DEPTHS)
async def test_deep_options(world: Asking, client: httpx.AsyncClient, session: Session, depth: int) -> None:
    options = f'{{"x": {"[" * depth}{"]" * depth}}}'
    insert = "insert into public.analysis_requests (storage_path, options) values (%s, %s)"
    assert session.ask(insert, f"{USER_A}/b.mp4", options).state == hostile.DEPTHS[depth]
    row = f'{{"storage_path": "{USER_A}/b.mp4", "options": {options}}}'
    answer = await client.post(TABLE, content=row, headers={"content-type": "application/json"})
    # PostgREST parses the body first; a failure counts as invalid JSON.
    assert answer.status_code == 400 or hostile.DEPTHS[depth] is None, answer.text[:300]
    if answer.is_error:
        assert answer.json()["code"] in (hostile.DEPTHS[depth], "PGRST102")
    world.superuser.execute("delete from public.analysis_requests where options <> '{}'")


@pytest.mark.parametrize("value", ["infinity", "25:00", "", "294277-01-01", "now", "yesterday", "-infinity"])
async def test_a_time_is_a_time(world: Asking, client: httpx.AsyncClient, value: str) -> None:
    row = {"storage_path": f"{USER_A}/b.mp4", "run_at": value}
    if value in ("now", "yesterday", "-infinity"):
        assert (await stored(world, client, row))["status"] == "queued", "a time that is past is now"
        return
    answer = await insert(client, row)
    assert (answer.status_code, answer.json()["code"][:2] in ("22", "23")) == (400, True)
