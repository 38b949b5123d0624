"""Migration of a project's database to this version, using the Supabase CLI's own ledger.

`supabase db push` and `sentinel-worker migrate` both use `supabase_migrations.schema_migrations`, so that neither
applies what the other has applied.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final, TypeVar

import psycopg

from sentinel_worker.concurrency.backoff import full_jitter_seconds
from sentinel_worker.database import hosted_addresses, ledger, refused_connections, statements, wake_policy
from sentinel_worker.database.migration_files import Migration, MigrationError, available

__all__ = ["Applied", "Migration", "MigrationError", "add_wake_policy", "apply", "available", "unset_quotas"]

LOCK_LIMIT_SECONDS: Final = 60.0
LONGEST_PAUSE_SECONDS: Final = 2.0
LOCK_TIMEOUT: Final = "500ms"
"""Limit for waiting for a table's lock, because later lock requests queue behind the migration's. Half of PostgreSQL's
deadlock_timeout, so that in a deadlock the migration nearly always gives way."""
GIVES_WAY = frozenset({"55P03", "40P01"})  # lock_not_available, deadlock_detected
SAID = frozenset({"00000", "01000", "01007"})  # notices, warnings, privilege_not_granted

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Applied:
    """One migration that this call applied, with the notices it raised."""

    version: str
    name: str
    notices: tuple[str, ...] = ()


def apply(
    db_url: str, *, migrations_dir: Path | None = None, lock_limit_seconds: float = LOCK_LIMIT_SECONDS
) -> list[Applied]:
    """Apply missing migrations, each file and its row in the ledger in one transaction.

    Concurrent callers wait for each other, and the second finds nothing to do. A file that waits for another session's
    lock gives way within half a second, so that traffic continues, and is retried for `lock_limit_seconds`. Raises
    MigrationError; files before the failed one stay applied, and the failed one is rolled back. A database in which a
    shipped file was applied with other statements is refused.
    """
    migrations = available(migrations_dir)
    applied = []
    with _connect(db_url) as connection:
        if migrations_dir is None:
            ledger.refuse_changed(connection, migrations)
        while missing := ledger.missing(connection, migrations):
            if done := _apply_patiently(connection, missing[0], lock_limit_seconds):
                applied.append(done)
    return applied


def add_wake_policy(db_url: str, *, lock_limit_seconds: float = LOCK_LIMIT_SECONDS) -> str | None:
    """Add the policy for broadcast wake-ups to a migrated database that lacks it (see `wake_policy`).

    Returns a line that says what was done or is missing, or None if the policy was there.
    """
    shipped = [part.text for migration in available() for part in statements.split(migration.text)]
    with _connect(db_url) as connection:
        return _giving_way(
            connection,
            lock_limit_seconds,
            lambda: wake_policy.add(connection, shipped, LOCK_TIMEOUT),
            otherwise="the policy for wake-ups was not added",
        )


def unset_quotas(db_url: str) -> list[str]:
    """Return the names of the limits per user that are switched off in a migrated database."""
    with _connect(db_url) as connection:
        return [name for (name,) in connection.execute(_sql("unset_quotas.sql"))]


def _apply_patiently(connection: psycopg.Connection, migration: Migration, lock_limit_seconds: float) -> Applied | None:
    """Apply one migration, or return None if another session has applied it meanwhile."""
    return _giving_way(
        connection,
        lock_limit_seconds,
        lambda: _apply_first(connection, migration, lock_limit_seconds),
        otherwise="nothing of this file was applied",
    )


def _giving_way(connection: psycopg.Connection, lock_limit_seconds: float, step: Callable[[], T], otherwise: str) -> T:
    """Run `step`; give way to other sessions' locks and retry until the limit has passed."""
    deadline = time.monotonic() + lock_limit_seconds
    tries = 0
    while True:
        try:
            return step()
        except (MigrationError, psycopg.Error) as error:
            if _sqlstate(error) not in GIVES_WAY:
                raise
            tries += 1
            pause = LONGEST_PAUSE_SECONDS / 10 + full_jitter_seconds(tries, first=0.5, cap=LONGEST_PAUSE_SECONDS)
            if time.monotonic() + pause > deadline:
                raise MigrationError(
                    f"{str(error).splitlines()[0]} Gave way {tries} times in {lock_limit_seconds:g} s. "
                    f"{_lock_holders(connection)} End them or try again later; {otherwise}.",
                    passing=True,
                ) from error
        time.sleep(pause)


