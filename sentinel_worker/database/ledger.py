"""The ledger of applied migrations, `supabase_migrations.schema_migrations`, which is the Supabase CLI's own."""

from collections.abc import Iterable
from importlib.resources import files
from typing import Any, Final

import psycopg

from sentinel_worker.database import statements
from sentinel_worker.database.migration_files import Migration, MigrationError
from sentinel_worker.database.statements import Statement

FOLDED: Final = ("20261122000100", "role_and_schema")
"""First of the files that were folded into the present ones before the first release (docs/adr/0020)."""
_WHAT_TO_DO: Final = (
    "What to do is in docs/database.md, section 'A database from before the first release'. "
    "A local project: start `sentinel-worker dev` with --fresh"
)
_COLUMNS: Final = (
    "select version, to_jsonb(m) -> %s from supabase_migrations.schema_migrations m where version = any(%s)"
)
_NAMED_FILES: Final = 3


def create(connection: psycopg.Connection) -> None:
    """Create the ledger unless it exists."""
    connection.execute(files("sentinel_worker.database").joinpath("ledger.sql").read_bytes())


def record(connection: psycopg.Connection, migration: Migration, parts: Iterable[Statement]) -> None:
    """Record a migration with its statements as applied."""
    connection.execute(
        "insert into supabase_migrations.schema_migrations (version, statements, name) values (%s, %s, %s)",
        (migration.version, [part.text for part in parts], migration.name),
    )


def missing(connection: psycopg.Connection, migrations: list[Migration]) -> list[Migration]:
    """Return the migrations that are not applied; raises MigrationError if the ledger has other files."""
    names = _read(connection, "name", [FOLDED[0], *(migration.version for migration in migrations)])
    _refuse_folded(names, migrations)
    for migration in migrations:
        name = names.get(migration.version, migration.name)
        if name is not None and name != migration.name:
            raise MigrationError(
                f"{migration.file_name}: the ledger already has version {migration.version} as '{name}'"
            )
    return [migration for migration in migrations if migration.version not in names]


def refuse_changed(connection: psycopg.Connection, migrations: list[Migration]) -> None:
    """Raise MigrationError if a file was applied with other statements than it has now.

    Until the first release, files are changed in place. Nothing is known about a file whose statements the ledger does
    not hold: old CLIs record none.
    """
    recorded = _read(connection, "statements", [migration.version for migration in migrations])
    changed = [one.file_name for one in migrations if not _is_same(one, recorded.get(one.version))]
    if changed:
        more = f" and {len(changed) - _NAMED_FILES} more" if len(changed) > _NAMED_FILES else ""
        raise MigrationError(
            f"the database was made by other versions of {', '.join(changed[:_NAMED_FILES])}{more}: until the first "
            f"release, files are changed in place. Nothing was applied. {_WHAT_TO_DO}"
        )


def _is_same(migration: Migration, recorded: list[str | None] | None) -> bool:
    if not recorded:
        return True
    # Joined, because other versions of the CLI may split a file at other places.
    return statements.bare(";".join(f"{text}\n" for text in recorded if text)) == statements.bare(migration.text)


def _read(connection: psycopg.Connection, column: str, versions: list[str]) -> dict[str, Any]:
    """Return a column of the ledger by version; None where an old ledger has no such column."""
    there = connection.execute("select to_regclass('supabase_migrations.schema_migrations') is not null").fetchone()
    return dict(connection.execute(_COLUMNS, (column, versions)).fetchall()) if there == (True,) else {}


def _refuse_folded(ledger: dict[str, Any], migrations: list[Migration]) -> None:
    """Raise if the schema exists under other versions: creating it again would fail at the first table."""
    version, name = FOLDED
    if ledger.get(version, "") in {name, None} and version not in {migration.version for migration in migrations}:
        raise MigrationError(
            f"the database was made by {version}_{name}.sql and others, which were folded into new files before the "
            f"first release. Nothing was applied. {_WHAT_TO_DO}"
        )
