"""PostgreSQL servers of all versions, and databases copied from a migrated template and emptied before each test.

Tests for every PostgreSQL run on the newest; with `--matrix postgres` on the others too. `--postgres 15` (or 17) runs
all of the folder's tests on that version instead.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count

import psycopg
import pytest
from psycopg import sql

from sentinel_local_supabase.postgres import Postgres
from sentinel_worker.database import migrate
from tests.integration.database.queue_client import EMPTY, Queue
from tests.integration.database.servers import VERSIONS, NotHereError, Servers
from tests.matrix import sampled

EACH = sampled("postgres", VERSIONS, VERSIONS[:1])
"""Every supported version, newest first; only the newest runs by default."""
_numbers = count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the server's version."""
    parser.addoption("--postgres", choices=VERSIONS, default=VERSIONS[0], help="PostgreSQL version of the queue tests")


@contextmanager
def skipping_what_is_not_here() -> Iterator[None]:
    """Skip a test that needs something this machine cannot have, and log the reason."""
    try:
        yield
    except NotHereError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A server of each version, started on first use."""
    servers = Servers(tmp_path_factory.mktemp("postgres"))
    yield servers
    servers.stop()


@pytest.fixture(scope="session")
def server(servers: Servers, pytestconfig: pytest.Config) -> Postgres:
    """The chosen PostgreSQL server, with a database `migrated` to copy."""
    # The option is unknown if pytest was started without this folder: it then read conftest.py too late.
    with skipping_what_is_not_here():
        server = servers[pytestconfig.getoption("--postgres", default=VERSIONS[0])]
    server.create_database("migrated")
    migrate.apply(server.dsn("postgres", "migrated"))
    return server


@pytest.fixture(params=EACH)
def any_server(servers: Servers, request: pytest.FixtureRequest) -> Postgres:
    """Each supported PostgreSQL in turn."""
    with skipping_what_is_not_here():
        return servers[request.param]


@pytest.fixture(params=EACH)
def own_server(servers: Servers, request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """Each supported PostgreSQL in turn, with a fresh server, for a test that changes roles."""
    with skipping_what_is_not_here(), servers.another(request.param) as server:
        yield server


@pytest.fixture(scope="session")
def shared(server: Postgres) -> tuple[str, str]:
    """The migrated database of all tests that leave its schema as it is: its owner's and the superuser's dsn."""
    superuser_dsn = server.create_database("shared", template="migrated")
    return server.dsn("postgres", "shared"), superuser_dsn


@pytest.fixture
def queue(shared: tuple[str, str]) -> Iterator[Queue]:
    """An empty queue and one worker."""
    with psycopg.connect(shared[1], autocommit=True) as connection:
        connection.execute(EMPTY)
    with closing(Queue(*shared)) as queue:
        yield queue


@pytest.fixture
def limited(queue: Queue) -> Iterator[Queue]:
    """A queue whose settings are restored when the test is over."""
    before = queue.sql("select name, value::text as value from sentinel.settings")
    yield queue
    for row in before:
        queue.sql("update sentinel.settings set value = %s where name = %s", row["value"], row["name"])


@pytest.fixture
def calm(limited: Queue) -> Queue:
    """A queue without quotas: only turns decide."""
    limited.sql("update sentinel.settings set value = 'false' where name = 'quotas'")
    return limited


@pytest.fixture
def disposable(server: Postgres) -> Iterator[Queue]:
    """A separate database, for a test that damages it."""
    name = f"disposable_{next(_numbers)}"
    superuser_dsn = server.create_database(name, template="migrated")
    with closing(Queue(server.dsn("postgres", name), superuser_dsn)) as queue:
        yield queue
    with psycopg.connect(server.dsn("supabase_admin"), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def refusing(server: Postgres) -> Iterator[Queue]:
    """One database with one finished request, for tests that write nothing."""
    name = f"refusing_{next(_numbers)}"
    superuser_dsn = server.create_database(name, template="migrated")
    with closing(Queue(server.dsn("postgres", name), superuser_dsn)) as queue:
        queue.succeed(queue.start())
        yield queue
