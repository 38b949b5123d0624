"""Traffic on one database: users insert and cancel, workers work, an admin requeues. Every answer is kept."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from threading import Condition, Event
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row

from tests.integration.database.queue_client import RESULT, Row

TRANSIENT: Final = re.compile(r"08...|53...|57P0.|40001|40P01|55P03|57014|XX000")
"""Errors that a client may see for a moment; it retries, and nothing was written. Any other error ends the traffic."""
LANES: Final = ["auto/default", "video/default"]
OUTCOMES: Final = ("succeeded", "failed", "succeeded", "retry", "succeeded", "released", "succeeded")
REQUEUES: Final = (
    "status in ('failed', 'cancelled')",
    "status = 'running'",
    "status = 'scheduled'",
    "status = 'succeeded'",
)
PACE_SECONDS: Final = 0.02
T = TypeVar("T")
Call = Callable[..., list[Row]]
"""Call a queue function by name with its arguments; return the answer's rows."""


@dataclass
class Seen:
    """Answers that the clients received. `changed` is notified of every finish, and of a client's end."""

    inserted: list[UUID] = field(default_factory=list)
    claimed: set[UUID] = field(default_factory=set)
    answers: dict[UUID, str] = field(default_factory=dict)
    """Answers by the fence under which a worker finished."""
    requeued: int = 0
    errors: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    changed: Condition = field(default_factory=Condition)

    def call(self, name: str, step: Callable[[], T]) -> T:
        """Make one call, and repeat it after a transient error."""
        while True:
            begin = time.monotonic()
            try:
                return step()
            except psycopg.Error as error:
                self.errors[name, error.sqlstate] += 1
                if not TRANSIENT.fullmatch(error.sqlstate or ""):
                    raise
            finally:
                self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - begin)


