"""A sweep changes no more rows than its limit, even with a plan that runs a subquery once for each row.

A subquery that locks with `skip locked` returns other rows each time it runs, so it may only run once.
"""

from typing import Final

import pytest

from tests.integration.database.queue_client import Queue

NESTED_LOOPS: Final = ("hashjoin", "mergejoin", "hashagg", "sort", "material")
"""Without these the server joins by nested loops, which it may also choose for a tiny table that was just analyzed."""


def plan_nested_loops(queue: Queue) -> None:
    """Make this session plan for tiny tables, by nested loops."""
    queue.sql("analyze")
    for name in NESTED_LOOPS:
        queue.sql("select set_config(%s, 'off', false)", f"enable_{name}")


def age(table: str, key: str, column: str) -> str:
    """Age all rows, in the order in which the nested loop reads them: each is then the oldest that is left."""
    return (
        f"update {table} t set {column} = now() - make_interval(days => 30 - n::int)"  # noqa: S608
        f" from (select {key}, row_number() over (order by {key}) as n from {table}) o where o.{key} = t.{key}"
    )


@pytest.mark.parametrize("kept", ["keep_requests_days", "keep_superseded_results_days", "keep_attempts_days"])
def test_pruning_removes_no_more_than_its_limit(disposable: Queue, kept: str) -> None:
    queue = disposable
    for _ in range(5):
        queue.succeed(queue.start())
    queue.sql("update public.analysis_results set is_current = false, superseded_at = now()")
    queue.sql(age("public.analysis_requests", "id", "finished_at"))
    queue.sql(age("public.analysis_results", "id", "superseded_at"))
    queue.sql(age("sentinel.attempts", "request_id", "finished_at"))
    queue.sql("update sentinel.settings set value = '7' where name = %s", kept)
    queue.sql("update sentinel.settings set value = '2' where name = 'prune_rows'")
    plan_nested_loops(queue)
    assert queue.sql("select sentinel.prune() as rows") == [{"rows": 2}]


def test_a_sweep_promotes_no_more_than_its_limit(disposable: Queue) -> None:
    queue = disposable
    queue.sql("alter table public.analysis_requests disable trigger user")
    queue.insert(count=502, status="scheduled", run_at="2026-01-01")
    queue.sql("alter table public.analysis_requests enable trigger user")
    plan_nested_loops(queue)
    assert queue.sql("select sentinel.promote() as rows") == [{"rows": 500}]


def test_a_sweep_fails_no_more_unserved_requests_than_its_limit(disposable: Queue) -> None:
    queue = disposable
    queue.sql("alter table public.analysis_requests disable trigger user")
    queue.insert(count=102, detector="gone", status="queued", run_at="2026-01-01")
    queue.sql("alter table public.analysis_requests enable trigger user")
    queue.sql("insert into sentinel.unserved_lanes (lane, since) values ('auto/gone', '2026-01-01')")
    plan_nested_loops(queue)
    assert queue.sql("select sentinel.fail_unserved() as rows") == [{"rows": 100}]
