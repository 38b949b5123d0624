"""The frontend module's types are those of the schema: a change without `make types` fails here."""

import psycopg
import pytest

from deploy.frontend_types import SCHEMA, UntypedError, render
from tests.integration.database.queue_client import Queue


def test_the_types_are_those_of_the_schema(shared: tuple[str, str]) -> None:
    with psycopg.connect(shared[1]) as connection:
        assert SCHEMA.read_text(encoding="utf-8") == render(connection), "run `make types`"


INPUT = """
create or replace trigger analysis_requests_accept before insert on public.analysis_requests
  for each row execute function sentinel.refuse_columns('id', 'storage_path', 'priority')
"""
VIEW = "create view public.analysis_board as select 1 as place; grant select on public.analysis_board to authenticated"
KINDS = """
alter table public.analysis_requests drop constraint media_kind_is_known,
  add constraint media_kind_is_known check (media_kind in ('video', 'image', 'audio', 'auto', 'smell'))
"""


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("alter table public.analysis_requests add column colour text", "          colour: string | null"),
        ("alter table public.analysis_requests drop column longest_gap_seconds cascade", None),
        (INPUT, "          priority?: number | null"),
        ("drop function public.analysis_wait(uuid)", None),
        (VIEW, "      analysis_board: {"),
        (KINDS, "  | 'smell'"),
    ],
    ids=["a column", "no column", "an input", "no function", "a view", "a value"],
)
def test_a_change_of_the_schema_changes_the_types(disposable: Queue, change: str, line: str | None) -> None:
    before = SCHEMA.read_text(encoding="utf-8")
    disposable.sql(change)
    with psycopg.connect(disposable.superuser_dsn) as connection:
        after = render(connection)
    assert after != before
    assert line is None or (line in after.splitlines() and line not in before.splitlines())


def test_a_json_column_needs_a_type(disposable: Queue) -> None:
    disposable.sql("alter table public.analysis_results add column later jsonb")
    with (
        psycopg.connect(disposable.superuser_dsn) as connection,
        pytest.raises(UntypedError, match=r"analysis_results\.later in JSON_COLUMNS"),
    ):
        render(connection)
