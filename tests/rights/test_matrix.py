"""Every right of every role, asked with real statements and calls: the result must equal allowed.py, both ways."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from sentinel_worker.database import migrate
from tests.matrix import sampled
from tests.rights import page
from tests.rights.asking import (
    REALTIME_SECTIONS,
    REST_LETTERS,
    REST_SECTIONS,
    SQL_SECTIONS,
    STORAGE_SECTIONS,
    Asking,
    ask_sql,
)
from tests.rights.matrix import Matrix, differences, listed, unlisted
from tests.rights.summary import DIFFERENCES, GATEWAY_QUESTIONS, SQL_QUESTIONS
from tests.rights.universe import survey
from tests.rights.world import CALLERS, IDENTITIES, A, Identity, prepare
from tests.stacks import postgres_at

OLDEST = Path("/usr/lib/postgresql/15/bin")
Record = Callable[[str, object], None]
EXTENT = pytest.mark.parametrize("extent", sampled("rights", ["sample", "all"], ["sample"]))
EVERYBODY = pytest.mark.parametrize("who", CALLERS, ids=lambda who: who.name)


def check(record: Record, questions: str, found: Matrix, lines: list[str]) -> None:
    record(questions, found.asked)
    record(DIFFERENCES, len(lines))
    assert found.asked > 0
    assert not lines, "\n".join(lines)


def test_everything_that_exists_is_listed(world: Asking) -> None:
    assert unlisted(world.universe) == []


@pytest.mark.parametrize("who", IDENTITIES, ids=lambda who: who.name)
def test_rights_in_sql(world: Asking, who: Identity, record_property: Record) -> None:
    found = world.as_sql(who)
    check(record_property, SQL_QUESTIONS, found, differences(found, SQL_SECTIONS, [who.name]))


@EXTENT
@EVERYBODY
@pytest.mark.asyncio(loop_scope="session")
async def test_rights_by_rest(world: Asking, who: Identity, extent: str, record_property: Record) -> None:
    sample = extent == "sample"
    found = await world.by_rest(who, sample=sample)
    lines = differences(found, REST_SECTIONS, [who.name], REST_LETTERS, of_a_sample=sample)
    check(record_property, GATEWAY_QUESTIONS, found, lines)


@EXTENT
@EVERYBODY
@pytest.mark.asyncio(loop_scope="session")
async def test_rights_by_storage(world: Asking, who: Identity, extent: str, record_property: Record) -> None:
    sample = extent == "sample"
    found = await world.by_storage(who, sample=sample)
    lines = differences(found, STORAGE_SECTIONS, [who.name], of_a_sample=sample)
    check(record_property, GATEWAY_QUESTIONS, found, lines)


@pytest.mark.asyncio(loop_scope="session")
async def test_rights_by_realtime(world: Asking, record_property: Record) -> None:
    found = await world.by_realtime()
    check(
        record_property, GATEWAY_QUESTIONS, found, differences(found, REALTIME_SECTIONS, [who.name for who in CALLERS])
    )


@pytest.mark.matrix("rights")
def test_rights_in_sql_on_the_oldest_server(tmp_path: Path) -> None:
    if not OLDEST.is_dir():
        pytest.skip(f"no PostgreSQL 15 in {OLDEST}")
    with (
        postgres_at(tmp_path, bin_dir=OLDEST, migrations=True) as postgres,
        psycopg.connect(postgres.dsn("supabase_admin"), autocommit=True) as superuser,
    ):
        prepare(superuser)
        universe, found = survey(superuser), Matrix()
        for who in IDENTITIES:
            found.merge(ask_sql(postgres.dsn, superuser, universe, who))
    assert unlisted(universe) == []
    assert differences(found, SQL_SECTIONS, [who.name for who in IDENTITIES]) == []


def test_the_page_is_the_list() -> None:
    assert page.PATH.read_text(encoding="utf-8") == page.render(listed()), "write it: python -m tests.rights --write"


LOOSENED = """
alter table public.analysis_requests add column sneaky text;
create table sentinel.sneaky ();
create function public.sneaky() returns integer language sql as 'select 1';
drop trigger analysis_requests_refuse on public.analysis_requests;
revoke update on public.analysis_requests from authenticated;
grant update (priority) on public.analysis_requests to authenticated;
create policy sneaky_update on public.analysis_requests for update to authenticated using (true);
create policy sneaky_delete on public.analysis_requests for delete to authenticated
  using (user_id = (select auth.uid()));
create policy sneaky_read on storage.objects for select to authenticated using (bucket_id = 'media');
revoke select (verdict) on public.analysis_results from authenticated;
revoke select on public.analysis_results from authenticated;
revoke execute on function public.cancel_analysis(uuid) from authenticated;
"""
SEEN = {
    "columns public.analysis_requests.sneaky exists and is not listed",
    "tables sentinel.sneaky exists and is not listed",
    "functions public.sneaky() exists and is not listed",
}
FELT = {
    "user A may U on columns public.analysis_requests.priority, which is not listed",
    "user A may d on tables public.analysis_requests, which is not listed",
    "user A may X on functions public.sneaky(), which is not listed",
    "user A may s on columns public.analysis_requests.sneaky, which is not listed",
    "user A may S on platform rows storage.objects media/<B>/, which is not listed",
    "user A may S on platform rows storage.objects media/, which is not listed",
    "user A may not s on columns public.analysis_results.verdict, as is listed",
    "user A may not s on tables public.analysis_results, as is listed",
    "user A may not x on functions public.cancel_analysis(uuid), as is listed",
}


def test_an_extra_right_and_a_missing_one_are_found(world: Asking) -> None:
    """The check itself fails, both ways, in a copy of the database with changed rights."""
    postgres = world.stack.postgres
    superuser_dsn = postgres.create_database("rights_changed")
    migrate.apply(postgres.dsn("postgres", "rights_changed"))
    with psycopg.connect(superuser_dsn, autocommit=True) as superuser:
        prepare(superuser)
        superuser.execute(LOOSENED.encode())
        universe = survey(superuser)
        assert set(unlisted(universe)) == SEEN
        found = ask_sql(lambda role: postgres.dsn(role, "rights_changed"), superuser, universe, A)
    assert set(differences(found, SQL_SECTIONS, [A.name])) >= FELT
