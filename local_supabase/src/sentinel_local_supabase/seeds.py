"""SQL files that fill a new database: each runs once, recorded in the Supabase CLI's table of seeds."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import psycopg

from sentinel_local_supabase.errors import LocalSupabaseError
from sentinel_local_supabase.left_out import advice

_LEDGER = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.seed_files (path text not null primary key, hash text not null);
"""


def apply_seeds(dsn: str, seeds: Sequence[Path]) -> list[Path]:
    """Run the files that have not run yet, in order, each in a transaction; return those that changed since they ran.

    Raises LocalSupabaseError, which names the file and the line. Files before the failed one stay applied.
    """
    changed = []
    for seed in seeds:
        try:
            text = seed.read_bytes()
        except OSError as error:
            raise LocalSupabaseError("seed_failed", f"{seed}: {error.strerror}") from error
        # A connection for each file: what one sets, such as its role, does not reach the next.
        with psycopg.connect(dsn, autocommit=True) as connection:
            if _has_changed(connection, seed, text):
                changed.append(seed)
    return changed


def _has_changed(connection: psycopg.Connection, seed: Path, text: bytes) -> bool:
    """Run a file unless it has run before; return True if it has, with another text."""
    digest = hashlib.sha256(text).hexdigest()
    connection.execute(_LEDGER)
    known = connection.execute(
        "select hash from supabase_migrations.seed_files where path = %s", (str(seed),)
    ).fetchone()
    if known is not None:
        return bool(known[0] != digest)
    with connection.transaction():
        _execute(connection, seed, text)
        connection.execute("reset role")
        connection.execute("insert into supabase_migrations.seed_files values (%s, %s)", (str(seed), digest))
    return False


def _execute(connection: psycopg.Connection, seed: Path, text: bytes) -> None:
    try:
        connection.execute(text)
    except psycopg.Error as error:
        position = error.diag.statement_position
        line = f", line {text.decode().count(chr(10), 0, int(position) - 1) + 1}" if position else ""
        reason = f"{error.diag.message_primary or error} (SQLSTATE {error.sqlstate})"
        raise LocalSupabaseError("seed_failed", f"{seed}{line}: {reason}.{advice(reason)}") from error
