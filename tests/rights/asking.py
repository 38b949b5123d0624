"""All questions to one local Supabase, layer by layer."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg

from sentinel_worker.local.realtime.settings import Pace
from sentinel_worker.local.stack import Stack
from tests.rights.as_buckets import ask_buckets
from tests.rights.as_objects import ObjectQuestions
from tests.rights.as_realtime import RealtimeQuestions
from tests.rights.as_rest import LETTERS, RestQuestions
from tests.rights.as_sql import SqlQuestions
from tests.rights.as_sql_platform import ask_platform
from tests.rights.matrix import Matrix
from tests.rights.session import Session
from tests.rights.universe import Universe, survey
from tests.rights.world import ADMIN, SERVICE, Identity, prepare
from tests.stacks import stack_at

SQL_SECTIONS = ("schemas", "tables", "columns", "functions", "platform rows")
REST_SECTIONS = ("tables", "columns", "functions")
STORAGE_SECTIONS = ("objects", "buckets")
REALTIME_SECTIONS = ("changes", "topics")
REST_LETTERS = LETTERS
TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Asking:
    """A stack whose world is prepared. `login(role)` is a dsn of its database."""

    stack: Stack
    superuser: psycopg.Connection
    universe: Universe

    def as_sql(self, who: Identity) -> Matrix:
        """Ask one identity in SQL."""
        return ask_sql(self.stack.postgres.dsn, self.superuser, self.universe, who)

    async def by_rest(self, who: Identity) -> Matrix:
        """Ask one identity on /rest/v1."""
        prepare(self.superuser)
        async with self.client(who) as client:
            return await RestQuestions(client, who, self.superuser, self.universe).ask_all()

    async def by_storage(self, who: Identity) -> Matrix:
        """Ask one identity on /storage/v1."""
        prepare(self.superuser)
        async with self.client(who) as client, self.client(SERVICE) as service:
            matrix = await ObjectQuestions(client, service, who).ask_all()
            matrix.merge(await ask_buckets(client, who, self.superuser, self.universe.buckets))
            return matrix

    async def by_realtime(self) -> Matrix:
        """Ask all identities on /realtime/v1."""
        prepare(self.superuser)
        return await RealtimeQuestions(self.stack.url, self.stack.keys, self.superuser, self.universe).ask_all()

    def client(self, who: Identity) -> httpx.AsyncClient:
        """An HTTP client that sends this identity's key or JWT to the gateway."""
        return httpx.AsyncClient(
            base_url=self.stack.url, headers=who.headers(self.stack.keys), timeout=TIMEOUT_SECONDS
        )  # fmt: skip


def ask_sql(
    dsn: Callable[[str], str], superuser: psycopg.Connection, universe: Universe, who: Identity
) -> Matrix:  # fmt: skip
    """Ask one identity in SQL; `dsn` makes the connection string of a login role."""
    prepare(superuser)
    with closing(Session(dsn("postgres" if who is ADMIN else "authenticator"), who)) as session:
        matrix = SqlQuestions(session, superuser, universe).ask_all()
        matrix.merge(ask_platform(session))
        return matrix


@asynccontextmanager
async def asking(folder: Path, *, pace: Pace = "real") -> AsyncIterator[Asking]:
    """Start a stack in `folder` and prepare its world; Realtime goes at the `pace`."""
    async with stack_at(folder, pace=pace) as stack:
        with psycopg.connect(stack.superuser_dsn, autocommit=True) as superuser:
            prepare(superuser)
            yield Asking(stack, superuser, survey(superuser))
