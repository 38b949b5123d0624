"""All questions to one local Supabase, by layer."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psycopg

from sentinel_local_supabase.realtime.settings import RealtimePace
from sentinel_local_supabase.stack import Stack
from tests.rights.as_buckets import ask_buckets
from tests.rights.as_objects import ObjectQuestions
from tests.rights.as_realtime import RealtimeQuestions
from tests.rights.as_rest import LETTERS, RestQuestions
from tests.rights.as_sql import SqlQuestions
from tests.rights.as_sql_platform import ask_platform
from tests.rights.matrix import Matrix
from tests.rights.session import Session
from tests.rights.universe import Universe, survey
from tests.rights.world import ADMIN, PLACES, SERVICE, Identity, prepare
from tests.stacks import stack_at

SQL_SECTIONS = ("schemas", "tables", "columns", "functions", "platform rows")
REST_SECTIONS = ("tables", "columns", "functions")
STORAGE_SECTIONS = ("objects", "buckets")
REALTIME_SECTIONS = ("changes", "topics")
REST_LETTERS = LETTERS
TIMEOUT_SECONDS = 30


# Own and other users' places, workers' places, deleted users' files, and a bucket that is not ours.
SAMPLE_PLACES = ("media/<A>/", "media/<B>/", "media/<gone>/", "derived/<A>/", "other/<A>/")
EXPOSED = "public"


def one_of_what_is_not_exposed(universe: Universe) -> Universe:
    """Return the whole exposed schema, and a table with one column and a function of each other schema."""

    def chosen(names: list[str]) -> set[str]:
        of_schema = {name.partition(".")[0]: name for name in names}
        return {name for name in names if name.startswith(f"{EXPOSED}.")} | set(of_schema.values())

    tables = chosen([table.name for table in universe.tables])
    functions = chosen([function.name for function in universe.functions])
    return replace(
        universe,
        tables=[
            table if table.name.startswith(f"{EXPOSED}.") else replace(table, columns=table.columns[:1])
            for table in universe.tables
            if table.name in tables
        ],
        functions=[function for function in universe.functions if function.name in functions],
    )


@dataclass(frozen=True, slots=True)
class Asking:
    """A stack with a prepared world. `login(role)` is a dsn of its database."""

    stack: Stack
    superuser: psycopg.Connection
    universe: Universe

    def as_sql(self, who: Identity) -> Matrix:
        """Ask one identity in SQL."""
        return ask_sql(self.stack.postgres.dsn, self.superuser, self.universe, who)

    async def by_rest(self, who: Identity, *, sample: bool = False) -> Matrix:
        """Ask one identity on /rest/v1; a `sample` asks about one of each kind in schemas that are not exposed."""
        prepare(self.superuser)
        async with self.client(who) as client:
            universe = one_of_what_is_not_exposed(self.universe) if sample else self.universe
            return await RestQuestions(client, who, self.superuser, universe).ask_all()

    async def by_storage(self, who: Identity, *, sample: bool = False) -> Matrix:
        """Ask one identity on /storage/v1; a `sample` asks about places of every kind."""
        prepare(self.superuser)
        places = {name: PLACES[name] for name in SAMPLE_PLACES} if sample else PLACES
        async with self.client(who) as client, self.client(SERVICE) as service:
            matrix = await ObjectQuestions(client, service, who, places).ask_all()
            matrix.merge(await ask_buckets(client, who, self.superuser, self.universe.buckets))
            return matrix

    async def by_realtime(self) -> Matrix:
        """Ask all identities on /realtime/v1."""
        prepare(self.superuser)
        return await RealtimeQuestions(self.stack.url, self.stack.keys, self.superuser, self.universe).ask_all()

    def client(self, who: Identity) -> httpx.AsyncClient:
        """Return an HTTP client that sends this identity's key or JWT to the gateway."""
        return httpx.AsyncClient(
            base_url=self.stack.url, headers=who.headers(self.stack.keys), timeout=TIMEOUT_SECONDS
        )  # fmt: skip


def ask_sql(
    dsn: Callable[[str], str], superuser: psycopg.Connection, universe: Universe, who: Identity
) -> Matrix:  # fmt: skip
    """Ask one identity in SQL; `dsn` returns the connection string of a login role."""
    prepare(superuser)
    with closing(Session(dsn("postgres" if who is ADMIN else "authenticator"), who)) as session:
        matrix = SqlQuestions(session, superuser, universe).ask_all()
        matrix.merge(ask_platform(session))
        return matrix


@asynccontextmanager
async def asking(folder: Path, *, pace: RealtimePace = "real") -> AsyncIterator[Asking]:
    """Start a stack in `folder` and prepare its world; Realtime runs at `pace`."""
    async with stack_at(folder, pace=pace) as stack:
        with psycopg.connect(stack.superuser_dsn, autocommit=True) as superuser:
            prepare(superuser)
            yield Asking(stack, superuser, survey(superuser))
