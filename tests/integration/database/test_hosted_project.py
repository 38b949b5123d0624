"""Permissions of a hosted project's `postgres`, on every version; hosted.py imitates the project."""

from pathlib import Path

import psycopg
import pytest

from sentinel_local_supabase.postgres import SUPERUSER, Postgres
from sentinel_worker.database import migrate
from tests.integration.database import hosted, ledger
from tests.integration.database.queue_client import Queue

RIGHTS = """
select has_table_privilege('sentinel_worker', 'storage.objects', 'select'),
       (select count(*) from pg_auth_members m
         where m.roleid = 'anon'::regrole and m.member = 'sentinel_worker'::regrole)
"""
POLICIES = "select polrelid::regclass::text, count(*) from pg_policy where polname like 'sentinel:%' group by 1"


@pytest.fixture
def project(own_server: Postgres) -> Postgres:
    """A server whose `postgres` is not a member of the platform's roles, with a database `project`."""
    own_server.create_database("project")
    hosted.take_memberships(own_server)
    return own_server


def as_platform(server: Postgres, *statements: str) -> None:
    with psycopg.connect(server.dsn(SUPERUSER, "project"), autocommit=True) as platform:
        for statement in statements:
            platform.execute(statement.encode())


def test_without_the_platforms_help_the_first_policy_on_storage_is_refused(project: Postgres) -> None:
    dsn = project.dsn("postgres", "project")
    with pytest.raises(
        migrate.MigrationError,
        match=r"001200_storage\.sql, line \d+: must be owner of table objects \(SQLSTATE 42501\)",
    ):
        migrate.apply(dsn)
    assert ledger.names(dsn) == [one.name for one in migrate.available() if one.version < "20261130001200"]


def test_with_it_everything_is_there_and_the_queue_works(project: Postgres, tmp_path: Path) -> None:
    folder = hosted.rewrite(migrate.available(), tmp_path / "hosted")
    applied = migrate.apply(hosted.dsn(project, "project"), migrations_dir=folder)
    assert [one.version for one in applied] == [migration.version for migration in migrate.available()]
    assert [notice for one in applied for notice in one.notices] == []
    dsn = project.dsn("postgres", "project")
    hosted.record_as_written(dsn)
    assert migrate.apply(dsn) == []
    with psycopg.connect(dsn) as connection:
        policies: dict[str, int] = dict(connection.execute(POLICIES).fetchall())
        assert policies["storage.objects"] >= 7
        assert policies["realtime.messages"] == 1
        assert connection.execute(RIGHTS).fetchone() == (True, 1)
    queue = Queue(dsn, project.dsn(SUPERUSER, "project"))
    assert queue.succeed(queue.start())["answer"] == "succeeded"
    queue.close()


def test_where_postgres_may_not_hand_on_rights_the_worker_has_those_of_anon(project: Postgres, tmp_path: Path) -> None:
    """On PostgreSQL 16 and later it may not grant anon either, which leaves only a service key."""
    as_platform(
        project,
        "revoke grant option for all on storage.objects from postgres",
        "revoke grant option for all on schema storage from postgres",
        "revoke admin option for anon from postgres cascade",
        "revoke trigger on storage.objects from postgres, anon, authenticated, service_role",
    )
    folder = hosted.rewrite(migrate.available(), tmp_path / "hosted")
    applied = migrate.apply(hosted.dsn(project, "project"), migrations_dir=folder)
    said = " ".join(notice for one in applied for notice in one.notices)
    with psycopg.connect(project.dsn("postgres", "project")) as connection:
        may_give_anon = connection.info.server_version < 160000  # CREATEROLE was enough
        assert connection.execute(RIGHTS).fetchone() == (may_give_anon, int(may_give_anon))
    assert 'no privileges were granted for "objects"' in said
    assert "no trigger on storage.objects: a worker with the secret key" in said
    assert ("anon is not granted to sentinel_worker" in said) == (not may_give_anon)


def test_they_install_without_realtime(project: Postgres, tmp_path: Path) -> None:
    as_platform(project, "drop schema realtime cascade", "drop publication supabase_realtime")
    as_platform(project, "grant supabase_storage_admin to postgres")
    assert len(migrate.apply(project.dsn("postgres", "project"))) == len(migrate.available())
