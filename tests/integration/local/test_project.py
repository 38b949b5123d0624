"""Options of a project: a seed, schemas, a JWT secret, default grants, the port of the database."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import jwt
import psycopg
import pytest
import pytest_asyncio

from sentinel_local_supabase.errors import LocalSupabaseError
from sentinel_local_supabase.stack import Stack
from tests.integration.local.clients import connected
from tests.integration.local.ports import free_pair, held_port
from tests.stacks import stack_at
from tests.waits import until

USERS = Path(__file__).with_name("seeds") / "users.sql"
SECRET = "a-secret-of-a-project-with-at-least-32-characters"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def project(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack that was started with all options of a project."""
    async with stack_at(
        tmp_path_factory.mktemp("project"),
        migrations=False,
        seed=(USERS,),
        exposed_schemas=("public", "api"),
        jwt_secret=SECRET,
        default_grants=True,
    ) as running:
        yield running


async def read(stack: Stack, path: str, key: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(headers={"apikey": key, **headers}) as http:
        return await http.get(f"{stack.url}/rest/v1/{path}")


async def test_a_seeded_user_signs_in_and_the_hash_is_replaced_by_a_quicker_one(project: Stack) -> None:
    async with connected(project.url, project.publishable_key) as client:
        with pytest.raises(Exception, match="Invalid login credentials"):
            await client.auth.sign_in_with_password({"email": "user1@example.com", "password": "password124"})
        signed = await client.auth.sign_in_with_password({"email": "user1@example.com", "password": "password123"})
        assert signed.user is not None
        with psycopg.connect(project.superuser_dsn) as database:
            hashes = database.execute("select left(encrypted_password, 7) from auth.users order by email").fetchall()
        assert hashes == [("scrypt$",), ("$2a$06$",)]
        again = await client.auth.sign_in_with_password({"email": "user1@example.com", "password": "password123"})
        assert again.user is not None
        assert again.user.id == signed.user.id


async def test_every_key_is_signed_with_the_given_secret(project: Stack) -> None:
    assert project.jwt_secret == SECRET
    for key in (project.anon_key, project.service_key):
        jwt.decode(key, SECRET, algorithms=["HS256"])
    # As others' suites do, which know only the secret.
    own = jwt.encode({"role": "anon", "exp": time.time() + 60}, SECRET, algorithm="HS256")
    assert (await read(project, "open_things", own)).json() == [{"name": "open"}]


def test_a_secret_stays_and_another_one_replaces_only_what_it_signed(project: Stack) -> None:
    keys = type(project.keys).load(project.folder / "keys.json")
    assert keys == project.keys
    copy = project.folder / "copy.json"
    copy.write_bytes((project.folder / "keys.json").read_bytes())
    changed = type(keys).load(copy, "another secret that has at least 32 characters")
    assert (changed.publishable_key, changed.secret_key) == (keys.publishable_key, keys.secret_key)
    jwt.decode(changed.service_key, "another secret that has at least 32 characters", algorithms=["HS256"])
    assert type(keys).load(copy) == changed
    assert copy.stat().st_mode & 0o777 == 0o600


async def test_a_short_secret_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(LocalSupabaseError, match=r"short_secret: .* at least 32 characters"):
        async with Stack(tmp_path / "data", port=0, migrations=None, jwt_secret="x" * 31):
            pass
    assert not (tmp_path / "data").exists()


async def test_tables_in_public_are_granted_by_default_if_asked_for(project: Stack) -> None:
    assert (await read(project, "open_things", project.anon_key)).json() == [{"name": "open"}]


async def test_other_schemas_are_served_on_request(project: Stack) -> None:
    anon = project.anon_key
    assert (await read(project, "things", anon, **{"accept-profile": "api"})).json() == [{"name": "seeded"}]
    refused = (await read(project, "things", anon, **{"accept-profile": "auth"})).json()
    assert refused["hint"] == "Only the following schemas are exposed: public, api"


async def test_the_owner_sets_the_schemas_as_on_a_hosted_project(project: Stack) -> None:
    async def finds(expected: object) -> bool:
        answer = (await read(project, "things", project.anon_key)).json()
        return bool((answer["code"] if isinstance(answer, dict) else answer) == expected)

    with psycopg.connect(project.dsn, autocommit=True) as database:
        database.execute("alter role authenticator set pgrst.db_schemas = 'api, public'")
        database.execute("notify pgrst, 'reload config'")
        try:
            # The first is the default.
            await until(lambda: finds([{"name": "seeded"}]), what="api is the default schema")
        finally:
            database.execute("alter role authenticator reset pgrst.db_schemas; notify pgrst")
        await until(lambda: finds("PGRST205"), what="public is the default schema")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r'set parameter "pgrst\.db_max_rows"'):
            database.execute("alter role authenticator set pgrst.db_max_rows = '5'")


async def test_the_database_is_on_the_port_after_the_gateways(tmp_path: Path) -> None:
    port = free_pair()
    async with stack_at(tmp_path / "data", migrations=False, port=port) as stack:
        assert f"@127.0.0.1:{port + 1}/" in stack.dsn


async def test_a_chosen_port_that_is_held_is_named_before_anything_is_made(tmp_path: Path) -> None:
    with held_port() as held:
        sentence = rf"^port_in_use: Process {os.getpid()} listens on 127\.0\.0\.1:{held}: .* \(--db-port\)"
        with pytest.raises(LocalSupabaseError, match=sentence):
            async with Stack(tmp_path / "data", port=0, database_port=held, migrations=None):
                pass
    assert not (tmp_path / "data").exists()
