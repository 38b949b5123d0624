"""Fixtures: a whole local Supabase, with our migrations, for the tests of its services."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
import pytest_asyncio
from supabase import AsyncClient

from sentinel_local_supabase.stack import Stack
from tests.integration.local.clients import connected
from tests.stacks import stack_at

NOTES = """
create table public.notes (
  id bigint generated always as identity primary key,
  owner uuid not null default auth.uid(),
  text text not null,
  stars int check (stars between 0 and 5),
  tags text[] not null default '{}'
);
create table public.replies (id bigint generated always as identity primary key,
  note_id bigint not null references public.notes on delete cascade, text text not null);
alter table public.notes enable row level security;
create policy own on public.notes to authenticated using (owner = (select auth.uid())) with check (owner = auth.uid());
grant select, insert, update, delete on public.notes, public.replies to authenticated, service_role;
create function public.count_notes(prefix text default '') returns bigint language sql stable as
  $$ select count(*) from public.notes where starts_with(text, prefix) $$;
grant execute on function public.count_notes to authenticated;
insert into storage.buckets (id, name, file_size_limit) values ('small', 'small', 1000), ('open', 'open', null);
update storage.buckets set public = true where id = 'open';
"""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The stack with this product's migrations, and a table of users' notes."""
    async with stack_at(tmp_path_factory.mktemp("stack"), warm=False) as running:
        with psycopg.connect(running.superuser_dsn, autocommit=True) as database:
            database.execute(NOTES.encode())
        yield running


@pytest.fixture
async def own_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack that one test may stop and break."""
    async with stack_at(tmp_path_factory.mktemp("own")) as running:
        yield running


@dataclass(frozen=True)
class User:
    """A signed-in user and their client."""

    client: AsyncClient
    id: str
    email: str


@pytest.fixture
async def users(stack: Stack) -> AsyncIterator[tuple[User, User]]:
    """Two unrelated users."""
    async with AsyncExitStack() as clients:
        pair = []
        for _ in range(2):
            client = await clients.enter_async_context(connected(stack.url, stack.publishable_key))
            email = f"{uuid4()}@example.com"
            signed = await client.auth.sign_up({"email": email, "password": "correct horse"})
            assert signed.user is not None
            pair.append(User(client, signed.user.id, email))
        yield pair[0], pair[1]


@pytest.fixture
async def service(stack: Stack) -> AsyncIterator[AsyncClient]:
    """A client with all rights, which uses the opaque secret key."""
    async with connected(stack.url, stack.secret_key) as client:
        yield client


@pytest.fixture(scope="session")
def library(stack: Stack) -> Iterator[httpx.Client]:
    """An HTTP client of REST with the service role; the tables and functions of library.sql are served."""
    with psycopg.connect(stack.superuser_dsn, autocommit=True) as database:
        database.execute((Path(__file__).parent / "library.sql").read_bytes())
    with httpx.Client(base_url=f"{stack.url}/rest/v1", headers={"apikey": stack.secret_key}) as client:
        deadline = time.monotonic() + 10
        while client.post("/rpc/nothing").is_error:
            assert time.monotonic() < deadline
        yield client
