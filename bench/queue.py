"""Claims and finishes a second, beside procrastinate and pgqueuer on the same server by the same driver.

    python -m bench.queue [--seconds 3] [--finished 2000000] [--peers .sentinel/peers]

Each system's own SQL, its own schema in a database of its own, one PostgreSQL with fsync on. A client claims a batch,
then finishes it: two transactions. The peers keep finished jobs as they do by default: procrastinate in its table,
pgqueuer in its log. procrastinate claims one at a time, whatever the batch. What differs is not hidden: here a finish
writes a result and a line of history, and checks a fence; the requests are those of twenty users.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import venv
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from sentinel_worker import migrate
from sentinel_worker.local.postgres import Postgres

CLIENTS, BATCHES = (1, 4, 16), (1, 16)
WAITING = 60_000
USERS = 20
LANES = ["auto/default", "video/default"]
RESULT = {"verdict": "real", "fake_probability": 0.1, "threshold": 0.5}
Connection = psycopg.Connection[Any]


class System(ABC):
    """One queue in one database."""

    name: str
    largest_batch = 100

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def connect(self) -> Connection:
        """A client's connection; values are $1, $2 …"""
        return psycopg.connect(self.dsn, autocommit=True, cursor_factory=psycopg.RawCursor)

    @abstractmethod
    def fill(self, connection: Connection, finished: int) -> None:
        """Make finished requests, as many."""

    @abstractmethod
    def enqueue(self, connection: Connection) -> None:
        """Empty the queue of what waits and runs, and let WAITING requests wait."""

    @abstractmethod
    def claim(self, connection: Connection, worker: UUID, limit: int) -> list[Any]:
        """Claim in one transaction."""

    @abstractmethod
    def finish(self, connection: Connection, worker: UUID, claims: list[Any]) -> None:
        """End what was claimed, in one transaction."""


class Sentinel(System):
    """This project."""

    name = "sentinel"

    def fill(self, connection: Connection, finished: int) -> None:
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
        return connection.execute("select * from public.sentinel_claim($1)", (json.dumps(args),)).fetchall()

    def finish(self, connection: Connection, worker: UUID, claims: list[Any]) -> None:
        outcomes = [
            {"id": str(claim[0]), "fence": str(claim[1]), "outcome": "succeeded", "result": RESULT} for claim in claims
        ]
        args = json.dumps({"worker": str(worker), "outcomes": outcomes})
        answers = connection.execute("select answer from public.sentinel_finish($1)", (args,)).fetchall()
        assert all(answer == ("succeeded",) for answer in answers)


class Procrastinate(System):
    """As its worker does it, job by job."""

    name = "procrastinate"
    largest_batch = 1

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
    """As its queue manager does it."""

    name = "pgqueuer"

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


@dataclass
class Measured:
    """One system at one load."""

    seconds: float = 0.0
    done: int = 0
    claim_ms: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Requests claimed and finished a second."""
        return self.done / self.seconds

    @property
    def median_claim_ms(self) -> float:
        """How long a claim's call took."""
        return sorted(self.claim_ms)[len(self.claim_ms) // 2]


def measure(system: System, clients: int, batch: int, seconds: float) -> Measured:
    """Let clients claim and finish for a while."""
    with system.connect() as connection:
        system.enqueue(connection)
        connection.execute("vacuum analyze")  # of what the enqueueing removed
    found, lock, start = Measured(), threading.Lock(), threading.Barrier(clients + 1)

    def work() -> None:
        worker = uuid4()
        done, claim_ms = 0, []
        with system.connect() as connection:
            start.wait()
            end = time.monotonic() + seconds
            while (begin := time.monotonic()) < end:
                claims = system.claim(connection, worker, min(batch, system.largest_batch))
                claim_ms.append((time.monotonic() - begin) * 1000)
                if not claims:
                    break
                system.finish(connection, worker, claims)
                done += len(claims)
        with lock:
            found.done += done
            found.claim_ms += claim_ms

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    start.wait()
    begin = time.monotonic()
    for thread in threads:
        thread.join()
    found.seconds = time.monotonic() - begin
    return found


def peers_sql(folder: Path) -> dict[str, dict[str, str]]:
    """The peers' statements, from an environment of their own, which is made where it is missing."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        packages = ["procrastinate==3.10.0", "pgqueuer==1.6.0"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    # -P: this folder has a module `queue`, as the standard library does.
    script = Path(__file__).with_name("peer_sql.py")
    found: dict[str, dict[str, str]] = json.loads(subprocess.check_output([python, "-P", script]))
    return found


def main() -> None:
    """A table for each size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--finished", type=int, default=2_000_000)
    parser.add_argument("--peers", type=Path, default=Path(".sentinel/peers"))
    chosen = parser.parse_args()
    sql = peers_sql(chosen.peers)
    with tempfile.TemporaryDirectory() as folder, Postgres(Path(folder) / "server") as server:
        databases = {name: server.create_database(name) for name in ("sentinel", "procrastinate", "pgqueuer")}
        migrate.apply(server.dsn("postgres", "sentinel"))
        systems: list[System] = [
            Sentinel(databases["sentinel"]),
            Procrastinate(databases["procrastinate"], sql["procrastinate"]),
            Pgqueuer(databases["pgqueuer"], sql["pgqueuer"]),
        ]
        for finished in (0, chosen.finished):
            for system in systems:
                with system.connect() as connection:
                    system.fill(connection, finished)
                    connection.execute("vacuum analyze")
            print(f"\n{finished:,} finished rows at the start; claimed and finished a second (median ms of a claim)\n")
            table(systems, chosen.seconds)


def table(systems: Sequence[System], seconds: float) -> None:
    """One row a load."""
    names = [system.name for system in systems]
    print(f"| clients | batch | {' | '.join(names)} | {' | '.join('÷ ' + name for name in names[1:])} |")
    print("| --- " * (2 * len(names) + 1) + "|")
    for batch in BATCHES:
        for clients in CLIENTS:
            found = [measure(system, clients, batch, seconds) for system in systems]
            cells = [f"{one.rate:.0f} ({one.median_claim_ms:.1f})" for one in found]
            ratios = [f"{found[0].rate / one.rate:.2f}" for one in found[1:]]
            print(f"| {clients} | {batch} | {' | '.join(cells)} | {' | '.join(ratios)} |")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
