"""The check itself fails, both ways, through the gateway of a stack with changed rights."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from tests.rights.as_objects import ObjectQuestions
from tests.rights.as_realtime import TOPICS, RealtimeQuestions
from tests.rights.asking import REALTIME_SECTIONS, REST_LETTERS, REST_SECTIONS, STORAGE_SECTIONS, Asking, asking
from tests.rights.matrix import Matrix, differences
from tests.rights.universe import Universe
from tests.rights.world import CALLERS, PLACES, SERVICE, WORKER_ROLE, A, B, Identity, prepare

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHANGED = """
drop trigger analysis_requests_refuse on public.analysis_requests;
revoke update on public.analysis_requests from authenticated;
grant update (priority) on public.analysis_requests to authenticated;
create policy planted_update on public.analysis_requests for update to authenticated using (true);
create policy planted_delete on public.analysis_requests for delete to authenticated
  using (user_id = (select auth.uid()));
create policy planted_select on public.analysis_requests for select to authenticated using (true);
grant execute on function public.sentinel_claim(jsonb) to authenticated;
create policy planted_read on storage.objects for select to authenticated using (bucket_id = 'media');
create policy planted_hear on realtime.messages for select to authenticated using (realtime.topic() = 'sentinel:wake');

revoke insert (detector) on public.analysis_requests from authenticated;
revoke select on public.analysis_results from authenticated;
revoke execute on function public.cancel_analysis(uuid) from authenticated;
drop policy "sentinel: owner reads" on storage.objects;
drop policy "sentinel: worker hears wake-ups" on realtime.messages;
"""
TABLES = ("public.analysis_requests", "public.analysis_results")
COLUMNS = ("user_id", "storage_path", "source_url", "priority", "detector", "is_current")
FUNCTIONS = ("public.sentinel_claim(jsonb)", "public.cancel_analysis(uuid)")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def changed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Asking]:
    """A separate stack with rights other than the listed ones; only the changed ones are asked."""
    async with asking(tmp_path_factory.mktemp("changed"), pace="fast") as world:
        world.superuser.execute(CHANGED.encode())
        yield replace(world, universe=narrowed(world.universe))


def narrowed(universe: Universe) -> Universe:
    tables = [
        replace(table, columns=[column for column in table.columns if column["name"] in COLUMNS or column["required"]])
        for table in universe.tables
        if table.name in TABLES
    ]
    functions = [function for function in universe.functions if function.name in FUNCTIONS]
    assert (len(tables), len(functions)) == (2, 2)
    return replace(universe, tables=tables, functions=functions)


def columns_of(universe: Universe) -> list[str]:
    return [f"{table.name}.{column['name']}" for table in universe.tables for column in table.columns]


def felt(found: Matrix, sections: tuple[str, ...], roles: list[str], letters: str | None = None) -> set[str]:
    """Return the differences among the rights asked; the rest of the list was not asked."""
    asked = [f" on {section} {name}, " for section, name in found.cells]
    lines = differences(found, sections, roles, letters)
    return {line for line in lines if line in found.unclear or any(one in line for one in asked)}


def gained(who: Identity, letters: str, cell: str) -> set[str]:
    return {f"{who.name} may {letter} on {cell}, which is not listed" for letter in letters}


def lost(who: Identity, letters: str, cell: str) -> set[str]:
    return {f"{who.name} may not {letter} on {cell}, as is listed" for letter in letters}


async def test_by_rest(changed: Asking) -> None:
    lines = felt(await changed.by_rest(A), REST_SECTIONS, [A.name], REST_LETTERS)
    reads = {f"columns {column}" for column in columns_of(changed.universe)}
    assert lines == {
        *gained(A, "U", "columns public.analysis_requests.priority"),
        *gained(A, "d", "tables public.analysis_requests"),
        *gained(A, "X", "functions public.sentinel_claim(jsonb)"),
        *lost(A, "i", "columns public.analysis_requests.detector"),
        *lost(A, "x", "functions public.cancel_analysis(uuid)"),
        *lost(A, "s", "tables public.analysis_results"),
        *lost(A, "s", "tables public.analysis_requests"),
        *gained(A, "S", "tables public.analysis_requests"),
    }.union(
        *(lost(A, "s", cell) for cell in reads),
        *(gained(A, "S", cell) for cell in reads if "analysis_requests" in cell),
    )


async def test_by_storage(changed: Asking) -> None:
    prepare(changed.superuser)
    places = {name: PLACES[name] for name in ("media/<B>/", "derived/<A>/")}
    async with changed.client(A) as client, changed.client(SERVICE) as service:
        found = await ObjectQuestions(client, service, A, places).ask_all()
    assert felt(found, STORAGE_SECTIONS, [A.name]) == {
        *gained(A, "LRC", "objects media/<B>/"),
        *lost(A, "LRC", "objects derived/<A>/"),
    }


async def test_by_realtime(changed: Asking) -> None:
    prepare(changed.superuser)
    topics = {name: TOPICS[name] for name in ("sentinel:wake, private",)}
    stack = changed.stack
    found = await RealtimeQuestions(stack.url, stack.keys, changed.superuser, changed.universe, topics).ask_all()
    users = {
        line
        for who in (A, B)
        for line in (
            *gained(who, "IU", "changes public.analysis_requests"),
            *lost(who, "iu", "changes public.analysis_requests"),
            *lost(who, "iuD", "changes public.analysis_results"),
            *gained(who, "L", "topics sentinel:wake, private"),
        )
    }
    hears_no_more = lost(WORKER_ROLE, "L", "topics sentinel:wake, private")
    assert felt(found, REALTIME_SECTIONS, [who.name for who in CALLERS]) == users | hears_no_more
