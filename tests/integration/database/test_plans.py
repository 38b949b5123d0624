"""No queue function scans all requests, not even with a plan made when the table was empty.

One INSERT of many requests runs no statement for each of them.

`QUEUE_PLAN_ROWS=2000000` sets the size that docs/database.md names.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.integration.database.queue_client import RESULT, Queue

ROWS = int(os.environ.get("QUEUE_PLAN_ROWS", "100000"))
WAITING = 2_000
FINISHED = """
insert into public.analysis_requests (
  user_id, storage_path, status, fence, verdict, attempt, created_at, started_at, finished_at)
select u.id, u.id || '/a.mp4', 'succeeded', gen_random_uuid(), 'real', 1, t.at, t.at, t.at
  from generate_series(1, %s) n
 cross join lateral (select now() - make_interval(secs => n) as at) t
 cross join lateral (select (array(select id from auth.users order by id))[1 + n %% 50] as id) u
"""
WAITING_OF_ALL = """
insert into public.analysis_requests (user_id, storage_path, priority)
select id, id || '/a.mp4', p from auth.users cross join unnest(array[0, 0, 3, 3]) p
"""
UNSERVED_AND_LATE = """
insert into public.analysis_requests (user_id, storage_path, detector, answer_by)
select %(user)s, %(user)s || '/a.mp4', d, t
  from (values ('rare', null), (null, timestamptz '2000-01-01'), ('rare', '2000-01-01')) r (d, t)
"""
WHOLE = re.compile(
    r"Seq Scan on analysis_requests"
    r"|Scan using analysis_requests_(pkey|user|finished|path|batch)\b[^\n]*\n(?!\s*Index Cond)"
)
"""A scan of the table, or of an index with all finished rows, without a condition."""
REMOVED = re.compile(r"Rows Removed by Filter: (\d+)")
BULK_INSERT = """
insert into public.analysis_requests (storage_path) select %(user)s || '/a.mp4' from generate_series(1, %(count)s)
"""
STATEMENT = re.compile(r"Query Text: (.*?)\n(?:Query Parameters|\S[^\n]*\(cost=)", re.DOTALL)
KEY_CHECK = "SELECT 1 FROM ONLY"
"""Beginning of the query that checks a foreign key."""
IN_VAIN = 500
"""No scan may discard more rows than this: it would mean that the right index was not used."""
LANES = ["auto/default", "video/default"]
WIDE = ("max_open_requests", "max_requests_per_hour", "max_compute_seconds_per_hour")
"""Quotas that are checked at every insert."""


@contextmanager
def plans_of(connection: psycopg.Connection[Any]) -> Iterator[list[str]]:
    """Collect every plan of this session's statements, nested ones included."""
    plans: list[str] = []

    def keep(notice: psycopg.errors.Diagnostic) -> None:
        if (notice.message_primary or "").startswith("duration:"):
            plans.append(notice.message_primary or "")

    connection.add_notice_handler(keep)
    connection.execute("load 'auto_explain'")
    connection.execute("set auto_explain.log_min_duration = 0")
    connection.execute("set auto_explain.log_nested_statements = on")
    connection.execute("set auto_explain.log_triggers = on")
    connection.execute("set auto_explain.log_analyze = on")
    connection.execute("set auto_explain.log_timing = off")
    connection.execute("set client_min_messages = log")
    yield plans
    connection.execute("set auto_explain.log_min_duration = -1")
    connection.execute("set client_min_messages = warning")
    connection.remove_notice_handler(keep)


class Caller:
    """One session that makes all calls, so that its plans are cached."""

    def __init__(self, connection: psycopg.Connection[Any], queue: Queue) -> None:
        self._connection = connection
        self._queue = queue

    def call(self, function: str, **args: Any) -> list[Any]:
        query = b"select * from public.%s(%%s)" % function.encode()
        return self._connection.execute(query, (Jsonb({"worker": str(self._queue.worker)} | args),)).fetchall()

    def everything(self) -> int:
        """Call each function once, with work where possible; return the number of claimed requests."""
        maintain = {"name": "w", "version": "0", "lanes": LANES, "slots": 8}
        shares = {"slots": 64, "holding": {str(self._queue.user): 2}}
        claims = self.call("sentinel_claim", lanes=LANES, limit=8, lease_seconds=60, held=[], **shares)
        keys = [{"id": str(claim[0]), "fence": str(claim[1])} for claim in claims]
        self.call("sentinel_heartbeat", lease_seconds=60, leases=keys)
        self.call("sentinel_progress", progress=[key | {"stage": "probing", "progress": 5} for key in keys])
        outcomes = ["succeeded", "failed", "retry", "released"]
        answers = [
            key | {"outcome": outcome, "result": RESULT, "error_code": "x", "compute": {"cpu_seconds": 300}}
            for key, outcome in zip(keys, outcomes, strict=False)
        ]
        self.call("sentinel_finish", outcomes=answers)
        self.call("sentinel_finish", outcomes=answers)
        self._connection.execute("update sentinel.leases set lease_until = now() - interval '1 s'")
        self.call("sentinel_maintain", **maintain)
        self.call("sentinel_claim", lanes=["auto/rare"], limit=8, lease_seconds=60, held=[])
        self.call("sentinel_deletions", limit=10)
        self._connection.execute(UNSERVED_AND_LATE, {"user": self._queue.user})
        self.call("sentinel_maintain", **maintain)
        self.call("sentinel_maintain", **(maintain | {"lanes": [*LANES, "auto/rare"]}))
        self.as_owner()
        return len(claims)

    def _waiting(self) -> object:
        """A request of this user that waits behind others."""
        query = "select id from public.analysis_requests where status = 'queued' and user_id = %s limit 1"
        found = self._connection.execute(query, (self._queue.user,)).fetchone()
        return found and found[0]

    def as_owner(self) -> None:
        claims = json.dumps({"sub": str(self._queue.user), "role": "authenticated"})
        insert = "insert into public.analysis_requests (user_id, storage_path) values (%s, %s) returning id"
        with self._connection.transaction():
            self._connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
            rows = [
                self._connection.execute(insert, (self._queue.user, f"{self._queue.user}/a.mp4")).fetchone()
                for _ in range(2)
            ]
            (first,), (second,) = (row or (uuid4(),) for row in rows)
            for function in ("cancel_analysis", "retry_analysis", "delete_analysis"):
                self._connection.execute(b"select public.%s(%%s)" % function.encode(), (first,))
            self._connection.execute("select * from public.analysis_quota()")
            for request in (first, second, self._waiting()):
                self._connection.execute("select * from public.analysis_wait(%s)", (request,))
            self._connection.execute(
                "update public.analysis_requests set status = 'cancelled' where id = %s", (second,)
            )
            self._connection.execute("update public.analysis_requests set status = 'queued' where id = %s", (second,))


