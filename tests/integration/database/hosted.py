"""Imitates a hosted project, as far as plain PostgreSQL can.

On a hosted project `postgres` is not a member of the roles that own `storage` and `realtime`. It can still make
policies on their tables: the extension supautils runs each CREATE POLICY of `postgres` as a superuser if its setting
`policy_grants` names the table. Users report that it locks every table of that list (auth.users, storage.objects,
realtime.messages, ...) in ACCESS EXCLUSIVE mode until the transaction ends, for a policy on any table. Here the files
are rewritten to do both in plain SQL around each policy. The session was opened by a superuser, and is `postgres` for
all other statements.

Differences: supautils has more rules (reserved roles, extensions), session_user here is the superuser, and the list of
locked tables has only those of the local project.
"""

import re
from pathlib import Path

import psycopg

from sentinel_local_supabase.postgres import SUPERUSER, Postgres
from sentinel_worker.database import migrate, statements

POLICY = re.compile(r"create policy [^;]*;")
RECORD = "update supabase_migrations.schema_migrations set statements = %s where version = %s"
LOCKED = "auth.refresh_tokens, auth.sessions, auth.users, realtime.messages, storage.buckets, storage.objects"
AROUND_A_POLICY = rf"set local role {SUPERUSER}; lock table {LOCKED}; \g<0> set local role postgres;"


def take_memberships(server: Postgres) -> None:
    """Remove `postgres` from the platform's roles on the whole server."""
    with psycopg.connect(server.dsn(SUPERUSER), autocommit=True) as platform:
        platform.execute("revoke supabase_storage_admin, supabase_realtime_admin from postgres")


def rewrite(migrations: list[migrate.Migration], folder: Path) -> Path:
    """Write the migrations as supautils would run them to a new folder."""
    folder.mkdir()
    for migration in migrations:
        text = POLICY.sub(AROUND_A_POLICY, migration.text)
        (folder / migration.file_name).write_text(text, encoding="utf-8")
    return folder


def record_as_written(dsn: str) -> None:
    """Put the statements of the files into the ledger, as a hosted project's has them: supautils rewrites none."""
    with psycopg.connect(dsn) as connection:
        for migration in migrate.available():
            parts = [part.text for part in statements.split(migration.text)]
            connection.execute(RECORD, (parts, migration.version))


def dsn(server: Postgres, database: str) -> str:
    """Return the DSN for the rewritten files: a superuser's session that is `postgres` except to make policies."""
    return f"{server.dsn(SUPERUSER, database)}&options=-c%20role%3Dpostgres"
