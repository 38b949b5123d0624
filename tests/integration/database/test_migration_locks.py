"""A migration blocked by other sessions' locks gives way, retries, and names the session in its way."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

from sentinel_local_supabase.postgres import Postgres
from sentinel_worker.database import migrate
from tests.integration.database import ledger
from tests.integration.database.queue_client import Queue
from tests.integration.database.upgrade import wait_until_it_waits

CHANGE = "alter table public.analysis_requests add column lately text;"
READ = "select count(*) from public.analysis_requests"
_numbers = count(1)


@pytest.fixture
def dsn(any_server: Postgres) -> str:
    name = f"locked_{next(_numbers)}"
    any_server.create_database(name)
    migrate.apply(any_server.dsn("postgres", name))
    return any_server.dsn("postgres", name)


@pytest.fixture
def change(tmp_path: Path) -> Path:
    """A folder with one migration that takes the strongest lock on the requests."""
    (tmp_path / "20990101000000_later.sql").write_text(f"-- soon\n{CHANGE}\n")
    return tmp_path


@contextmanager
def reader(dsn: str) -> Iterator[psycopg.Connection]:
    """A session that has read the requests and keeps its transaction open."""
    with psycopg.connect(dsn, application_name="a long report") as connection:
        connection.execute(READ)
        yield connection


def test_it_waits_in_short_turns_and_nobody_else_waits_longer(dsn: str, change: Path) -> None:
    queue = Queue(dsn, dsn)
    queue.sql("set statement_timeout = '20s'")  # an attempt lasts 0.5 s; the reader ends only after the inserts
    with ThreadPoolExecutor(1) as threads:
        with reader(dsn):
            migration: Future[list[migrate.Applied]] = threads.submit(migrate.apply, dsn, migrations_dir=change)
            for _ in range(3):
                wait_until_it_waits(dsn)
                queue.insert()  # queued behind the migration for the table's lock
            assert not migration.done()
        assert [one.name for one in migration.result()] == ["later"]
    assert len(queue.sql("select id from public.analysis_requests where lately is null")) == 3
    queue.close()


def test_it_gives_up_with_a_sentence_and_leaves_nothing_behind(dsn: str, change: Path) -> None:
    with reader(dsn) as other:
        process = other.info.backend_pid
        with pytest.raises(migrate.MigrationError) as refusal:
            migrate.apply(dsn, migrations_dir=change, lock_limit_seconds=1.5)
    said = str(refusal.value)
    assert "later.sql, line 2: canceling statement due to lock timeout (SQLSTATE 55P03)." in said
    assert f"process {process} (role postgres, application 'a long report', idle in transaction" in said
    assert "nothing of this file was applied" in said
    assert "later" not in ledger.names(dsn)
    with psycopg.connect(dsn) as connection:
        columns = connection.execute("select 1 from pg_attribute where attname = 'lately'").fetchall()
    assert columns == []


def test_it_does_not_wait_for_ever_for_another_migration(dsn: str, change: Path) -> None:
    with psycopg.connect(dsn, application_name="another") as other:
        other.execute("select pg_advisory_xact_lock(hashtextextended('sentinel_worker.database.migrate', 0))")
        with pytest.raises(migrate.MigrationError, match=r"lock timeout.* application 'another', idle in transaction"):
            migrate.apply(dsn, migrations_dir=change, lock_limit_seconds=1)


def test_in_a_deadlock_it_gives_way_and_retries(dsn: str, tmp_path: Path) -> None:
    """The migration holds A and wants B, a user holds B and wants A: the user gets both, then the migration."""
    (tmp_path / "20990101000000_later.sql").write_text(
        "lock table public.analysis_results in access exclusive mode;\n"
        "lock table public.analysis_requests in access exclusive mode;\n"
    )
    with ThreadPoolExecutor(1) as threads:
        with psycopg.connect(dsn) as user:
            user.execute(READ)
            migration = threads.submit(migrate.apply, dsn, migrations_dir=tmp_path)
            wait_until_it_waits(dsn)
            assert user.execute("select count(*) from public.analysis_results").fetchone() == (0,)
        assert len(migration.result()) == 1
