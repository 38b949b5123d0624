"""One server a session; databases are copies of a migrated template, emptied before each test."""

from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from sentinel_worker import migrate
from sentinel_worker.local.postgres import Postgres
from tests.integration.database.queue_client import Queue

SYSTEM_BIN_DIR = Path("/usr/lib/postgresql/15/bin")
EMPTY = """
truncate auth.users, public.analysis_requests, sentinel.workers, sentinel.unserved_lanes, storage.objects,
         realtime.messages cascade
"""
_numbers = count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """The embedded PostgreSQL with a database `migrated` to copy."""
    with Postgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        server.create_database("migrated")
        migrate.apply(server.dsn("postgres", "migrated"))
        yield server


@pytest.fixture(scope="session")
def system_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """The oldest PostgreSQL that is supported, where the system has it."""
    if not (SYSTEM_BIN_DIR / "postgres").exists():
        pytest.skip(f"no PostgreSQL 15 in {SYSTEM_BIN_DIR}")
    with Postgres(tmp_path_factory.mktemp("system"), bin_dir=SYSTEM_BIN_DIR, durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def shared(server: Postgres) -> tuple[str, str]:
    """The migrated database of all tests that leave its schema alone: its owner's and the superuser's dsn."""
    superuser_dsn = server.create_database("shared", template="migrated")
    return server.dsn("postgres", "shared"), superuser_dsn


@pytest.fixture
def queue(shared: tuple[str, str]) -> Iterator[Queue]:
    """An empty queue, and one worker."""
    with psycopg.connect(shared[1], autocommit=True) as connection:
        connection.execute(EMPTY)
    with closing(Queue(*shared)) as queue:
        yield queue


@pytest.fixture
def disposable(server: Postgres) -> Iterator[Queue]:
    """A database of its own for a test that damages it."""
    name = f"disposable_{next(_numbers)}"
    superuser_dsn = server.create_database(name, template="migrated")
    with closing(Queue(server.dsn("postgres", name), superuser_dsn)) as queue:
        yield queue
    with psycopg.connect(server.dsn("supabase_admin"), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def refusing(server: Postgres) -> Iterator[Queue]:
    """One database with one finished request, for tests that write nothing."""
    superuser_dsn = server.create_database("refusing", template="migrated")
    with closing(Queue(server.dsn("postgres", "refusing"), superuser_dsn)) as queue:
        queue.succeed(queue.start())
        yield queue
