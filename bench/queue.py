"""Claims and finishes per second, compared with procrastinate, pgqueuer and pgmq on the same server and driver.

    python -m bench.queue [--seconds 3] [--finished 2000000] [--peers .sentinel/peers] [--pgmq pgmq.sql]

Each system uses its own SQL and schema in a separate database; one PostgreSQL serves all, with fsync on. A client
claims a batch, then finishes it: two transactions. The peers keep finished jobs as they do by default: procrastinate in
its table, pgqueuer in its log, pgmq in its archive. procrastinate claims one job at a time, regardless of the batch.
This project does more: a finish writes a result and a line of history and checks a fence, and the requests belong to
twenty users. procrastinate and pgqueuer are installed from PyPI into the folder `--peers` if missing; a peer that
cannot be installed is left out, with a message.
"""

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from bench.peers import open_peers
from bench.queues import Gateway, Pgmq, Sentinel, System
from sentinel_local_supabase.stack import Stack
from sentinel_worker.database import migrate

CLIENTS, BATCHES = (1, 4, 16), (1, 16)
Load = tuple[int, int]
"""Number of clients, size of a batch."""


@dataclass
class Measured:
    """One system at one load."""

    seconds: float = 0.0
    done: int = 0
    claim_ms: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Requests claimed and finished per second."""
        return self.done / self.seconds

    @property
    def median_claim_ms(self) -> float:
        """Median duration of a claim, in milliseconds."""
        return sorted(self.claim_ms)[len(self.claim_ms) // 2]


def measure(system: System, clients: int, batch: int, seconds: float, *, vacuum: bool = True) -> Measured:
    """Let clients claim and finish for `seconds`, or until the queue is empty."""
    with system.connect() as connection:
        system.enqueue(connection)
        if vacuum:
            connection.execute("vacuum analyze")  # enqueueing has deleted rows
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


def systems(stack: Stack, chosen: argparse.Namespace) -> list[System]:
    """Open each system in a separate database; the two interfaces of this project share one."""
    own = [Sentinel(stack.superuser_dsn), Gateway(stack.superuser_dsn, stack.url, stack.secret_key)]
    peers = open_peers(stack, chosen.peers)
    if chosen.pgmq:
        peers.append(Pgmq(stack.postgres.create_database("pgmq"), chosen.pgmq))
    else:
        print("pgmq is left out: --pgmq names its SQL file")
    return [*own, *peers]


def compare(stack: Stack, chosen: argparse.Namespace) -> None:
    """Print a table for each number of finished rows."""
    all_of_them = systems(stack, chosen)
    empty: dict[Load, Measured] = {}
    for finished in (0, chosen.finished):
        for system in all_of_them:
            if not isinstance(system, Gateway):
                with system.connect() as connection:
                    system.fill(connection, finished)
                    connection.execute("vacuum analyze")
        print(f"\n{finished:,} finished rows at the start; claimed and finished per second (median ms of a claim)\n")
        own = table(all_of_them, chosen.seconds)
        empty = empty or own
    shares = {load: own[load].median_claim_ms / empty[load].median_claim_ms for load in own}
    shown = ", ".join(f"{clients} clients, batch {batch}: {share:.2f}" for (clients, batch), share in shares.items())
    print(f"\nduration of a claim of {all_of_them[0].name} at {chosen.finished:,} rows ÷ at none: {shown}")


def table(all_of_them: Sequence[System], seconds: float) -> dict[Load, Measured]:
    """Print one row per load; returns the figures of the first system."""
    names = [system.name for system in all_of_them]
    peers = [number for number, system in enumerate(all_of_them) if not isinstance(system, Sentinel)]
    print(f"| clients | batch | {' | '.join(names)} | {' | '.join('÷ ' + names[peer] for peer in peers)} |")
    print("| --- " * (len(names) + len(peers) + 2) + "|")
    first: dict[Load, Measured] = {}
    for batch in BATCHES:
        for clients in CLIENTS:
            found = [measure(system, clients, batch, seconds) for system in all_of_them]
            first[clients, batch] = found[0]
            cells = [f"{one.rate:.0f} ({one.median_claim_ms:.1f})" for one in found]
            ratios = [f"{found[0].rate / found[peer].rate:.2f}" for peer in peers]
            print(f"| {clients} | {batch} | {' | '.join(cells)} | {' | '.join(ratios)} |")
            sys.stdout.flush()
    return first


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--finished", type=int, default=2_000_000)
    parser.add_argument("--peers", type=Path, default=Path(".sentinel/peers"))
    parser.add_argument("--pgmq", type=Path, help="pgmq's SQL file (pgmq.sql of its repository)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        async with Stack(Path(folder) / "supabase", port=0, migrations=migrate.apply) as stack:
            await asyncio.to_thread(compare, stack, chosen)


if __name__ == "__main__":
    asyncio.run(main())
