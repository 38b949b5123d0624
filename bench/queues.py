"""The queues that `bench.queue` compares: this project's, by SQL and through the gateway, and its peers'."""

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg

WAITING = 60_000
USERS = 20
LANES = ["auto/default", "video/default"]
OUTCOME = {
    "outcome": "succeeded",
    "result": {"verdict": "real", "fake_probability": 0.1, "threshold": 0.5},
}
Connection = psycopg.Connection[Any]


class System(ABC):
    """One queue in one database."""

    name: str
    largest_batch = 100
    waits: str
    """Query that counts the requests that have not ended."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def connect(self) -> Connection:
        """Open a client's connection; parameters are $1, $2 …"""
        return psycopg.connect(self.dsn, autocommit=True, cursor_factory=psycopg.RawCursor)

    def waiting(self, connection: Connection) -> int:
        """Return the number of requests that have not ended."""
        row = connection.execute(self.waits.encode()).fetchone()
        assert row is not None
        return int(row[0])

    @abstractmethod
    def fill(self, connection: Connection, finished: int) -> None:
        """Insert `finished` finished requests."""

    @abstractmethod
    def enqueue(self, connection: Connection) -> None:
        """Delete waiting and running requests, and enqueue WAITING new ones."""

    @abstractmethod
    def claim(self, connection: Connection, worker: UUID, limit: int) -> list[Any]:
        """Claim in one transaction."""

    @abstractmethod
    def finish(self, connection: Connection, worker: UUID, claims: list[Any]) -> None:
        """Finish the claims in one transaction."""


