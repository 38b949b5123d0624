"""A database made by the 24 files of before the first release, and the statement that repairs its ledger.

The files are in `before_first_release.tar.gz`, the statement is in docs/database.md.
"""

import re
import subprocess
import tarfile
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Final

import psycopg
import pytest

from sentinel_local_supabase.postgres import SUPERUSER, Postgres
from sentinel_worker.database import migrate, statements
from sentinel_worker.database.ledger import FOLDED
from sentinel_worker.database.migration_files import FILE_NAME
from tests.integration.database.servers import psql

HERE: Final = Path(__file__).parent
PAGE: Final = (HERE.parents[2] / "docs" / "database.md").read_text(encoding="utf-8")
SECTION: Final = PAGE.partition("## A database from before the first release\n")[2].partition("\n## ")[0]
REPAIR: Final = SECTION.partition("```sql\n")[2].partition("```")[0]
OLDER: Final = set(
    re.findall(r"`(\w+)`", SECTION.partition("functions keep their older bodies")[2].partition("\n\n")[0])
)
"""Functions that keep their older bodies, as the page names them."""
RECORD: Final = "insert into supabase_migrations.schema_migrations (version, name) values (%s, %s)"
FORGET: Final = "delete from supabase_migrations.schema_migrations where version = %s"
ROWS: Final = (
    "select to_jsonb(s) from sentinel.settings s order by name",
    "select to_jsonb(b) - 'created_at' - 'updated_at' from storage.buckets b order by id",
)
SQL_COMMENT: Final = re.compile(r"\s*--.*")
FUNCTION: Final = re.compile(r"CREATE FUNCTION \w+\.(\w+)\(")


def test_a_database_with_the_old_files_gets_the_same_schema_after_its_ledger_is_repaired(
    any_server: Postgres,
) -> None:
    old = old_files()
    any_server.create_database("old")
    any_server.create_database("new")
    dsn, new = (any_server.dsn("postgres", name) for name in ("old", "new"))
    apply_old(dsn, old)
    with pytest.raises(migrate.MigrationError, match=r"nothing was applied.*docs/database\.md"):
        migrate.apply(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(FORGET, (old[-1].version,))
        with pytest.raises(psycopg.errors.RaiseException, match="does not hold all 24 files"):
            connection.execute(REPAIR.encode())
        connection.execute(RECORD, (old[-1].version, old[-1].name))
        connection.execute(REPAIR.encode())
    assert [one.version for one in migrate.apply(dsn)] == [migrate.available()[-1].version]
    assert migrate.apply(dsn) == []
    migrate.apply(new)
    assert rows(dsn) == rows(new)
    assert older_functions(any_server) == OLDER


def test_the_repair_records_every_present_file_but_the_comments() -> None:
    *folded, _ = migrate.available()
    assert re.findall(r"\('(\d{14})', '(\w+)'\)", REPAIR) == [(one.version, one.name) for one in folded]


def old_files() -> list[migrate.Migration]:
    """Unpack the old files."""
    old = []
    with tarfile.open(HERE / "before_first_release.tar.gz") as archive:
        for member in archive:
            name, content = FILE_NAME.fullmatch(member.name), archive.extractfile(member)
            assert name is not None
            assert content is not None
            old.append(migrate.Migration(name[1], name[2], content.read().decode()))
    assert (len(old), old[0].version, old[0].name) == (24, *FOLDED)
    return old


def apply_old(dsn: str, old: list[migrate.Migration]) -> None:
    """Apply the old files, and record them in the ledger; `migrate.apply` refuses to."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(files("sentinel_worker.database").joinpath("ledger.sql").read_bytes())
        for migration in old:
            with connection.transaction():
                connection.execute(migration.text.encode())
                connection.execute(RECORD, (migration.version, migration.name))


def rows(dsn: str) -> list[object]:
    """Return the rows that migrations insert."""
    with psycopg.connect(dsn) as connection:
        return [connection.execute(query.encode()).fetchall() for query in ROWS]


def older_functions(server: Postgres) -> set[str]:
    """Return the functions of the repaired database whose code differs from a new one's; all else has to be equal."""
    repaired, new = schema(server, "old"), schema(server, "new")
    differing = [*(repaired - new), *(new - repaired)]
    assert [text for text in differing if not FUNCTION.match(text)] == []
    return {match[1] for text in differing if (match := FUNCTION.match(text))}


def schema(server: Postgres, database: str) -> Counter[str]:
    """Return the statements that create this schema, without SQL comments."""
    command = [str(psql().with_name("pg_dump")), "--schema-only", server.dsn(SUPERUSER, database)]
    dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    code = re.sub(r"^\\.*", "", SQL_COMMENT.sub("", dump), flags=re.MULTILINE)  # \restrict has a random key
    return Counter(statement.text for statement in statements.split(code))
