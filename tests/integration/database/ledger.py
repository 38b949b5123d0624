"""The ledger of applied migrations, which `sentinel-worker migrate` shares with the Supabase CLI."""

from typing import Any

import psycopg

LEDGER = "select version, name, statements from supabase_migrations.schema_migrations order by version"


def recorded(dsn: str) -> list[tuple[Any, ...]]:
    """Return version, name and statements of each applied migration, oldest first."""
    with psycopg.connect(dsn) as connection:
        if connection.execute("select to_regclass('supabase_migrations.schema_migrations')").fetchone() == (None,):
            return []
        return connection.execute(LEDGER).fetchall()


def names(dsn: str) -> list[str]:
    """Return the names of the applied migrations, oldest first."""
    return [name for _, name, _ in recorded(dsn)]