class Sentinel(System):
    """This project."""

    name = "sentinel"
    claim_args: Mapping[str, Any] = {}
    """Arguments of a claim besides those that all need."""
    outcome: Mapping[str, Any] = OUTCOME
    waits = "select count(*) from public.analysis_requests where status in ('queued', 'running')"

    def fill(self, connection: Connection, finished: int) -> None:
        # 3,000 requests of each user would exceed the quotas, and claims by 16 clients at once, what one user may run.
        connection.execute("update sentinel.settings set value = 'false' where name = 'quotas'")
        connection.execute("insert into auth.users (id) select gen_random_uuid() from generate_series(1, $1)", (USERS,))
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "insert into public.analysis_requests (user_id, storage_path, status, verdict, attempt, started_at,"
            " finished_at) select u.id, u.id || '/a.mp4', 'succeeded', 'real', 1, now(), now()"
            " from generate_series(1, $1) n join (select id, row_number() over () as k from auth.users) u"
            " on u.k = 1 + n % $2",
            (finished, USERS),
        )
        connection.execute("set session_replication_role = origin")

    def enqueue(self, connection: Connection) -> None:
        connection.execute("delete from public.analysis_requests where status in ('queued', 'running')")
        connection.execute(
            "insert into public.analysis_requests (user_id, storage_path) select id, id || '/a.mp4'"
            " from auth.users, generate_series(1, $1)",
            (WAITING // USERS,),
        )

    def claim(self, connection: Connection, worker: UUID, limit: int) -> list[Any]:
        args = {"worker": str(worker), "lanes": LANES, "limit": limit, "lease_seconds": 60, "held": []}
        args |= self.claim_args
        return connection.execute("select * from public.sentinel_claim($1)", (json.dumps(args),)).fetchall()

    def finish(self, connection: Connection, worker: UUID, claims: list[Any]) -> None:
        outcomes = {str(claim[0]): {"id": str(claim[0]), "fence": str(claim[1]), **self.outcome} for claim in claims}
        while outcomes:  # as the worker does: retry requests that are locked at the moment
            args = json.dumps({"worker": str(worker), "outcomes": list(outcomes.values())})
            answers = self.answers(connection, args)
            for request_id, answer in answers:
                assert answer in ("succeeded", "busy"), answer
                if answer == "succeeded":
                    del outcomes[request_id]

    def answers(self, connection: Connection, args: str) -> Iterable[tuple[str, str]]:
        """Call sentinel_finish once."""
        return connection.execute("select id::text, answer from public.sentinel_finish($1)", (args,)).fetchall()


class Gateway(Sentinel):
    """This project through the REST API of the local Supabase, as the worker calls it."""

    name = "sentinel, gateway"

    def __init__(self, dsn: str, url: str, secret_key: str) -> None:
        super().__init__(dsn)
        self._url, self._key = url, secret_key
        self._own = threading.local()

    def call(self, function: str, args: str) -> Any:
        """Call a function with this thread's HTTP client."""
        if not hasattr(self._own, "client"):
            headers = {"apikey": self._key, "content-type": "application/json"}
            self._own.client = httpx.Client(base_url=f"{self._url}/rest/v1/rpc/", headers=headers, timeout=30)
        response = self._own.client.post(function, content=f'{{"args": {args}}}')
        response.raise_for_status()
        return response.json()

    def claim(self, connection: Connection, worker: UUID, limit: int) -> list[Any]:
        args = {"worker": str(worker), "lanes": LANES, "limit": limit, "lease_seconds": 60, "held": []}
        return [(row["id"], row["fence"]) for row in self.call("sentinel_claim", json.dumps(args))]

    def answers(self, connection: Connection, args: str) -> Iterable[tuple[str, str]]:
        return [(row["id"], row["answer"]) for row in self.call("sentinel_finish", args)]


class Procrastinate(System):
    """procrastinate, job by job, as its worker does."""

    name = "procrastinate"
    largest_batch = 1
    waits = "select count(*) from procrastinate_jobs where status in ('todo', 'doing')"

    def __init__(self, dsn: str, sql: dict[str, str]) -> None:
        super().__init__(dsn)
        self.sql = sql
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(sql["schema"].encode())
            row = connection.execute("insert into procrastinate_workers default values returning id").fetchone()
            assert row is not None
            self.worker_id = row[0]

    def fill(self, connection: Connection, finished: int) -> None:
        connection.execute(
            "insert into procrastinate_jobs (queue_name, task_name, status, attempts)"
            " select 'bench', 'bench', 'succeeded', 1 from generate_series(1, $1)",
            (finished,),
        )

    def enqueue(self, connection: Connection) -> None:
        connection.execute("delete from procrastinate_jobs where status in ('todo', 'doing')")
        connection.execute(
            "insert into procrastinate_jobs (queue_name, task_name)"
            " select 'bench', 'bench' from generate_series(1, $1)",
            (WAITING,),
        )

    def claim(self, connection: Connection, worker: UUID, limit: int) -> list[Any]:
        return connection.execute(self.sql["claim"].encode(), (["bench"], self.worker_id)).fetchall()

    def finish(self, connection: Connection, worker: UUID, claims: list[Any]) -> None:
        connection.execute(self.sql["finish"].encode(), (claims[0][0], "succeeded", False))


class Pgqueuer(System):
    """pgqueuer, as its queue manager does."""

    name = "pgqueuer"
    waits = "select count(*) from pgqueuer"

    def __init__(self, dsn: str, sql: dict[str, str]) -> None:
        super().__init__(dsn)
        self.sql = sql
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(sql["schema"].encode())

    def fill(self, connection: Connection, finished: int) -> None:
        connection.execute(
            "insert into pgqueuer_log (job_id, status, entrypoint, priority)"
            " select n, 'successful', 'bench', 0 from generate_series(1, $1) n",
            (finished,),
        )

    def enqueue(self, connection: Connection) -> None:
        connection.execute("delete from pgqueuer")
        connection.execute(
            "insert into pgqueuer (priority, entrypoint, status)"
            " select 0, 'bench', 'queued' from generate_series(1, $1)",
            (WAITING,),
        )

    def claim(self, connection: Connection, worker: UUID, limit: int) -> list[Any]:
        args = (limit, ["bench"], worker, timedelta(seconds=30))
        return connection.execute(self.sql["claim"].encode(), args).fetchall()

    def finish(self, connection: Connection, worker: UUID, claims: list[Any]) -> None:
        ids = [claim[0] for claim in claims]
        statuses = ["successful"] * len(ids)
        connection.execute(self.sql["finish"].encode(), (ids, statuses, [None] * len(ids)))


class Pgmq(System):
    """pgmq (Supabase Queues), from its SQL file; finished messages go to its archive."""

    name = "pgmq"
    waits = "select count(*) from pgmq.q_bench"

    def __init__(self, dsn: str, file: Path) -> None:
        super().__init__(dsn)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(file.read_bytes())
            connection.execute("select pgmq.create('bench')")

    def fill(self, connection: Connection, finished: int) -> None:
        connection.execute(
            "insert into pgmq.a_bench (msg_id, enqueued_at, vt, message)"
            " select -n, now(), now(), '{}' from generate_series(1, $1) n",
            (finished,),
        )

    def enqueue(self, connection: Connection) -> None:
        connection.execute("truncate pgmq.q_bench")
        connection.execute(
            "insert into pgmq.q_bench (vt, message) select clock_timestamp(), '{}' from generate_series(1, $1)",
            (WAITING,),
        )

    def claim(self, connection: Connection, worker: UUID, limit: int) -> list[Any]:
        return connection.execute("select msg_id from pgmq.read('bench', 60, $1)", (limit,)).fetchall()

    def finish(self, connection: Connection, worker: UUID, claims: list[Any]) -> None:
        ids = [claim[0] for claim in claims]
        connection.execute("select pgmq.archive('bench', $1::bigint[])", (ids,))
