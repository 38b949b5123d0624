"""From nothing to the whole schema, in each documented way, on every supported server."""

import re
import subprocess
from itertools import count
from pathlib import Path
from threading import Thread

import psycopg
import pytest

from sentinel_local_supabase.postgres import Postgres
from sentinel_worker.database import migrate, statements
from tests.integration.database import ledger
from tests.integration.database.queue_client import Queue
from tests.integration.database.servers import psql

ROOT = Path(__file__).parents[3]
REWRITE = "update supabase_migrations.schema_migrations set statements = RECORDED"
_numbers = count(1)


def empty_database(server: Postgres) -> str:
    name = f"empty_{next(_numbers)}"
    server.create_database(name)
    return server.dsn("postgres", name)


def test_every_file_applies_from_scratch_and_a_repeat_does_nothing(any_server: Postgres) -> None:
    dsn = empty_database(any_server)
    shipped = sorted(path.stem for path in (ROOT / "migrations").glob("*.sql"))
    assert [f"{applied.version}_{applied.name}" for applied in migrate.apply(dsn)] == shipped
    assert migrate.apply(dsn) == []
    with psycopg.connect(dsn) as connection:
        rights = connection.execute("select rolsuper, rolbypassrls from pg_roles where rolname = current_user")
        assert rights.fetchone() == (False, True)
    recorded = ledger.recorded(dsn)
    assert [f"{version}_{name}" for version, name, _ in recorded] == shipped
    assert all(statements for _, _, statements in recorded)


def test_the_queue_works_on_the_server(any_server: Postgres) -> None:
    dsn = empty_database(any_server)
    migrate.apply(dsn)
    queue = Queue(dsn, dsn)
    claim = queue.start()
    assert queue.heartbeat(claim) == ["ok"]
    assert queue.progress(claim, "analyzing", 10) == "ok"
    assert queue.finish(claim, "retry", error_code="x")["answer"] == "scheduled"
    queue.sql("update public.analysis_requests set status = 'queued'")
    assert queue.succeed(queue.claim()[0])["answer"] == "succeeded"
    queue.expire(queue.start())
    assert queue.sql("select 1 from realtime.messages") != []
    queue.close()


def test_psql_applies_each_file(any_server: Postgres) -> None:
    dsn = empty_database(any_server)
    for path in sorted((ROOT / "migrations").glob("*.sql")):
        command = [str(psql()), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(path), dsn]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{path.name}: {done.stderr}"
    with pytest.raises(migrate.MigrationError, match=r"_schema\.sql, line \d+: .*already exists \(SQLSTATE 42P06\)"):
        migrate.apply(dsn)


