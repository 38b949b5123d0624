"""Claims and finishes a second, beside procrastinate, pgqueuer and pgmq on the same server by the same driver.

    python -m bench.queue [--seconds 3] [--finished 2000000] [--peers .sentinel/peers] [--pgmq pgmq.sql]

Each system's own SQL, its own schema in a database of its own, one PostgreSQL with fsync on. A client claims a batch,
then finishes it: two transactions. The peers keep finished jobs as they do by default: procrastinate in its table,
pgqueuer in its log, pgmq in its archive. procrastinate claims one at a time, whatever the batch. What differs is not
hidden: here a finish writes a result and a line of history, and checks a fence; the requests are those of twenty users.
procrastinate and pgqueuer are installed from PyPI into the folder `--peers` where they are missing; a peer that cannot
be had is left out, and that is printed.
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
"""Clients and batch."""


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


def measure(system: System, clients: int, batch: int, seconds: float, *, vacuum: bool = True) -> Measured:
    """Let clients claim and finish for a while, or until nothing waits."""
    with system.connect() as connection:
        system.enqueue(connection)
        if vacuum:
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


def systems(stack: Stack, chosen: argparse.Namespace) -> list[System]:
    """Each in a database of its own; the two ways into this project's share one."""
    own = [Sentinel(stack.superuser_dsn), Gateway(stack.superuser_dsn, stack.url, stack.secret_key)]
    peers = open_peers(stack, chosen.peers)
    if chosen.pgmq:
        peers.append(Pgmq(stack.postgres.create_database("pgmq"), chosen.pgmq))
    else:
        print("no pgmq: --pgmq names a file of its SQL")
    return [*own, *peers]


def compare(stack: Stack, chosen: argparse.Namespace) -> None:
    """A table for each size."""
    all_of_them = systems(stack, chosen)
    empty: dict[Load, Measured] = {}
    for finished in (0, chosen.finished):
        for system in all_of_them:
            if not isinstance(system, Gateway):
                with system.connect() as connection:
                    system.fill(connection, finished)
                    connection.execute("vacuum analyze")
        print(f"\n{finished:,} finished rows at the start; claimed and finished a second (median ms of a claim)\n")
        own = table(all_of_them, chosen.seconds)
        empty = empty or own
    shares = {load: own[load].median_claim_ms / empty[load].median_claim_ms for load in own}
    shown = ", ".join(f"{clients} clients, batch {batch}: {share:.2f}" for (clients, batch), share in shares.items())
    print(f"\na claim of {all_of_them[0].name} at {chosen.finished:,} rows, times that at none: {shown}")


def table(all_of_them: Sequence[System], seconds: float) -> dict[Load, Measured]:
    """One row a load; returns what the first system did."""
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
    parser.add_argument("--pgmq", type=Path, help="a file of pgmq's SQL (pgmq.sql of its repository)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        async with Stack(Path(folder) / "supabase", port=0, migrations=migrate.apply) as stack:
            await asyncio.to_thread(compare, stack, chosen)


if __name__ == "__main__":
    asyncio.run(main())
