"""Every table, column and function that an admin sees in psql or Supabase Studio has a comment."""

import pytest

from tests.integration.database.queue_client import Queue

TABLES = """
select c.oid::regclass::text as name, obj_description(c.oid, 'pg_class') as comment from pg_class c
 where c.relkind in ('r', 'p', 'v', 'm')
   and (c.relnamespace = 'sentinel'::regnamespace
        or (c.relnamespace = 'public'::regnamespace and c.relname ~ '^(analysis|sentinel)_'))
"""
COLUMNS = """
select c.oid::regclass || '.' || a.attname as name, col_description(c.oid, a.attnum) as comment
  from pg_attribute a join pg_class c on c.oid = a.attrelid
 where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v', 'm')
   and (c.relnamespace = 'sentinel'::regnamespace
        or (c.relnamespace = 'public'::regnamespace and c.relname ~ '^(analysis|sentinel)_'))
"""
FUNCTIONS = """
select p.oid::regprocedure::text as name, obj_description(p.oid, 'pg_proc') as comment from pg_proc p
 where p.pronamespace = 'public'::regnamespace and p.proname ~ '(^(analysis|sentinel)_|_analysis$)'
"""


@pytest.mark.parametrize(
    ("query", "least"), [(TABLES, 10), (COLUMNS, 98), (FUNCTIONS, 11)], ids=["tables", "columns", "functions"]
)
def test_each_has_a_comment(queue: Queue, query: str, least: int) -> None:
    rows = queue.sql(query)
    assert len(rows) >= least
    assert not [row["name"] for row in rows if not row["comment"]]


def test_a_new_column_without_one_is_found(disposable: Queue) -> None:
    disposable.sql("alter table sentinel.workers add column later text")
    assert [row["name"] for row in disposable.sql(COLUMNS) if not row["comment"]] == ["sentinel.workers.later"]
