"""Whole workers beside the peers' own: requests ended a second by one process that does nothing with them.

    python -m bench.workers [--seconds 10] [--finished 2000000] [--peers .sentinel/peers]

This project's is the daemon around an instant detector, with heartbeats, progress, rights and breaker, over HTTP to the
local Supabase's gateway. procrastinate's and pgqueuer's are their workers as documented, connected to PostgreSQL
itself. All on one PostgreSQL with fsync on; a worker counts from the first request that it ended, and ended ones are
counted in the database.
"""

import argparse
import asyncio
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

from bench.queue import peers_sql
from bench.queues import Pgqueuer, Procrastinate, Sentinel, System
from sentinel_worker.local.dev import WorkerProcess, worker_environment
from sentinel_worker.local.stack import Stack

SLOTS: Final = (1, 4, 16)
LOOK_EVERY_SECONDS: Final = 0.05
START_SECONDS: Final = 60


def own(stack: Stack, slots: int, folder: Path) -> AbstractAsyncContextManager[object]:
    """`bench.instant`, which is the daemon but for the detector."""
    names = {"SENTINEL_SLOTS": str(slots), "SENTINEL_LOG_LEVEL": "warning"}
    return WorkerProcess(worker_environment(stack, names), log=folder / "worker.log", module="bench.instant")


@asynccontextmanager
async def peer(system: System, slots: int, python: Path) -> AsyncIterator[None]:
    """A peer's worker in a process of its environment."""
    script = Path(__file__).with_name("peer_worker.py")
    process = await asyncio.create_subprocess_exec(
        *(python, "-P", script, system.name, system.dsn, str(slots)), stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def rate(system: System, worker: AbstractAsyncContextManager[object], seconds: float) -> float:
    """Ended a second, from the first that was ended."""
    with system.connect() as connection:
        await asyncio.to_thread(system.enqueue, connection)
        connection.execute("vacuum analyze")
        before = system.waiting(connection)
        async with worker, asyncio.timeout(START_SECONDS + seconds):
            while (first := system.waiting(connection)) == before:
                await asyncio.sleep(LOOK_EVERY_SECONDS)
            begin = time.monotonic()
            await asyncio.sleep(seconds)
            last = system.waiting(connection)
            return (first - last) / (time.monotonic() - begin)


async def compare(stack: Stack, chosen: argparse.Namespace, folder: Path) -> None:
    """A row for each number of slots."""
    sql = await asyncio.to_thread(peers_sql, chosen.peers)
    python = chosen.peers / "bin" / "python"
    sentinel = Sentinel(stack.superuser_dsn)
    peers: list[System] = [
        Procrastinate(stack.postgres.create_database("procrastinate"), sql["procrastinate"]),
        Pgqueuer(stack.postgres.create_database("pgqueuer"), sql["pgqueuer"]),
    ]
    for system in (sentinel, *peers):
        with system.connect() as connection:
            await asyncio.to_thread(system.fill, connection, chosen.finished)
    names = [system.name for system in peers]
    print(f"\n{chosen.finished:,} finished rows at the start; requests ended a second by one worker process\n")
    print(f"| slots | sentinel | {' | '.join(names)} | {' | '.join('÷ ' + name for name in names)} |")
    print("| --- " * (2 + 2 * len(names)) + "|")
    for slots in SLOTS:
        ours = await rate(sentinel, own(stack, slots, folder), chosen.seconds)
        theirs = [await rate(system, peer(system, slots, python), chosen.seconds) for system in peers]
        cells = [f"{one:.0f}" for one in (ours, *theirs)] + [f"{ours / one:.2f}" for one in theirs]
        print(f"| {slots} | {' | '.join(cells)} |", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--finished", type=int, default=2_000_000)
    parser.add_argument("--peers", type=Path, default=Path(".sentinel/peers"))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with Stack(folder / "supabase", port=0) as stack:
            await compare(stack, chosen, folder)


if __name__ == "__main__":
    asyncio.run(main())
