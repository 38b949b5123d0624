"""One server a session, one database a test: a copy of a migrated template."""

from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from sentinel_worker import migrate
from sentinel_worker.local.postgres import Postgres
from tests.integration.database.queue_client import Queue

SYSTEM_BIN_DIR = Path("/usr/lib/postgresql/15/bin")
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


@pytest.fixture
def queue(server: Postgres) -> Iterator[Queue]:
    """A fresh migrated database and one worker."""
    name = f"test_{next(_numbers)}"
    superuser_dsn = server.create_database(name, template="migrated")
    with closing(Queue(server.dsn("postgres", name), superuser_dsn)) as queue:
        yield queue


@pytest.fixture(scope="module")
def refusing(server: Postgres) -> Iterator[Queue]:
    """One migrated database for all tests of a module that write nothing."""
    name = f"refusing_{next(_numbers)}"
    superuser_dsn = server.create_database(name, template="migrated")
    with closing(Queue(server.dsn("postgres", name), superuser_dsn)) as queue:
        queue.succeed(queue.start())
        yield queue
