"""Tables and functions through supabase-py: cases that the recorded exchanges do not cover."""

import asyncio

import httpx
import psycopg
import pytest
from postgrest import CountMethod
from postgrest.exceptions import APIError
from supabase import AsyncClient

from sentinel_local_supabase.stack import Stack
from tests.integration.local.clients import Executable, rows
from tests.integration.local.conftest import User
from tests.waits import until


async def test_row_security_between_two_users(users: tuple[User, User]) -> None:
    mine, theirs = (user.client.table("notes") for user in users)
    row = (await rows(mine.insert({"text": "secret"})))[0]
    assert row["owner"] == users[0].id
    assert (await rows(theirs.select("*").eq("id", row["id"]))) == []
    assert (await rows(theirs.update({"text": "x"}).eq("id", row["id"]))) == []
    assert (await rows(theirs.delete().eq("id", row["id"]))) == []
    with pytest.raises(APIError) as caught:
        await theirs.insert({"text": "forged", "owner": users[0].id}).execute()
    assert caught.value.code == "42501"
    assert (await rows(mine.select("text").eq("id", row["id"]).single())) == {"text": "secret"}


async def test_filters_orders_and_counts(users: tuple[User, User]) -> None:
    table = users[0].client.table("notes")
    notes = [{"text": f"n{i}", "stars": i % 6, "tags": [f"t{i}", "all"]} for i in range(12)]
    await table.insert(notes).execute()

    async def texts(query: Executable) -> list[str]:
        return [row["text"] for row in await rows(query)]

    by_text = users[0].client.table("notes").select("text").order("id")
    assert await texts(by_text.in_("text", ["n1", "n3", 'we"ird, (one)'])) == ["n1", "n3"]
    by_text = users[0].client.table("notes").select("text").order("id", desc=True)
    assert await texts(by_text.or_("text.eq.n1,and(stars.gte.5,text.neq.n5)")) == ["n11", "n1"]
    by_text = users[0].client.table("notes").select("text").order("id")
    assert await texts(by_text.contains("tags", ["t7"]).not_.is_("stars", "null")) == ["n7"]
    by_text = users[0].client.table("notes").select("text").order("id")
    assert await texts(by_text.ilike("text", "N1%").limit(2)) == ["n1", "n10"]
    page = (
        await users[0].client.table("notes").select("text", count=CountMethod.exact).order("id").range(10, 19).execute()
    )
    assert (page.count, page.data) == (12, [{"text": "n10"}, {"text": "n11"}])


async def test_values_and_names_cannot_become_sql(users: tuple[User, User]) -> None:
    evil = "'; drop table notes; --\" $1 %s \\"
    client = users[0].client
    await client.table("notes").insert({"text": evil}).execute()
    found = await rows(client.table("notes").select("text").eq("text", evil))
    assert found == [{"text": evil}]
    for broken in (f'"{evil}"', "text::int); drop table notes"):
        with pytest.raises(APIError):
            await client.table("notes").select(broken).execute()
    with pytest.raises(APIError) as caught:
        await client.table("notes").select("id").order('text"; drop table notes').execute()
    assert caught.value.code in ("42703", "PGRST100")
    with pytest.raises(APIError) as caught:
        await client.table('notes"; drop table notes; --').select("*").execute()
    assert caught.value.code == "PGRST205"
    assert (await rows(client.table("notes").select("text").eq("text", evil))) == found


async def test_one_level_of_embedding(users: tuple[User, User]) -> None:
    client = users[0].client
    notes = await rows(client.table("notes").insert([{"text": "with"}, {"text": "without"}]))
    await client.table("replies").insert([{"note_id": notes[0]["id"], "text": t} for t in ("a", "b")]).execute()
    ids = [note["id"] for note in notes]
    many = client.table("notes").select("text,replies(text)").in_("id", ids).order("id")
    assert await rows(many.order("text", foreign_table="replies")) == [
        {"text": "with", "replies": [{"text": "a"}, {"text": "b"}]},
        {"text": "without", "replies": []},
    ]
    inner = client.table("notes").select("text,answers:replies!inner(text)").in_("id", ids).eq("answers.text", "b")
    assert await rows(inner) == [{"text": "with", "answers": [{"text": "b"}]}]
    one = await client.table("replies").select("text,notes(text)").eq("note_id", ids[0]).order("id").limit(1).execute()
    assert one.data == [{"text": "a", "notes": {"text": "with"}}]
    with pytest.raises(APIError) as caught:
        await client.table("notes").select("text,nothing(text)").execute()
    assert caught.value.code == "PGRST200"