@pytest.mark.timeout(1800)
def test_no_function_reads_the_requests_from_end_to_end(disposable: Queue) -> None:
    queue = disposable
    for name in (*WIDE, "max_running_requests"):
        queue.sql("update sentinel.settings set value = '1000000' where name = %s", name)
    queue.sql("update sentinel.settings set value = '36500' where name = 'keep_requests_days'")
    queue.sql("insert into sentinel.paused (user_id) values (gen_random_uuid())")
    with psycopg.connect(queue.superuser_dsn, autocommit=True) as connection:
        caller = Caller(connection, queue)
        for _ in range(8):  # from the sixth call on a generic plan is cached
            caller.everything()
        fill(connection, queue)
        with plans_of(connection) as plans:
            assert caller.everything() == 8
        assert_by_index(plans)
        connection.execute("analyze public.analysis_requests")  # all plans are made anew
        with plans_of(connection) as plans:
            assert caller.everything() == 8
        assert_by_index(plans)


def fill(connection: psycopg.Connection[Any], queue: Queue) -> None:
    """Insert millions of finished requests of fifty users, and some that wait."""
    connection.execute("alter table public.analysis_requests set (autovacuum_enabled = off)")
    connection.execute("insert into auth.users (id) select gen_random_uuid() from generate_series(1, 49)")
    connection.execute("set session_replication_role = replica")
    connection.execute(FINISHED, (ROWS,))
    connection.execute("set session_replication_role = origin")
    queue.insert(count=WAITING)
    queue.insert(count=50, priority=3)
    connection.execute(WAITING_OF_ALL)


def assert_by_index(plans: list[str]) -> None:
    assert len(plans) > 30
    whole = [plan for plan in plans if WHOLE.search(plan)]
    assert not whole, whole[0]
    in_vain = [plan for plan in plans if any(int(rows) > IN_VAIN for rows in REMOVED.findall(plan))]
    assert not in_vain, in_vain[0]
    used = {name for plan in plans for name in re.findall(r"using (analysis_requests_\w+)", plan)}
    queue = {"turns", "ahead", "due", "answer_by", "unserved"}
    assert {f"analysis_requests_{name}" for name in queue} <= used


def test_one_insert_of_many_rows_runs_no_statement_for_each(limited: Queue) -> None:
    """Only the check of the owner's key runs, as in any table. `bench.insert` measures indexes and row triggers."""
    queue = limited
    for name in WIDE:
        queue.sql("update sentinel.settings set value = '1000000' where name = %s", name)
    queue.maintain()
    with psycopg.connect(queue.superuser_dsn) as connection:
        (few, few_checks), (many, many_checks) = (of_an_insert(connection, queue, count) for count in (10, 1000))
    assert few == many
    assert (few_checks, many_checks) == (10, 1000)
    assert any("sentinel.usage" in statement for statement in many), "the quota was not checked"
    assert any("realtime.send" in statement for statement in many), "no wake-up was sent"


def of_an_insert(connection: psycopg.Connection[Any], queue: Queue, count: int) -> tuple[list[str], int]:
    """Run one INSERT of `count` rows as a signed-in user, and roll back; return its statements and its key checks."""
    claims = json.dumps({"sub": str(queue.user), "role": "authenticated"})
    with plans_of(connection) as plans:
        connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        connection.execute("set local role authenticated")
        connection.execute(BULK_INSERT, {"user": str(queue.user), "count": count})
        connection.execute("reset role")
    connection.rollback()
    texts = [" ".join(STATEMENT.findall(plan)[0].split()) for plan in plans]
    statements = [text for text in texts if not text.startswith(KEY_CHECK)]
    return statements, len(texts) - len(statements)


def test_a_heartbeat_stays_on_its_page(disposable: Queue) -> None:
    queue = disposable
    queue.insert(count=16)
    claims = queue.claim(limit=16)
    for _ in range(200):
        assert set(queue.heartbeat(*claims)) == {"ok"}
    queue.sql("select pg_stat_force_next_flush()")
    (seen,) = queue.sql("select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'leases'")
    assert seen["n_tup_upd"] == 16 * 200
    assert seen["n_tup_hot_upd"] / seen["n_tup_upd"] > 0.99
