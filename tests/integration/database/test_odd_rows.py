"""An odd value that an admin writes is refused, or stops nobody: every column, with the extremes of its type."""

import json
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest

from sentinel_worker.domain.request import Claim
from tests.integration.database.queue_client import RESULT, Queue, Row
from tests.matrix import sampled
from tests.rights import allowed

NEVER: Final = ("sentinel.settings", "supabase_migrations.schema_migrations")
"""Settings have their own tests; the ledger is no part of the queue."""
SWITCHES: Final = {("sentinel.workers", "draining")}
"""Columns with which an admin stops something on purpose."""
COLUMNS: Final = [
    (table, column)
    for table, groups in allowed.COLUMNS.items()
    for names, cells in groups.items()
    for column in names.split()
    if table not in NEVER and "U" in cells[-1] and (table, column) not in SWITCHES
]
SAMPLE: Final = [
    ("public.analysis_requests", "attempt"),
    ("public.analysis_requests", "crashes"),
    ("public.analysis_requests", "created_at"),
    ("public.analysis_requests", "error_params"),
    ("public.analysis_requests", "coverage"),
    ("sentinel.leases", "lease_until"),
    ("sentinel.turns", "ahead_after"),
    ("sentinel.deletions", "tries"),
    ("sentinel.workers", "lanes"),
]
"""Columns whose extremes stopped workers once, and one of each other type."""
EXTREMES: Final[dict[str, list[Any]]] = {
    "smallint": [-32768, -1, 0, 32767],
    "integer": [-(2**31), 0, 2**31 - 1],
    "double precision": ["NaN", "Infinity", "-Infinity", -1e308, 1e308],
    "boolean": [True, False],
    "timestamp with time zone": ["infinity", "-infinity", "12026-01-01", "4000-01-01 BC", "294000-01-01", "0001-01-01"],
    "text": ["", "x" * 10_000, "\u202e\U0001f600' \\ {", "queued", "running", "failed"],
    "jsonb": ["null", "[]", "-1", '{"n": ' + "[" * 2000 + "]" * 2000 + "}", '{"n": ' + "9" * 4000 + "}", '"x"'],
    "uuid": [UUID(int=0), UUID(int=2**128 - 1)],
    "uuid[]": ["{}", "{NULL}", f"{{{{{UUID(int=1)}}}}}", f"[2147483646:2147483646]={{{UUID(int=1)}}}"],
    "text[]": ["{}", "{NULL}", "{{auto/default},{video/default}}", "[2147483646:2147483646]={x}"],
}
TYPES: Final = """
select format_type(a.atttypid, null) as type from pg_attribute a
 where a.attrelid = %s::regclass and a.attname = %s and not a.attisdropped
"""
LANES: Final = ["auto/default", "video/default"]
REFUSALS: Final = ("22", "23", "PT", "P0")
"""Classes of SQLSTATE: the value is no such value, breaks a rule, or is refused with a sentence."""
KEEP_LITTLE: Final = "update sentinel.settings set value = '1' where name like 'keep%%'"


class Odd:
    """A queue with something in every table, in one transaction that is rolled back. All but `good` may become odd."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.dead = queue.another_worker()
        for worker in (queue, self.dead):
            worker.maintain()
        states = ["succeeded", "failed", "retry"]
        for state in states:
            queue.insert(priority=5)
            queue.finish(queue.claim()[0], state, result=RESULT, error_code="x", delay_seconds=600)
        self.dead.user = queue.user
        self.dead.start(priority=5)
        queue.insert(count=2, detector="rare")
        queue.insert(count=2, priority=5)
        with queue.as_user() as user:
            user.execute("insert into public.analysis_requests (source_url) values ('https://example.org/a')")
        path = f"{queue.user}/gone.mp4"
        (gone,) = queue.insert(storage_path=path)
        queue.sql("insert into storage.objects (bucket_id, name, version) values ('media', %s, 'v')", path)
        queue.sql("delete from public.analysis_requests where id = %s", gone)
        queue.maintain()
        (self.good,) = queue.another_worker().insert()

    def call(self, function: str, **args: Any) -> list[Row]:
        """Call a function; its rows are as PostgREST sends them."""
        text = json.dumps({"worker": self.queue.worker} | args, default=str)
        rows = self.queue.sql(f"select to_json(f)::text as f from public.{function}(%s) f", text)  # noqa: S608
        return [json.loads(row["f"]) for row in rows]

    def write(self, table: str, column: str, value: Any) -> int:
        """Write the value into each row that takes it, as an admin; return how many rows did."""
        (data_type,) = (row["type"] for row in self.queue.sql(TYPES, table, column))
        rows = self.queue.sql(f"select ctid::text as at, to_jsonb(t) ->> 'id' as id from {table} t")  # noqa: S608
        change = f"update {table} set {column} = %s::{data_type} where ctid = %s::tid"  # noqa: S608
        taken = 0
        for row in rows:
            if row["id"] == str(self.good):
                continue
            try:
                with self.queue.connection.transaction():
                    taken += len(self.queue.sql(change + " returning 1", value, row["at"]))
            except psycopg.Error as refused:
                if (refused.sqlstate or "")[:2] not in REFUSALS:
                    raise
        return taken

    def work(self) -> None:
        """Do everything that workers do; what is not odd has to be answered, and all answers have to be readable."""
        with self.queue.connection.transaction(force_rollback=True):  # the lease of another worker decides what is due
            self.queue.sql("delete from public.analysis_requests where status <> 'running'")
            self.sweep()
        claims = self.claim()
        assert self.good in {claim.id for claim in claims}
        outcomes = ["retry", "failed", "snoozed", "released"]
        entries = [
            claim.key | {"outcome": outcomes[n % 4], "error_code": "x", "result": RESULT, "delay_seconds": 1}
            for n, claim in enumerate(claims)
        ]
        for entry in entries:
            if entry["id"] == str(self.good):
                entry["outcome"] = "succeeded"
        self.call("sentinel_progress", progress=[claim.key | {"stage": "probing"} for claim in claims])
        self.call("sentinel_heartbeat", leases=[claim.key for claim in claims], lease_seconds=60)
        answers = {row["id"]: row["answer"] for row in self.call("sentinel_finish", outcomes=entries)}
        assert answers[str(self.good)] == "succeeded"
        assert "invalid" not in answers.values()
        self.sweep()
        self.claim()
        self.queue.sql("update sentinel.leases set lease_until = now() - interval '1 s'")
        self.queue.sql(KEEP_LITTLE)
        self.sweep()
        self.claim()
        self.call("sentinel_deletions", limit=10)

    def claim(self) -> list[Claim]:
        rows = self.call("sentinel_claim", lanes=[*LANES, "auto/rare"], limit=20, lease_seconds=60, held=[])
        return [Claim.from_row(row) for row in rows]

    def sweep(self) -> None:
        (swept,) = self.call("sentinel_maintain", name="w", version="0", lanes=LANES, slots=1)
        due = swept["next_due_seconds"]
        assert due is None or isinstance(due, float | int), due


@pytest.mark.parametrize("written", sampled("postgres", COLUMNS, SAMPLE), ids=".".join)
def test_an_odd_value_stops_nobody(queue: Queue, written: tuple[str, str]) -> None:
    table, column = written
    odd = Odd(queue)
    (data_type,) = (row["type"] for row in queue.sql(TYPES, table, column))
    for value in EXTREMES[data_type]:
        with queue.connection.transaction(force_rollback=True):
            odd.write(table, column, value)
            odd.work()
