"""CPU time and WAL of one claimed and finished request, without and with turns of compute, and before a change.

    python -m bench.queue_cost [--finished 2000000] [--before MIGRATIONS] [--plans]

CPU time is that of the backend (user and system, from its schedstat), which depends less on other load than wall time.
WAL is counted without full-page images, because their number depends on the time since the last checkpoint. Each round
measures every version once, so that all see the same conditions; medians of the rounds and the lowest sum are printed.
The lowest is the best guess on a busy machine, whose other load cools the caches. "Turns" means that quotas are on,
that claims tell the slots, and that outcomes tell what they used. `--before` names the folder of another version's
migrations. With `--plans`, the plans of one claim and one finish follow.
"""

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from bench.queues import OUTCOME, Connection, Sentinel
from sentinel_local_supabase.postgres import Postgres
from sentinel_worker.database import migrate

BATCHES = {1: 600, 16: 4_800}
"""Size of a batch, and the requests claimed and finished by it in one round."""
WARM_UP = 12
"""Claims before the first measurement: plans are generic from the sixth execution on."""
SERVER = "alter system set {} = off"
OFF = ("full_page_writes", "autovacuum")
EXPLAIN = ("auto_explain.log_min_duration = 0", "auto_explain.log_nested_statements = on",
           "auto_explain.log_analyze = on", "auto_explain.log_wal = on", "auto_explain.log_timing = off",
           "client_min_messages = log")  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """What one request cost the server: microseconds of CPU and bytes of WAL, of its claim and of its finish."""

    claim_us: float
    finish_us: float
    wal: float

    @property
    def cpu_us(self) -> float:
        """Claim and finish together."""
        return self.claim_us + self.finish_us


class WithTurns(Sentinel):
    """This project with quotas and turns of compute, as workers call it."""

    claim_args: Mapping[str, Any] = {"slots": 64, "holding": {}}
    outcome: Mapping[str, Any] = OUTCOME | {"compute": {"cpu_seconds": 0.001, "wall_seconds": 0.001}}

    def fill(self, connection: Connection, finished: int) -> None:
        super().fill(connection, finished)
        connection.execute("update sentinel.settings set value = 'true' where name = 'quotas'")


def main() -> None:
    """Measure, and print one line for each version and batch."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--finished", type=int, default=2_000_000)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--before", type=Path, help="folder of another version's migrations, measured in turn")
    arguments.add_argument("--plans", action="store_true")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, Postgres(Path(folder) / "server") as server:
        quiet(server)
        systems = {}
        if chosen.before:
            systems["before"] = prepare(server, Sentinel, "before", chosen.before, chosen.finished)
        systems["now"] = prepare(server, Sentinel, "now", None, chosen.finished)
        systems["turns"] = prepare(server, WithTurns, "turns", None, chosen.finished)
        print(f"{chosen.finished:,} finished rows; median of {chosen.rounds} rounds, for each request\n")
        print("| version | batch | claim, µs of CPU | finish, µs of CPU | together | lowest | WAL, bytes |")
        print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
        for batch, requests in BATCHES.items():
            for name, costs in measure(systems, batch, requests, chosen.rounds).items():
                print(row(name, batch, costs), flush=True)
        if chosen.plans:
            print_plans(systems["turns"])


def quiet(server: Postgres) -> None:
    """Let nothing else write WAL."""
    with Sentinel(server.dsn("supabase_admin")).connect() as connection:
        for name in OFF:
            connection.execute(SERVER.format(name).encode())
        connection.execute("select pg_reload_conf()")


def prepare(server: Postgres, kind: type[Sentinel], name: str, migrations: Path | None, finished: int) -> Sentinel:
    """Create a database with this version, finished requests, and requests that wait."""
    system = kind(server.create_database(f"cost_{name}"))
    migrate.apply(server.dsn("postgres", f"cost_{name}"), migrations_dir=migrations)
    with system.connect() as connection:
        system.fill(connection, finished)
        system.enqueue(connection)
        connection.execute("vacuum analyze")
    return system


def measure(systems: dict[str, Sentinel], batch: int, requests: int, rounds: int) -> dict[str, list[Cost]]:
    """Return the costs of each version, one for each round."""
    costs: dict[str, list[Cost]] = {name: [] for name in systems}
    for _ in range(rounds):
        for name, system in systems.items():
            costs[name].append(one_round(system, batch, requests))
    return costs


def one_round(system: Sentinel, batch: int, requests: int) -> Cost:
    """Claim and finish some requests in one session."""
    worker = uuid4()
    with system.connect() as connection:
        if system.waiting(connection) < requests + WARM_UP * batch:
            system.enqueue(connection)
        connection.execute("vacuum analyze public.analysis_requests, sentinel.leases")
        cycle(system, connection, worker, batch, WARM_UP)
        begin = wal_position(connection)
        claim_ns, finish_ns = cycle(system, connection, worker, batch, requests // batch)
        wal = wal_position(connection) - begin
    done = requests // batch * batch
    return Cost(claim_ns / done / 1000, finish_ns / done / 1000, wal / done)


def cycle(system: Sentinel, connection: Connection, worker: UUID, batch: int, times: int) -> tuple[int, int]:
    """Claim and finish `times` batches; return the nanoseconds of CPU that the backend spent on either."""
    claim_ns = finish_ns = 0
    for _ in range(times):
        before = cpu_ns(connection)
        claims = system.claim(connection, worker, batch)
        between = cpu_ns(connection)
        assert len(claims) == batch
        system.finish(connection, worker, claims)
        claim_ns += between - before
        finish_ns += cpu_ns(connection) - between
    return claim_ns, finish_ns


def cpu_ns(connection: Connection) -> int:
    """Nanoseconds that the connection's backend has run so far."""
    return int(Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text().split()[0])


def wal_position(connection: Connection) -> int:
    """Bytes of WAL that the server has written so far."""
    row = connection.execute("select (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
    assert row is not None
    return int(row[0])


def row(name: str, batch: int, costs: list[Cost]) -> str:
    """Format the medians."""
    claim, finish, both, wal = (
        statistics.median(getattr(cost, figure) for cost in costs)
        for figure in ("claim_us", "finish_us", "cpu_us", "wal")
    )
    lowest = min(cost.cpu_us for cost in costs)
    return f"| {name} | {batch} | {claim:.0f} | {finish:.0f} | {both:.0f} | {lowest:.0f} | {wal:.0f} |"


@contextmanager
def explained(connection: Connection) -> Iterator[None]:
    """Print the plan of every statement."""
    connection.execute("load 'auto_explain'")
    for setting in EXPLAIN:
        connection.execute(f"set {setting}".encode())
    connection.add_notice_handler(lambda notice: print(notice.message_primary, "\n"))
    yield


def print_plans(system: Sentinel) -> None:
    """Print the plans of a claim and a finish by batches of 16."""
    worker = uuid4()
    with system.connect() as connection:
        cycle(system, connection, worker, 16, WARM_UP)
        with explained(connection):
            cycle(system, connection, worker, 16, 1)


if __name__ == "__main__":
    main()
