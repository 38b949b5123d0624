"""One migrated database as an admin, a worker and a frontend see it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]
EMPTY: Final = """
do $$
declare
  t regclass;
begin
  set local session_replication_role = replica;
  for t in
    with recursive emptied (id) as (
      select unnest(array['auth.users', 'public.analysis_requests', 'sentinel.workers', 'sentinel.unserved_lanes',
        'sentinel.usage', 'sentinel.compute', 'sentinel.deletions', 'sentinel.turns', 'sentinel.throughput',
        'sentinel.paused',
        'storage.objects', 'realtime.messages']::regclass[])
      union
      select c.conrelid::regclass from pg_constraint c join emptied e on c.confrelid = e.id where c.contype = 'f')
    select e.id from emptied e
  loop
    execute 'delete from ' || t;
  end loop;
end $$
"""
"""Empties the queue, its users and all that refers to them, as a superuser. Truncating all these tables would take
80 ms of the server's time, a hundred times as much.
"""


@dataclass
class Queue:
    """Calls of one worker, and plain SQL as the project's `postgres` (no superuser)."""

    dsn: str
    superuser_dsn: str
    worker: UUID = field(default_factory=uuid4)
    user: UUID = field(default_factory=uuid4)
    others: list["Queue"] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.connection = self.connect()
        self.sql("insert into auth.users (id, email) values (%s, %s)", self.user, f"{self.user}@example.org")

    def connect(self) -> psycopg.Connection[Row]:
        """Open a separate connection that commits each statement."""
        return psycopg.connect(self.dsn, autocommit=True, row_factory=dict_row)

    def sql(self, query: str, *params: Any) -> list[Row]:
        """Run one statement as the admin; return its rows, if any."""
        cursor = self.connection.execute(query, params)
        return cursor.fetchall() if cursor.description is not None else []

    def insert(self, count: int = 1, **columns: Any) -> list[UUID]:
        """Insert requests of this user as an admin would; return their ids."""
        columns = {"user_id": self.user, "storage_path": f"{self.user}/a.mp4"} | columns
        names, values = ", ".join(columns), ", ".join(["%s"] * len(columns))
        rows = self.sql(
            f"insert into public.analysis_requests ({names})"  # noqa: S608 - names come from the tests
            f" select {values} from generate_series(1, {count}) returning id",
            *columns.values(),
        )
        return [row["id"] for row in rows]

    def row(self, request: UUID) -> Row:
        """Return the request's current row."""
        return self.sql("select * from public.analysis_requests where id = %s", request)[0]

    def call(self, function: str, **args: Any) -> list[Row]:
        """Call a queue function as this worker."""
        text = json.dumps({"worker": self.worker} | args, default=str)
        return self.sql(f"select * from public.{function}(%s)", text)  # noqa: S608

    def claim(self, limit: int = 1, **args: Any) -> list[Row]:
        """Claim from the default lanes."""
        defaults = {"lanes": ["auto/default", "video/default"], "limit": limit, "lease_seconds": 60, "held": []}
        return self.call("sentinel_claim", **(defaults | args))

    def start(self, **columns: Any) -> Row:
        """Insert one request and claim it."""
        request = self.insert(**columns)[0]
        held = self.sql("select request_id from sentinel.leases where worker = %s", self.worker)
        claim = self.claim(held=[row["request_id"] for row in held])[0]
        assert claim["id"] == request
        return claim

    def finish(self, claim: Row, outcome: str, **more: Any) -> Row:
        """Finish one claim; return the answer's row."""
        entry = {"id": claim["id"], "fence": claim["fence"], "outcome": outcome} | more
        return self.call("sentinel_finish", outcomes=[entry])[0]

    def succeed(self, claim: Row) -> Row:
        """Finish one claim with a verdict."""
        return self.finish(claim, "succeeded", result=RESULT)

    def heartbeat(self, *claims: Row) -> list[str]:
        """Extend leases; return the answers in the order of `claims`."""
        leases = [{"id": claim["id"], "fence": claim["fence"]} for claim in claims]
        rows = self.call("sentinel_heartbeat", lease_seconds=60, leases=leases)
        answers = {row["id"]: row["answer"] for row in rows}
        return [answers[claim["id"]] for claim in claims]

    def progress(self, claim: Row, stage: str, progress: float) -> str:
        """Report progress; return the answer."""
        entry = {"id": claim["id"], "fence": claim["fence"], "stage": stage, "progress": progress}
        answer: str = self.call("sentinel_progress", progress=[entry])[0]["answer"]
        return answer

    def maintain(self, **args: Any) -> Row:
        """Sweep as this worker."""
        defaults = {"name": "w", "version": "0", "lanes": ["auto/default", "video/default"], "slots": 1}
        return self.call("sentinel_maintain", **(defaults | args))[0]

    def expire(self, claim: Row) -> Row:
        """Let the lease of one claim expire, and sweep."""
        self.sql("update sentinel.leases set lease_until = now() - interval '1 s' where request_id = %s", claim["id"])
        return self.maintain()

    def another_worker(self) -> "Queue":
        """The same database as the worker of another process, with a new user."""
        other = Queue(self.dsn, self.superuser_dsn)
        self.others.append(other)
        return other

    def close(self) -> None:
        """Close the connections of this worker and of those made from it."""
        for queue in (self, *self.others):
            queue.connection.close()

    @contextmanager
    def as_user(self, user: UUID | None = None, role: str = "authenticated") -> Iterator[psycopg.Connection[Row]]:
        """One transaction as PostgREST opens it: role and claims set, rolled back on an error."""
        login = self.dsn.replace("postgresql://postgres:", "postgresql://authenticator:")
        claims = json.dumps({"sub": str(user or self.user), "role": role})
        with psycopg.connect(login, row_factory=dict_row) as connection:
            connection.execute("select set_config('role', %s, true)", (role,))
            connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
            yield connection


RESULT: dict[str, Any] = {
    "verdict": "fake",
    "fake_probability": 0.93,
    "threshold": 0.5,
    "coverage": 0.25,
    "longest_gap_seconds": 57.5,
    "detector": {"key": "demo", "revision": "1"},
    "timeline": [{"start": 0, "end": 1.5, "probability": 0.93}],
    "media": {"codec": "h264"},
    "timings": {"fetch": 0.1},
    "notice": "A notice.",
}
