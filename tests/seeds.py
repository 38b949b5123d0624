"""Restores a shared stack, for tests that only add rows, users, objects, settings and faults."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from sentinel_local_supabase.stack import Stack

_TABLES: Final = """
select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname in ('public', 'sentinel', 'auth', 'storage', 'realtime')
"""
_Rows = dict[tuple[str, str], bytes]


class Seeds:
    """Snapshot of a running stack: its rows by table, and no faults. `restore` brings it back.

    Tables and rights that a test adds or changes stay, so such a test needs a separate stack.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        with self._superuser() as database:
            self._rows = _rows_of(database)

    async def restore(self) -> None:
        """Remove every other row and object, restore changed or deleted rows, and end the faults."""
        await self._stack.behave()
        with self._superuser() as database, database.transaction():
            # No triggers and no foreign key checks: all tables are consistent again at the end.
            database.execute("set local session_replication_role = replica")
            now = _rows_of(database)
            for table in now.keys() | self._rows.keys():
                if now.get(table) != self._rows.get(table):
                    _write(database, table, self._rows.get(table))
        _remove_files(self._stack.folder / "objects")

    def _superuser(self) -> psycopg.Connection:
        return psycopg.connect(self._stack.superuser_dsn, autocommit=True)


def _rows_of(database: psycopg.Connection) -> _Rows:
    """The rows of all non-empty tables, as COPY writes them."""
    found = {}
    for schema, name in database.execute(_TABLES).fetchall():
        with database.cursor().copy(sql.SQL("copy {} to stdout").format(sql.Identifier(schema, name))) as rows:
            if text := b"".join(map(bytes, rows)):
                found[schema, name] = text
    return found


def _write(database: psycopg.Connection, table: tuple[str, str], rows: bytes | None) -> None:
    name = sql.Identifier(*table)
    database.execute(sql.SQL("delete from {}").format(name))
    if rows is not None:
        with database.cursor().copy(sql.SQL("copy {} from stdin").format(name)) as copy:
            copy.write(rows)


def _remove_files(folder: Path) -> None:
    """Remove the objects' files, but keep the folders, which the gateway expects."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()