class Traffic:
    """Three workers, two users and an admin on their own connections, from `start` to `drain`."""

    def __init__(self, dsn: str) -> None:
        self.seen = Seen()
        self._dsn = dsn
        self._people_stop, self._workers_stop = Event(), Event()
        self._threads = ThreadPoolExecutor(6)
        self._runs: list[Future[None]] = []

    def start(self) -> None:
        """Start all clients."""
        self._runs += [self._threads.submit(self._work, uuid4()) for _ in range(3)]
        self._runs += [self._threads.submit(self._use, uuid4()) for _ in range(2)]
        self._runs.append(self._threads.submit(self._administer))
        for run in self._runs:
            run.add_done_callback(self._tell)

    def wait_for_finishes(self, more: int) -> None:
        """Wait until the workers have finished `more` further attempts; a client's error ends the wait."""
        with self.seen.changed:
            wanted = len(self.seen.answers) + more
            self.seen.changed.wait_for(lambda: len(self.seen.answers) >= wanted or any(r.done() for r in self._runs))
        self._raise_errors()

    def prepare(self, ended: int, waiting: int) -> None:
        """Insert `ended` finished requests, and `waiting` ones for the workers."""
        user = uuid4()
        with self._connect("postgres") as admin:
            admin.execute("insert into auth.users (id) values (%s)", (user,))
            rows = admin.execute(
                "insert into public.analysis_requests (user_id, storage_path)"
                " select %s, %s from generate_series(1, %s) returning id",
                (user, f"{user}/a.mp4", ended + waiting),
            ).fetchall()
            self.seen.inserted += [row["id"] for row in rows]
            gone = self.seen.inserted[:ended]
            admin.execute("update public.analysis_requests set status = 'cancelled' where id = any(%s)", (gone,))

    def hold(self, count: int) -> Callable[[], None]:
        """Let a fourth worker claim requests; calling the returned function finishes them."""
        worker = uuid4()
        connection = self._connect("authenticator")
        connection.execute("set role sentinel_worker")
        call = self._calls(connection, worker)
        leases: list[dict[str, Any]] = []
        while len(leases) < count:
            held = [lease["id"] for lease in leases]
            leases += self._claim(call, limit=count - len(leases), held=held)

        def finish() -> None:
            with connection:
                for lease in leases:
                    self._finish(call, lease, "succeeded")

        return finish

    def drain(self) -> None:
        """Stop inserts and requeues; the workers end when no request is open any more."""
        self._people_stop.set()
        with self._connect("postgres") as admin:
            while admin.execute("select 1 from public.analysis_requests where finished_at is null").fetchone():
                self._raise_errors()
                admin.execute("update public.analysis_requests set run_at = now() where status = 'scheduled'")
                self._people_stop.wait(PACE_SECONDS)
        self.stop()
        for run in self._runs:
            run.result()

    def stop(self) -> None:
        """Stop all clients, even with requests open."""
        self._people_stop.set()
        self._workers_stop.set()
        self._threads.shutdown()

    def _raise_errors(self) -> None:
        for run in self._runs:
            if run.done():
                run.result()

    def _tell(self, _: Future[None]) -> None:
        with self.seen.changed:
            self.seen.changed.notify_all()

    def _connect(self, role: str) -> psycopg.Connection[Row]:
        dsn = self._dsn.replace("postgresql://postgres:", f"postgresql://{role}:")
        return psycopg.connect(dsn, autocommit=True, row_factory=dict_row)

    def _calls(self, connection: psycopg.Connection[Row], worker: UUID) -> Call:
        def call(function: str, **args: Any) -> list[Row]:
            text = json.dumps({"worker": worker} | args, default=str)
            query = f"select * from public.{function}(%s)"  # noqa: S608 - our own functions
            return self.seen.call(function, lambda: connection.execute(query, (text,)).fetchall())

        return call

    def _claim(self, call: Call, limit: int, held: list[UUID]) -> list[dict[str, Any]]:
        claims = call("sentinel_claim", lanes=LANES, limit=limit, lease_seconds=60, held=held)
        self.seen.claimed.update(claim["fence"] for claim in claims)
        return [{"id": claim["id"], "fence": claim["fence"]} for claim in claims]

    def _work(self, worker: UUID) -> None:
        outcomes = cycle(OUTCOMES)
        with self._connect("authenticator") as connection:
            connection.execute("set role sentinel_worker")
            call = self._calls(connection, worker)
            while not self._workers_stop.is_set():
                leases = self._claim(call, limit=4, held=[])
                if not leases:
                    call("sentinel_maintain", name="w", version="0", lanes=LANES, slots=4)
                    self._workers_stop.wait(PACE_SECONDS)
                call("sentinel_heartbeat", lease_seconds=60, leases=leases)
                call("sentinel_progress", progress=[lease | {"stage": "analyzing", "progress": 50} for lease in leases])
                for lease in leases:
                    self._finish(call, lease, next(outcomes))

    def _finish(self, call: Call, lease: dict[str, Any], outcome: str) -> None:
        """Finish, for some fences twice, as if the first answer were lost."""
        entry = lease | {"outcome": outcome, "error_code": "x"}
        if outcome == "succeeded":
            entry |= {"result": RESULT | {"notice": str(lease["fence"])}, "error_code": None}
        answers: list[str] = []
        while len(answers) < (2 if lease["fence"].int % 4 == 0 else 1):
            answer = call("sentinel_finish", outcomes=[entry])[0]["answer"]
            if answer != "busy":
                answers.append(answer)
        assert len(set(answers)) == 1, f"a repeated finish was answered {answers}"
        with self.seen.changed:
            self.seen.answers[lease["fence"]] = answers[0]
            self.seen.changed.notify_all()

    def _use(self, user: UUID) -> None:
        claims = json.dumps({"sub": str(user), "role": "authenticated"})
        with self._connect("postgres") as admin, self._connect("authenticator") as connection:
            admin.execute("insert into auth.users (id) values (%s)", (user,))

            def call(name: str, query: bytes, *params: Any) -> None:
                def step() -> None:
                    with connection.transaction():
                        connection.execute("select set_config('role', 'authenticated', true)")
                        connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
                        connection.execute(query, params)

                self.seen.call(name, step)

            insert = b"insert into public.analysis_requests (id, storage_path) select unnest(%s::uuid[]), %s"
            while not self._people_stop.wait(2 * PACE_SECONDS):
                ids = [uuid4() for _ in range(3)]
                call("insert", insert, ids, f"{user}/a.mp4")
                self.seen.inserted.extend(ids)
                if ids[0].int % 4 == 0:
                    call("cancel", b"select public.cancel_analysis(%s)", ids[0])

    def _administer(self) -> None:
        with self._connect("postgres") as admin:
            for which in cycle(REQUEUES):
                if self._people_stop.wait(PACE_SECONDS):
                    return
                query = (
                    "update public.analysis_requests set status = 'queued', run_at = now() where id in"  # noqa: S608
                    f" (select id from public.analysis_requests where {which} limit 2 for no key update skip locked)"
                )
                self.seen.requeued += self.seen.call("requeue", partial(admin.execute, query.encode())).rowcount