async def test_upsert_and_functions(users: tuple[User, User]) -> None:
    client = users[0].client
    await client.table("notes").insert([{"text": "p1"}, {"text": "p2"}, {"text": "q"}]).execute()
    assert (await rows(client.rpc("count_notes", {"prefix": "p"}))) == 2
    assert (await rows(client.rpc("count_notes", {"prefix": "p"}, get=True))) == 2
    assert (await rows(client.rpc("count_notes", {}))) == 3
    with pytest.raises(APIError) as caught:
        await client.rpc("count_note", {}).execute()
    assert caught.value.code == "PGRST202"
    assert caught.value.hint == "Perhaps you meant to call the function public.count_notes"


async def test_the_queue_is_closed_to_users_and_open_to_the_service_key(
    users: tuple[User, User], service: AsyncClient
) -> None:
    arguments = {"worker": users[0].id, "lanes": ["video/nobody"], "limit": 1, "lease_seconds": 60, "held": []}
    with pytest.raises(APIError) as caught:
        await users[0].client.rpc("sentinel_claim", {"args": arguments}).execute()
    assert caught.value.code == "42501"
    assert (await rows(service.rpc("sentinel_claim", {"args": arguments}))) == []


async def test_new_tables_are_seen_at_once(stack: Stack, service: AsyncClient) -> None:
    with pytest.raises(APIError) as caught:
        await service.table("later").select("*").execute()
    assert caught.value.code == "PGRST205"
    with psycopg.connect(stack.superuser_dsn, autocommit=True) as database:
        database.execute("create table public.later (id int); grant all on public.later to service_role")
    for _ in range(50):
        try:
            await service.table("later").insert({"id": 1}).execute()
        except APIError as error:
            assert error.code == "PGRST205"  # noqa: PT017 - the schema cache may lag briefly
        else:
            break
    assert (await rows(service.table("later").select("*"))) == [{"id": 1}]


async def test_a_dead_database_is_503_and_comes_back(own_stack: Stack) -> None:
    headers = {"apikey": own_stack.secret_key}
    async with httpx.AsyncClient(base_url=own_stack.url, headers=headers, timeout=30) as client:
        assert (await client.get("/rest/v1/analysis_requests")).status_code == 200
        await own_stack.stop_postgres()
        refused = await client.get("/rest/v1/analysis_requests")
        assert (refused.status_code, refused.json()["code"]) == (503, "PGRST002")
        assert refused.headers["retry-after"] == "0"
        stored = await client.get("/storage/v1/bucket/media")
        assert (stored.status_code, stored.json()["code"]) == (500, "InternalError")
        assert (await client.get("/storage/v1/health")).json() == {"healthy": False}
        await own_stack.start_postgres()
        assert (await client.get("/rest/v1/analysis_requests")).status_code == 200


async def test_only_the_gateway_stops_and_starts_on_its_port(own_stack: Stack) -> None:
    url, headers = own_stack.url, {"apikey": own_stack.secret_key}
    async with httpx.AsyncClient(base_url=url, headers=headers) as client:
        for kill in (False, True):
            await own_stack.stop_gateway(kill=kill)
            with pytest.raises(httpx.ConnectError):
                await client.get("/rest/v1/analysis_requests")
            await own_stack.start_gateway()
            assert own_stack.url == url
            assert (await client.get("/rest/v1/analysis_requests")).status_code == 200


async def test_a_killed_backend_is_an_error_of_one_request(own_stack: Stack) -> None:
    with psycopg.connect(own_stack.superuser_dsn, autocommit=True) as database:
        database.execute(
            "create function public.nap(seconds int) returns int language sql as 'select pg_sleep(seconds); select 1';"
            "grant execute on function public.nap to service_role"
        )
        headers = {"apikey": own_stack.secret_key}
        async with httpx.AsyncClient(base_url=own_stack.url, headers=headers, timeout=30) as client:
            calling = asyncio.create_task(client.post("/rest/v1/rpc/nap", json={"seconds": 20}))
            kill = "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'"
            await until(lambda: database.execute(kill).fetchall())
            answer = await calling
            assert (answer.status_code, answer.json()["code"]) == (503, "PGRST001")
            assert (await client.post("/rest/v1/rpc/nap", json={"seconds": 0})).json() == 1
