"""Exit codes of `sentinel-worker migrate`: 2 for what somebody has to fix, 75 for what may pass, never a traceback."""

from collections.abc import Callable
from urllib.parse import quote

import psycopg
import pytest
from typer.testing import CliRunner

from sentinel_local_supabase.postgres import Postgres
from sentinel_worker import cli
from sentinel_worker.database.migrate import available

Change = Callable[[str, str], str]


def migrate(url: str) -> tuple[int, str]:
    """Run the command; return its exit code and what it says."""
    answer = CliRunner().invoke(cli.app, ["migrate"], env={"SENTINEL_DB_URL": url, "COLUMNS": "500"})
    assert isinstance(answer.exception, SystemExit | None), answer.exception
    assert "Traceback" not in answer.output
    return answer.exit_code, answer.output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda dsn, password: dsn.replace(password, "Wrong-pw-0815"), "password authentication failed"),
        (lambda dsn, password: dsn.replace(f":{password}@", "@"), "no password supplied"),
        (lambda dsn, _: dsn.replace("/migrated", "/no-such-database"), "does not exist"),
        (lambda dsn, _: dsn.replace("postgres:", "nobody:", 1), "password authentication failed"),
        (lambda dsn, _: dsn.replace("postgres:", "authenticator:", 1), "permission denied"),
        (lambda dsn, _: dsn.replace("postgresql://", "https://"), "It begins with postgresql://"),
        (lambda *_: "", "Missing option '--db-url'"),
        (lambda *_: "postgresql://postgres:Wrong@pw@127.0.0.1/x", "second @"),
        (lambda *_: "postgresql://postgres:Wrong-pw-0815@127.0.0.1:https/x", "ports are numbers"),
    ],
)
def test_a_mistake_exits_2_and_shows_no_password(server: Postgres, change: Change, said: str) -> None:
    password = quote(server.password)
    code, output = migrate(change(server.dsn("postgres", "migrated"), password))
    assert code == 2
    assert said in output
    assert not [secret for secret in (password, "Wrong-pw-0815", "Wrong@pw") if secret in output]


@pytest.mark.parametrize("word", ["postgres", "database", "migrated"])
def test_a_password_that_is_an_ordinary_word_hides_no_other(server: Postgres, word: str) -> None:
    """The user and the database of that name disappeared, and nobody could tell what was refused."""
    code, output = migrate(server.dsn("postgres", "migrated").replace(quote(server.password), word))
    assert code == 2
    assert output.startswith("error the database reported an error: ")
    assert 'password authentication failed for user "postgres"' in output
    assert f":{word}@" not in output


@pytest.mark.parametrize(
    "url", ["postgresql://u:secret-pw@127.0.0.1:1/x", "postgresql://u:secret-pw@no-such.invalid/x"]
)
def test_a_server_that_cannot_be_reached_exits_75(url: str) -> None:
    code, output = migrate(url)
    assert code == 75
    assert output.startswith("error the database reported an error: ")
    assert "secret-pw" not in output


def test_a_server_without_room_for_another_connection_exits_75(server: Postgres) -> None:
    superuser_dsn = server.create_database("crowded", template="migrated")
    with psycopg.connect(superuser_dsn, autocommit=True) as admin:
        admin.execute("alter database crowded connection limit 0")
    code, output = migrate(server.dsn("postgres", "crowded"))
    assert (code, "too many connections" in output) == (75, True)


def test_a_database_from_changed_files_exits_2(server: Postgres) -> None:
    server.create_database("changed", template="migrated")
    with psycopg.connect(server.dsn("postgres", "changed")) as connection:
        connection.execute("update supabase_migrations.schema_migrations set statements[1] = 'select 1'")
    code, output = migrate(server.dsn("postgres", "changed"))
    assert code == 2
    assert output.startswith("error the database was made by other versions of 20261130000100_role_and_schema.sql, ")
    assert f"and {len(available()) - 3} more: " in output
    assert output.endswith("start `sentinel-worker dev` with --fresh\n")


def test_a_migrated_database_exits_0(server: Postgres) -> None:
    code, output = migrate(server.dsn("postgres", "migrated"))
    assert (code, output.splitlines()[0]) == (0, "nothing to apply: the database is up to date")
