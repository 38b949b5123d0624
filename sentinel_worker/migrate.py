"""Bring a project's database up to this version, on the Supabase CLI's own ledger.

`supabase db push` and `sentinel-worker migrate` read and write `supabase_migrations.schema_migrations`, so that
neither applies what the other has applied.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import psycopg

from sentinel_worker.errors import SentinelError

FILE_NAME = re.compile(r"(\d{14})_([a-z0-9_]+)\.sql")
LEDGER = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""
TOKEN = re.compile(
    r"""
    --[^\n]*                                 # comments
  | /\*.*?\*/
  | [eE]'(?:[^'\\]|\\.|'')*'                 # strings and names
  | '(?:[^']|'')*'
  | "(?:[^"]|"")*"
  | (\$(?:[A-Za-z_]\w*)?\$).*?\1             # dollar quotes
  | ;
  | [A-Za-z_]\w*                             # a word, so that its last letter is not taken for a prefix
  | .
    """,
    re.VERBOSE | re.DOTALL,
)


class MigrationError(SentinelError):
    """The database cannot be migrated; the message names the file, the line and the SQLSTATE."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its 14-digit version, its name without the version, its text."""

    version: str
    name: str
    text: str

    @property
    def file_name(self) -> str:
        """The name of the file that it came from."""
        return f"{self.version}_{self.name}.sql"


@dataclass(frozen=True, slots=True)
class Applied:
    """One migration that this call applied."""

    version: str
    name: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a file, and the line (1-based) on which it starts."""

    line: int
    text: str


def available(migrations_dir: Path | None = None) -> list[Migration]:
    """The migrations of a folder, in order; without one those that came with this package."""
    folder = migrations_dir or _shipped()
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: a migration is named <14 digits>_<name>.sql")
        found.append(Migration(match[1], match[2], path.read_text(encoding="utf-8")))
    if not found:
        raise MigrationError(f"no migrations in {folder}")
    return found


def pending(db_url: str, *, migrations_dir: Path | None = None) -> list[Migration]:
    """The migrations that this database lacks. Writes nothing, and needs only to read the ledger."""
    with _connect(db_url) as connection:
        return _missing(connection, available(migrations_dir))


def apply(db_url: str, *, migrations_dir: Path | None = None) -> list[Applied]:
    """Apply what is missing, each file and its line in the ledger in one transaction.

    Callers at the same time wait for each other, and the second finds nothing to do. Raises MigrationError;
    files before the one that failed stay applied, that one leaves nothing behind.
    """
    migrations = available(migrations_dir)
    applied = []
    with _connect(db_url) as connection:
        while missing := _missing(connection, migrations):
            if _apply_first(connection, missing[0]):
                applied.append(Applied(missing[0].version, missing[0].name))
    return applied


def statements(text: str) -> Iterator[Statement]:
    """Split SQL at the semicolons that are not inside strings, names, dollar quotes or comments."""
    start = 0
    for token in TOKEN.finditer(text):
        if token[0] == ";":
            yield from _statement(text, start, token.start())
            start = token.end()
    yield from _statement(text, start, len(text))


def _statement(text: str, start: int, end: int) -> Iterator[Statement]:
    for token in TOKEN.finditer(text, start, end):
        if not token[0].isspace() and not token[0].startswith(("--", "/*")):
            line = text.count("\n", 0, token.start()) + 1
            yield Statement(line, text[token.start() : end].strip())
            return


def _apply_first(connection: psycopg.Connection, migration: Migration) -> bool:
    """Apply one migration; False when somebody else has done so meanwhile."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtextextended('sentinel_worker.migrate', 0))")
        connection.execute(LEDGER)
        if not _missing(connection, [migration]):
            return False
        parts = list(statements(migration.text))
        for part in parts:
            _execute(connection, migration, part)
        connection.execute(
            "insert into supabase_migrations.schema_migrations (version, statements, name) values (%s, %s, %s)",
            (migration.version, [part.text for part in parts], migration.name),
        )
    return True


def _execute(connection: psycopg.Connection, migration: Migration, part: Statement) -> None:
    try:
        connection.execute(part.text.encode())
    except psycopg.Error as error:
        position = int(error.diag.statement_position or 1)
        line = part.line + part.text.count("\n", 0, position - 1)
        reason = error.diag.message_primary or str(error)
        hint = f" Hint: {error.diag.message_hint}." if error.diag.message_hint else ""
        raise MigrationError(
            f"{migration.file_name}, line {line}: {reason} (SQLSTATE {error.sqlstate}).{hint}"
        ) from error


def _missing(connection: psycopg.Connection, migrations: list[Migration]) -> list[Migration]:
    known = connection.execute("select to_regclass('supabase_migrations.schema_migrations') is not null").fetchone()
    if known != (True,):
        return migrations
    rows = connection.execute(
        "select version, to_jsonb(m) ->> 'name' from supabase_migrations.schema_migrations m where version = any(%s)",
        ([migration.version for migration in migrations],),
    ).fetchall()
    names: dict[str, str | None] = dict(rows)
    for migration in migrations:
        name = names.get(migration.version, migration.name)
        if name is not None and name != migration.name:
            raise MigrationError(
                f"{migration.file_name}: the ledger already has version {migration.version} as '{name}'"
            )
    return [migration for migration in migrations if migration.version not in names]


@contextmanager
def _connect(db_url: str) -> Iterator[psycopg.Connection]:
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
        raise MigrationError(f"the database did not answer as it should: {str(error).strip()}") from error


def _shipped() -> Path:
    package = files("sentinel_worker")
    assert isinstance(package, Path)
    inside, beside = package / "migrations", package.parent / "migrations"
    return inside if inside.is_dir() else beside