def test_two_at_once_apply_each_file_once(server: Postgres) -> None:
    dsn = empty_database(server)
    applied: list[migrate.Applied] = []
    threads = [Thread(target=lambda: applied.extend(migrate.apply(dsn))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.version for one in applied) == [migration.version for migration in migrate.available()]


def test_an_error_names_file_line_and_code_and_leaves_nothing_behind(server: Postgres, tmp_path: Path) -> None:
    dsn = empty_database(server)
    (tmp_path / "20260101000000_good.sql").write_text("create table public.good (id int);")
    (tmp_path / "20260102000000_bad.sql").write_text(
        "-- a comment; with a semicolon\ncreate table public.half (id int);\n\nselect 1,\n       nonsense;\n"
    )
    with pytest.raises(migrate.MigrationError, match=r"20260102000000_bad\.sql, line 5: .*nonsense.*SQLSTATE 42703"):
        migrate.apply(dsn, migrations_dir=tmp_path)
    assert ledger.names(dsn) == ["good"]
    with psycopg.connect(dsn) as connection:
        there = connection.execute("select to_regclass('public.good'), to_regclass('public.half')").fetchone()
        assert there == ("good", None)


def test_a_version_that_the_ledger_knows_by_another_name_is_refused(server: Postgres, tmp_path: Path) -> None:
    dsn = empty_database(server)
    first = tmp_path / "20260101000000_one.sql"
    first.write_text("select 1")
    migrate.apply(dsn, migrations_dir=tmp_path)
    first.rename(tmp_path / "20260101000000_other.sql")
    with pytest.raises(migrate.MigrationError, match="already has version 20260101000000 as 'one'"):
        migrate.apply(dsn, migrations_dir=tmp_path)


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A folder with the files of an earlier commit: two are different, and the last one is missing."""
    for migration in migrate.available()[:-1]:
        text = migration.text
        if "create function sentinel.choose(" in text:
            text = text.replace("'max_running_requests'", "'max_requests'")
        if "create table sentinel.settings" in text:
            text += "create table sentinel.abandoned (id int);\n"
        (tmp_path / migration.file_name).write_text(text)
    return tmp_path


def test_a_database_from_files_that_changed_is_refused(server: Postgres, changed: Path) -> None:
    """It counted as up to date, and its workers failed at the first function that was new."""
    dsn = empty_database(server)
    migrate.apply(dsn, migrations_dir=changed)
    with pytest.raises(migrate.MigrationError, match=r"docs/database\.md.*--fresh") as refused:
        migrate.apply(dsn)
    assert re.findall(r"\d{14}_\w+\.sql", str(refused.value)) == [
        path.name
        for path in sorted(changed.iterdir())
        if path.read_text() != (ROOT / "migrations" / path.name).read_text()
    ]
    assert refused.value.passing is False
    assert ledger.names(dsn) == [one.name for one in migrate.available()[:-1]], "nothing was applied"


@pytest.mark.parametrize(
    "recorded",
    [
        "null",
        "'{}'",
        "array[array_to_string(statements, ';')]",
        "array(select s || E';\\r\\n' from unnest(statements) s)",
        "array(select regexp_replace(s, '^(\\s*--[^\\n]*\\n)+', '') from unnest(statements) s)",
        "array(select replace(s, E'\\n', E'\\r\\n') from unnest(statements) s)",
    ],
    ids=["none", "empty", "whole", "ended", "uncommented", "windows"],
)
def test_a_ledger_that_another_tool_wrote_is_not_mistaken_for_one_of_changed_files(
    server: Postgres, recorded: str
) -> None:
    name = f"other_ledger_{next(_numbers)}"
    server.create_database(name, template="migrated")
    dsn = server.dsn("postgres", name)
    with psycopg.connect(dsn) as connection:
        before = ledger.recorded(dsn)
        connection.execute(REWRITE.replace("RECORDED", recorded).encode())
        connection.commit()
        assert ledger.recorded(dsn) != before
    assert migrate.apply(dsn) == []


def test_a_ledger_without_statements_is_one_of_an_old_cli(server: Postgres) -> None:
    server.create_database("old_cli", template="migrated")
    dsn = server.dsn("postgres", "old_cli")
    with psycopg.connect(dsn) as connection:
        connection.execute("alter table supabase_migrations.schema_migrations drop column statements, drop column name")
    assert migrate.apply(dsn) == []


def test_a_wrong_folder_and_an_unreachable_database_are_named(tmp_path: Path) -> None:
    with pytest.raises(migrate.MigrationError, match="no migrations in"):
        migrate.available(tmp_path)
    (tmp_path / "1_first.sql").touch()
    with pytest.raises(migrate.MigrationError, match="<14 digits>_<name>"):
        migrate.available(tmp_path)
    with pytest.raises(migrate.MigrationError, match="database") as refusal:
        migrate.apply("postgresql://u:secret@127.0.0.1:1/x")
    assert "secret" not in str(refusal.value)


def test_an_error_while_a_statement_runs_names_its_first_line(server: Postgres, tmp_path: Path) -> None:
    (tmp_path / "20260101000000_bad.sql").write_text("select 1;\n-- why\n\nselect 1 /\n  0;\n")
    with pytest.raises(migrate.MigrationError, match=r"bad\.sql, line 4: division by zero \(SQLSTATE 22012\)"):
        migrate.apply(empty_database(server), migrations_dir=tmp_path)


def test_statements_are_split_outside_quotes_only() -> None:
    text = """
-- one; comment
select ';', ";", $$ ; $$, $a$ $$ ; $a$; /* ; */
select e'\\';' ;

;
create function f() returns int language sql as $body$ select 1; $body$
"""
    parts = list(statements.split(text))
    assert [(part.line_of(None), part.text[part.code :].split("(")[0][:14]) for part in parts] == [
        (3, "select ';', \";"),
        (4, "select e'\\';'"),
        (7, "create functio"),
    ]
    assert [(part.line, part.text[:14]) for part in parts[:2]] == [(2, "-- one; commen"), (3, "/* ; */\nselect")]
