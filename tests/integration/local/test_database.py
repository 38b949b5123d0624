"""The database of a stack: its port, default grants, and seeds."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sentinel_local_supabase.errors import LocalSupabaseError
from sentinel_local_supabase.postgres import SUPERUSER, Postgres
from sentinel_local_supabase.project import set_default_grants
from sentinel_local_supabase.seeds import apply_seeds
from sentinel_worker.database import migrate
from tests.integration.local.ports import held_port
from tests.stacks import postgres_at


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """Only the database."""
    with postgres_at(tmp_path_factory.mktemp("server") / "postgres") as running:
        yield running


def test_a_preferred_port_that_is_held_is_replaced_by_a_free_one(tmp_path: Path) -> None:
    postgres_at(tmp_path / "postgres")
    with held_port() as held, Postgres(tmp_path / "postgres", durable=False, preferred_port=held) as server:
        assert server.port != held
        with psycopg.connect(server.dsn(tcp=True)) as database:
            assert database.execute("select 1").fetchone() == (1,)


def test_default_grants_come_and_go_and_leave_the_owners_alone(server: Postgres) -> None:
    def readers(table: str) -> set[str]:
        with psycopg.connect(server.dsn(), autocommit=True) as owner, psycopg.connect(server.dsn(SUPERUSER)) as look:
            owner.execute(f"create table public.{table} ()".encode())
            return {
                role
                for role in ("anon", "authenticated", "service_role")
                if look.execute("select has_table_privilege(%s, %s, 'select')", (role, f"public.{table}")).fetchone()
                == (True,)
            }

    with psycopg.connect(server.dsn(SUPERUSER), autocommit=True) as superuser:
        assert readers("hosted_today") == set()
        for table in ("once", "again"):
            set_default_grants(superuser, wanted=True)
            assert readers(table) == {"anon", "authenticated", "service_role"}
        set_default_grants(superuser, wanted=False)
        assert readers("after") == set()
        with psycopg.connect(server.dsn(), autocommit=True) as owner:
            owner.execute("alter default privileges in schema public grant select on tables to authenticated")
        set_default_grants(superuser, wanted=False)
        assert readers("owners") == {"authenticated"}


RIGHTS = """
select oid::regclass::text, array(select unnest(relacl)::text order by 1) from pg_class
 where relnamespace in ('public'::regnamespace, 'sentinel'::regnamespace)
union all
select oid::regprocedure::text, array(select unnest(proacl)::text order by 1) from pg_proc
 where pronamespace in ('public'::regnamespace, 'sentinel'::regnamespace)
"""


def test_default_grants_change_no_right_of_this_product(tmp_path: Path) -> None:
    def rights(server: Postgres) -> dict[str, list[str]]:
        with server, psycopg.connect(server.dsn()) as database:
            return dict(database.execute(RIGHTS).fetchall())

    postgres_at(tmp_path / "granted")
    with Postgres(tmp_path / "granted", durable=False, default_grants=True) as granted:
        migrate.apply(granted.dsn())
        found = rights(granted)
    assert len(found) > 30
    assert found == rights(postgres_at(tmp_path / "usual", migrations=True))


def test_a_seed_runs_once_and_a_changed_one_is_reported(server: Postgres, tmp_path: Path) -> None:
    first, second = tmp_path / "first.sql", tmp_path / "second.sql"
    first.write_text("create table public.seeded (n int); set role anon;")
    second.write_text("begin; insert into public.seeded values (1); commit; insert into public.seeded values (2)")
    dsn = server.dsn()
    assert apply_seeds(dsn, [first, second]) == []
    assert apply_seeds(dsn, [first, second]) == []
    second.write_text("insert into public.seeded values (3)")
    assert apply_seeds(dsn, [first, second]) == [second]
    with psycopg.connect(dsn) as database:
        assert database.execute("select array_agg(n order by n) from public.seeded").fetchone() == ([1, 2],)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("insert into public.nothing values (1)", 'relation "public.nothing" does not exist (SQLSTATE 42P01).'),
        ("create extension pg_net", "The local Supabase has no extension pg_net: "),
        ("select vault.create_secret('x')", "The local Supabase has no schema vault: "),
        ("alter role authenticator set pgrst.db_max_rows = '5'", "The local Supabase has no pgrst.db_max_rows: "),
        ("set role anon; table public.half", "Grant the role what it needs on half, or start with --default-grants"),
        ("select pgp_sym_encrypt('a', 'b')", "the local Supabase has no pgp_sym_encrypt() (SQLSTATE 0A000)."),
    ],
)
def test_a_failed_seed_says_why_and_leaves_nothing(server: Postgres, tmp_path: Path, line: str, sentence: str) -> None:
    seed = tmp_path / "seed.sql"
    seed.write_text(f"create table public.half ();\n{line};")
    with pytest.raises(LocalSupabaseError) as failed:
        apply_seeds(server.dsn(), [seed])
    assert failed.value.code == "seed_failed"
    assert failed.value.message.startswith(str(seed))
    assert sentence in failed.value.message
    with psycopg.connect(server.dsn()) as database:
        assert database.execute("select to_regclass('public.half')").fetchone() == (None,)


def test_a_failed_seed_names_the_line_and_a_missing_one_the_file(server: Postgres, tmp_path: Path) -> None:
    seed = tmp_path / "seed.sql"
    seed.write_text("select 'ä';\n\nselect nothing;")
    with pytest.raises(LocalSupabaseError, match=r'seed\.sql, line 3: column "nothing" does not exist'):
        apply_seeds(server.dsn(), [seed])
    with pytest.raises(LocalSupabaseError, match=r"other\.sql: No such file or directory"):
        apply_seeds(server.dsn(), [tmp_path / "other.sql"])