def _sqlstate(error: BaseException) -> str | None:
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def _lock_holders(connection: psycopg.Connection) -> str:
    found = [
        f"process {pid} (role {role}, application '{application}', {state}, transaction open for {seconds} s)"
        for pid, role, application, state, seconds in psycopg.RawCursor(connection).execute(
            _sql("lock_holders.sql"), (LOCK_TIMEOUT,)
        )
    ]
    return f"Locks are held by {', '.join(found)}." if found else "No session holds one now."


def _apply_first(connection: psycopg.Connection, migration: Migration, lock_limit_seconds: float) -> Applied | None:
    """Apply one migration; return None if another session has applied it meanwhile."""
    with connection.transaction():
        # Waiting for another migration is harmless: no traffic waits for this lock.
        connection.execute("select set_config('lock_timeout', %s, true)", (f"{lock_limit_seconds * 1000:.0f}ms",))
        connection.execute("select pg_advisory_xact_lock(hashtextextended('sentinel_worker.database.migrate', 0))")
        connection.execute("select set_config('lock_timeout', %s, true)", (LOCK_TIMEOUT,))
        ledger.create(connection)
        if not ledger.missing(connection, [migration]):
            return None
        parts = list(statements.split(migration.text))
        with _notices(connection) as notices:
            for part in parts:
                _execute(connection, migration, part)
        ledger.record(connection, migration, parts)
    return Applied(migration.version, migration.name, tuple(notices))


@contextmanager
def _notices(connection: psycopg.Connection) -> Iterator[list[str]]:
    """Collect the migration's own notices and the server's about rights not granted; no `already exists`."""
    said: list[str] = []

    def hear(notice: psycopg.errors.Diagnostic) -> None:
        if notice.sqlstate in SAID and notice.message_primary:
            said.append(notice.message_primary)

    connection.add_notice_handler(hear)
    try:
        yield said
    finally:
        connection.remove_notice_handler(hear)


def _execute(connection: psycopg.Connection, migration: Migration, part: statements.Statement) -> None:
    try:
        connection.execute(part.text.encode())
    except psycopg.Error as error:
        line = part.line_of(int(error.diag.statement_position) if error.diag.statement_position else None)
        reason = error.diag.message_primary or str(error)
        hint = f" Hint: {error.diag.message_hint}." if error.diag.message_hint else ""
        raise MigrationError(
            f"{migration.file_name}, line {line}: {reason} (SQLSTATE {error.sqlstate}).{hint}",
            passing=refused_connections.passing(error),
        ) from error


@contextmanager
def _connect(db_url: str) -> Iterator[psycopg.Connection]:
    try:
        refused_connections.check_url(db_url)
    except ValueError as error:
        raise MigrationError(str(error)) from None
    try:
        with psycopg.connect(
            db_url,
            autocommit=True,
            connect_timeout=10,
            application_name="sentinel-worker migrate",
            prepare_threshold=None,  # a pooler in transaction mode forgets prepared statements
        ) as connection:
            yield connection
    except psycopg.Error as error:
        # libpq's text names host, port and role, never the password.
        said = " ".join(str(error).split())
        raise MigrationError(
            f"the database reported an error: {said}{hosted_addresses.advice(db_url, error)}",
            passing=refused_connections.passing(error),
        ) from error


def _sql(file_name: str) -> bytes:
    return files("sentinel_worker.database").joinpath(file_name).read_bytes()
