"""The frontend's own database stays as it was, down to grants and rows, after the queue is installed and used."""

from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from sentinel_local_supabase.postgres import Postgres
from sentinel_worker.database import migrate
from tests.integration.database.queue_client import Queue

FOLDER = Path(__file__).parent
TABLES = (
    "agents", "incidents", "media_files", "detections", "network_nodes", "network_edges", "review_queue",
    "evidence_chain",
)  # fmt: skip
_numbers = count(1)


def echo_sentinel(server: Postgres) -> tuple[str, set[str]]:
    """A database with the frontend's own tables: its owner's dsn, and the extensions that the server offers."""
    name = f"echo_sentinel_{next(_numbers)}"
    server.create_database(name)
    dsn = server.dsn("postgres", name)
    with psycopg.connect(dsn) as connection:
        connection.execute((FOLDER / "echo_sentinel.sql").read_bytes())
        extensions = connection.execute("select extname from pg_extension").fetchall()
    return dsn, {extension for (extension,) in extensions}


def snapshot(dsn: str) -> dict[tuple[str, str], Any]:
    """Everything that belongs to the frontend: kind, name and definition of each object."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute((FOLDER / "neighbours.sql").read_bytes()).fetchall()
        seen = {(kind, name): value for kind, name, value in found}
        for table in TABLES:
            query = f"select count(*), md5(string_agg(t::text, ';' order by t.id)) from public.{table} t"  # noqa: S608
            seen["rows", table] = connection.execute(query.encode()).fetchone()
    return seen


def test_nothing_of_the_frontends_changes(any_server: Postgres) -> None:
    """Without uuid-ossp (the embedded PostgreSQL 18) their keys come from gen_random_uuid(); all else is the same."""
    dsn, extensions = echo_sentinel(any_server)
    assert {"pg_trgm", "uuid-ossp"} <= extensions
    before = snapshot(dsn)
    kinds = {kind for kind, _ in before}
    assert kinds >= {"table", "column", "trigger", "constraint", "index", "policy", "publication", "function", "rows"}
    assert before["rows", "network_edges"][0] == 10

    assert len(migrate.apply(dsn)) == len(migrate.available())
    queue = Queue(dsn, dsn)
    assert queue.succeed(queue.start())["answer"] == "succeeded"
    queue.close()

    assert snapshot(dsn) == before
    with psycopg.connect(dsn) as connection:
        first = connection.execute("select version, name from supabase_migrations.schema_migrations order by 1 limit 1")
        assert first.fetchone() == ("20250101000000", "initial_schema")


def test_the_snapshot_sees_what_a_careless_migration_would_do(server: Postgres) -> None:
    dsn, _ = echo_sentinel(server)
    before = snapshot(dsn)
    careless = {
        "grant insert on public.agents to authenticated": ("table", "agents"),
        "revoke execute on all functions in schema public from public": ("function", "update_updated_at_column()"),
        "alter table public.incidents add column verdict text": ("column", "incidents.verdict"),
        "alter publication supabase_realtime drop table public.agents": ("publication", "supabase_realtime.agents"),
        "drop trigger update_agents_updated_at on public.agents": ("trigger", "agents.update_agents_updated_at"),
        "update public.review_queue set priority = 1": ("rows", "review_queue"),
    }
    for statement, seen in careless.items():
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(statement.encode())
        after = snapshot(dsn)
        assert seen in {key for key in before | after if before.get(key) != after.get(key)}, statement
        before = after
