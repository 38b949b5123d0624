"""The real Supabase CLI and `sentinel-worker migrate` share one ledger on the same databases.

The CLI comes from npm (62 MB to fetch, 135 MB on disk; see servers.py). These tests need no Docker.
"""

import json
import os
import subprocess
from collections.abc import Callable
from itertools import count
from pathlib import Path

import psycopg
import pytest

from sentinel_local_supabase.postgres import Postgres
from sentinel_worker.database import migrate
from tests.integration.database import ledger
from tests.integration.database.servers import NotHereError, supabase_cli

ROOT = Path(__file__).parents[3]
THEIRS = "20250101000000"
VERSIONS = [migration.version for migration in migrate.available()]
_numbers = count(1)
Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def dsn(server: Postgres) -> str:
    """An empty project, over TCP because the CLI needs that."""
    name = f"cli_{next(_numbers)}"
    server.create_database(name)
    return server.dsn("postgres", name, tcp=True)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run the CLI on this repository's folder `supabase`, or on another; it must not prompt or phone home."""
    try:
        program = supabase_cli()
    except NotHereError as reason:
        pytest.skip(str(reason))
    ours = project(tmp_path / "ours", (ROOT / "supabase" / "config.toml").read_text())
    (ours / "supabase" / "migrations").symlink_to(ROOT / "supabase" / "migrations")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "SUPABASE_TELEMETRY_DISABLED": "1",
        "DO_NOT_TRACK": "1",
    }

    def run(*command: str, to: str, folder: Path = ours) -> subprocess.CompletedProcess[str]:
        arguments = [str(program), *command, f"--remote={to}", "--workdir", str(folder), "--yes"]
        return subprocess.run(
            arguments,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def project(folder: Path, config: str) -> Path:
    """A folder as `supabase init` leaves it."""
    (folder / "supabase").mkdir(parents=True)
    (folder / "supabase" / "config.toml").write_text(config)
    return folder


def test_what_the_cli_has_pushed_is_not_applied_again(cli: Cli, server: Postgres, dsn: str) -> None:
    """The ledger that the CLI writes is also the one that `sentinel-worker migrate` writes."""
    dry = cli("db", "push", "--dry-run", to=dsn)
    assert dry.returncode == 0, dry.stderr
    assert all(migration.file_name in dry.stderr for migration in migrate.available())
    assert ledger.recorded(dsn) == [], "a dry run applied something"
    pushed = cli("db", "push", to=dsn)
    assert pushed.returncode == 0, pushed.stderr
    assert migrate.apply(dsn) == []
    listed = json.loads(cli("migration", "list", "--output-format", "json", to=dsn).stdout)
    assert [(row["local"], row["remote"]) for row in listed["migrations"]] == [(v, v) for v in VERSIONS]
    server.create_database("cli_twin")
    twin = server.dsn("postgres", "cli_twin")
    migrate.apply(twin)
    assert ledger.recorded(twin) == ledger.recorded(dsn)


def test_what_migrate_has_applied_is_not_pushed_again(cli: Cli, dsn: str) -> None:
    migrate.apply(dsn)
    pushed = cli("db", "push", to=dsn)
    assert pushed.returncode == 0, pushed.stderr
    assert "up to date" in pushed.stdout + pushed.stderr
    assert "Applying" not in pushed.stderr


def test_each_goes_on_where_the_other_stopped(cli: Cli, dsn: str, tmp_path: Path) -> None:
    first, rest = migrate.available()[:5], migrate.available()[5:]
    started = tmp_path / "started"
    started.mkdir()
    for migration in first:
        (started / migration.file_name).write_text(migration.text)
    migrate.apply(dsn, migrations_dir=started)
    pushed = cli("db", "push", to=dsn)
    assert pushed.returncode == 0, pushed.stderr
    applied = [line.split()[-1].removesuffix("...") for line in pushed.stderr.splitlines() if "Applying" in line]
    assert applied == [migration.file_name for migration in rest]
    assert migrate.apply(dsn) == []


def test_supabases_own_advisor_has_no_warning(cli: Cli, dsn: str) -> None:
    """Run the CLI's security and performance checks, level `warn` and above; a planted problem shows that they work."""
    migrate.apply(dsn)
    advice = ("db", "advisors", "--level", "warn", "--fail-on", "warn")
    clean = cli(*advice, to=dsn)
    assert clean.returncode == 0, clean.stdout
    with psycopg.connect(dsn) as connection:
        connection.execute("create table public.open_to_all (id int primary key)")
        connection.execute("grant select on public.open_to_all to anon")
    found = cli(*advice, to=dsn)
    assert found.returncode == 1
    assert "rls_disabled_in_public" in found.stdout


def test_a_project_with_its_own_migrations_fetches_ours(cli: Cli, dsn: str, tmp_path: Path) -> None:
    """The CLI refuses a ledger with versions that its folder lacks; `sentinel-worker migrate` accepts it."""
    theirs = project(tmp_path / "theirs", 'project_id = "echo-sentinel"\n')
    migrations = theirs / "supabase" / "migrations"
    migrations.mkdir()
    (migrations / f"{THEIRS}_initial.sql").write_text("create table public.agents (id uuid primary key);\n")
    assert cli("db", "push", to=dsn, folder=theirs).returncode == 0

    ours = cli("db", "push", to=dsn)
    assert ours.returncode == 1
    assert "Remote migration versions not found in local migrations directory" in ours.stderr
    assert [one.version for one in migrate.apply(dsn)] == VERSIONS

    (migrations / "20270101000000_more.sql").write_text("create table public.incidents (id uuid primary key);\n")
    assert cli("db", "push", to=dsn, folder=theirs).returncode == 1
    assert cli("migration", "fetch", to=dsn, folder=theirs).returncode == 0
    pushed = cli("db", "push", to=dsn, folder=theirs)
    assert pushed.returncode == 0, pushed.stderr
    assert [version for version, _, _ in ledger.recorded(dsn)] == [THEIRS, *VERSIONS, "20270101000000"]
