"""Five sessions on one database with interleaved transactions; a statement that would wait fails at once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row

from tests.integration.database.queue_client import EMPTY, Row

Role = Literal["user", "admin", "worker"]
USERS: Final = tuple(UUID(int=number) for number in (0xA, 0xB, 0xC))
LANES: Final = ["auto/default", "video/default"]
WAIT_MILLISECONDS: Final = 50
SETTINGS: Final = "update sentinel.settings set value = 'null' where name = 'max_retries_per_hour'"
LIMIT: Final = """
update sentinel.settings set value = coalesce(to_jsonb(%s::int), 'null') where name = 'max_running_requests'
"""
REQUESTS: Final = "select * from public.analysis_requests"


@dataclass(eq=False)
class Session:
    """One connection. Its statements commit one by one, or together between `begin` and `commit`."""

    name: str
    role: Role
    connection: psycopg.Connection[Row]
    user: UUID | None = None
    worker: UUID = field(default_factory=uuid4)
    is_open: bool = False
    has_called: bool = False
    """True if its open transaction contains a queue call."""
    answers: dict[str, str] = field(default_factory=dict)
    """Answers to a worker's finishes in the open transaction, by worker, request and fence."""

    def __repr__(self) -> str:
        return self.name

    def rows(self, query: str, *params: Any) -> list[Row]:
        """Run one statement; return its rows. An error ends the open transaction."""
        try:
            cursor = self.connection.execute(query.encode(), params)
        except psycopg.Error:
            if self.is_open:
                self.end("rollback")
            raise
        return cursor.fetchall() if cursor.description is not None else []

    def begin(self) -> None:
        """Open a transaction."""
        self.connection.execute("begin")
        self.is_open, self.has_called = True, False

    def end(self, how: Literal["commit", "rollback"]) -> None:
        """End the open transaction."""
        self.connection.execute(how.encode())
        self.is_open = False

    def call(self, function: str, **args: Any) -> list[Row]:
        """Call a function of the queue as this worker."""
        self.has_called = True
        text = json.dumps({"worker": self.worker} | args, default=str)
        return self.rows(f"select * from public.{function}(%s)", text)  # noqa: S608 - names come from the tests

    def requests(self) -> dict[UUID, Row]:
        """Every request that this session sees now, by id."""
        return {row["id"]: row for row in self.connection.execute(REQUESTS.encode()).fetchall()}

    def leases(self) -> dict[UUID, Row]:
        """Every lease that this worker's or admin's session sees now, by request."""
        return {row["request_id"]: row for row in self.rows("select * from sentinel.leases")}


class Sessions:
    """Two users, an admin and two workers, plus the clock: a superuser that also observes."""

    def __init__(self, dsn: str, superuser_dsn: str) -> None:
        self.clock = Session("clock", "admin", _connect(superuser_dsn))
        authenticator = dsn.replace("postgresql://postgres:", "postgresql://authenticator:")
        self.all = [
            Session("alice", "user", _connect(authenticator, USERS[0]), USERS[0]),
            Session("bob", "user", _connect(authenticator, USERS[1]), USERS[1]),
            Session("admin", "admin", _connect(dsn)),
            Session("worker 1", "worker", _connect(dsn)),
            Session("worker 2", "worker", _connect(dsn)),
        ]
        self.clock.rows(SETTINGS)

    def of(self, role: Role) -> list[Session]:
        """The sessions of one role."""
        return [session for session in self.all if session.role == role]

    def open_besides(self, one: Session) -> bool:
        """True if another session may hold a lock."""
        return any(session.is_open for session in self.all if session is not one)

    def reset(self) -> None:
        """End all transactions and empty the queue."""
        for session in self.all:
            session.connection.rollback()
            session.is_open = False
            session.answers.clear()
        self.clock.rows(EMPTY)
        for session in self.all:
            session.rows("select setseed(0.5)")  # seeds the backoff, so that failures repeat
            self.restart(session)
        self.clock.rows("insert into auth.users (id) select unnest(%s::uuid[])", list(USERS))
        # What waits for any worker at all is told so, and no longer once a worker comes: test_waiting.py.
        self.clock.rows(
            "insert into sentinel.workers (id, name, version, lanes, slots) values (%s, 'w', '0', %s, 4)",
            uuid4(),
            LANES,
        )

    def restart(self, session: Session) -> None:
        """Give a worker's connection to a new process. Its turns start at a fixed user, so that runs are alike."""
        session.worker = uuid4()
        if session.role == "worker":
            self.clock.rows("insert into sentinel.turns (worker, after_user) values (%s, %s)", session.worker, USERS[0])

    def limit_running(self, most: int | None) -> None:
        """Set the limit of running requests for each user; None removes it."""
        self.clock.rows(LIMIT, most)

    def make_due(self) -> None:
        """Let waiting times pass, except for requests that another session has locked."""
        with self.clock.connection.transaction():
            self.clock.rows("select set_config('sentinel.moving', 'on', true)")
            self.clock.rows(
                "update public.analysis_requests set run_at = now(), fence = gen_random_uuid() where id in ("
                "select id from public.analysis_requests where status = 'scheduled' for update skip locked)"
            )

    def expire(self, request: UUID | None) -> None:
        """Let a lease expire (without `request` all of them), except for those that another session has locked."""
        self.clock.rows(
            "update sentinel.leases set lease_until = now() - interval '1 s' where request_id in (select request_id"
            " from sentinel.leases where %s::uuid is null or request_id = %s for update skip locked)",
            request,
            request,
        )

    def close(self) -> None:
        """Close every connection."""
        for session in (self.clock, *self.all):
            session.connection.close()


def lease_of(session: Session, request: UUID) -> Mapping[str, Any] | None:
    """The lease of a request as a worker's or an admin's session sees it."""
    rows = session.rows("select * from sentinel.leases where request_id = %s", request)
    return rows[0] if rows else None


def _connect(dsn: str, user: UUID | None = None) -> psycopg.Connection[Row]:
    connection = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)
    connection.execute(b"set lock_timeout = %d" % WAIT_MILLISECONDS)
    connection.execute("set statement_timeout = '10s'")
    if user is not None:
        connection.execute("set role authenticated")
        claims = json.dumps({"sub": str(user), "role": "authenticated"})
        connection.execute("select set_config('request.jwt.claims', %s, false)", (claims,))
    return connection
