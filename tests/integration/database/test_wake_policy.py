"""A database is migrated before Realtime ever ran: a later `migrate` adds the policy for wake-ups, and says so."""

from importlib.resources import files
from itertools import count

import psycopg
import pytest
from typer.testing import CliRunner

from sentinel_local_supabase.postgres import SUPERUSER, Postgres
from sentinel_worker import cli
from sentinel_worker.database import migrate, wake_policy

BOOTSTRAP = files("sentinel_local_supabase").joinpath("bootstrap", "40_realtime.sql")
POLICIES = "select policyname from pg_policies where schemaname = 'realtime' and tablename = 'messages'"
WAKE_UPS = (
    "Realtime has never run, so the table realtime.messages does not exist and the role sentinel_worker receives no "
    "broadcast wake-ups. To fix this once Realtime has started: run sentinel-worker migrate"
)
_numbers = count(1)


@pytest.fixture
def database(any_server: Postgres) -> str:
    """The name of a database without Realtime."""
    name = f"without_realtime_{next(_numbers)}"
    any_server.create_database(name)
    with psycopg.connect(any_server.dsn(SUPERUSER, name), autocommit=True) as platform:
        platform.execute("drop publication supabase_realtime_messages_publication")
        platform.execute("drop schema realtime cascade")
    return name


def realtime_runs(server: Postgres, database: str) -> None:
    """Create what Realtime creates when it first serves a project."""
    with psycopg.connect(server.dsn(SUPERUSER, database), autocommit=True) as platform:
        platform.execute(BOOTSTRAP.read_bytes())


def migrated(server: Postgres, database: str) -> list[str]:
    """Run the command; return its lines, without those about files, their notices and quotas."""
    done = CliRunner().invoke(cli.app, ["migrate", "--db-url", server.dsn("postgres", database)])
    assert done.exit_code == 0, done.output
    return [line for line in done.output.splitlines() if not line.startswith(("applied ", "  ", "user quotas"))]


def missing(server: Postgres, database: str) -> list[str]:
    """Return what `sentinel-worker check` prints to a worker with its own role."""
    with psycopg.connect(server.dsn(SUPERUSER, database)) as connection:
        connection.execute("set role sentinel_worker")
        return [sentence for (sentence,) in connection.execute("select sentence from public.sentinel_rights()")]


def policies(server: Postgres, database: str) -> list[str]:
    with psycopg.connect(server.dsn("postgres", database)) as connection:
        return [name for (name,) in connection.execute(POLICIES)]


UP_TO_DATE = "nothing to apply: the database is up to date"


def test_the_policy_comes_with_the_first_migrate_after_realtime_has_run(any_server: Postgres, database: str) -> None:
    assert migrated(any_server, database) == [wake_policy.NOT_YET]
    assert migrated(any_server, database) == [UP_TO_DATE, wake_policy.NOT_YET]
    (sentence,) = missing(any_server, database)
    assert sentence == WAKE_UPS
    realtime_runs(any_server, database)
    (sentence,) = missing(any_server, database)
    assert f'The policy "{wake_policy.NAME}" on realtime.messages is missing' in sentence
    assert migrated(any_server, database) == [UP_TO_DATE, wake_policy.ADDED]
    assert policies(any_server, database) == [wake_policy.NAME]
    assert missing(any_server, database) == []
    assert migrated(any_server, database) == [UP_TO_DATE]


def test_a_role_that_may_not_create_it_is_told(any_server: Postgres, database: str) -> None:
    migrated(any_server, database)
    realtime_runs(any_server, database)
    with psycopg.connect(any_server.dsn(SUPERUSER, database), autocommit=True) as platform:
        platform.execute(f"alter table realtime.messages owner to {SUPERUSER}".encode())
    assert migrated(any_server, database) == [UP_TO_DATE, wake_policy.REFUSED]
    assert policies(any_server, database) == []


def test_it_gives_way_to_the_sessions_that_use_the_table(any_server: Postgres, database: str) -> None:
    migrated(any_server, database)
    realtime_runs(any_server, database)
    dsn = any_server.dsn("postgres", database)
    with psycopg.connect(dsn) as user:
        user.execute("select from realtime.messages")
        with pytest.raises(migrate.MigrationError, match=r"Locks are held by .* the policy for wake-ups was not added"):
            migrate.add_wake_policy(dsn, lock_limit_seconds=0.1)
    assert migrate.add_wake_policy(dsn) == wake_policy.ADDED


def test_a_migrated_database_with_realtime_needs_nothing(any_server: Postgres) -> None:
    name = f"without_realtime_{next(_numbers)}"
    any_server.create_database(name)
    assert migrated(any_server, name) == []
    assert policies(any_server, name) == [wake_policy.NAME]
