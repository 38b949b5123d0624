"""Whole workers compared with the peers' workers: requests per second of one process that does no work on them.

    python -m bench.workers [--seconds 10] [--finished 2000000] [--peers .sentinel/peers]

This project's worker is the daemon with an instant pipeline, with heartbeats, progress, rights and breaker, over HTTP
to the local Supabase's gateway. procrastinate's and pgqueuer's workers run as documented, connected directly to
PostgreSQL. All use one PostgreSQL with fsync on. The measurement starts at the first finished request, and finished
requests are counted in the database. If the queue runs empty, it ends at the last look that found waiting requests, and
the figure says so. The peers are installed as for `bench.queue`; if that fails, only this project's worker is measured.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import peers
from bench.queues import Connection, Sentinel, System
from sentinel_local_supabase.stack import Stack
from sentinel_worker.commands.dev import WorkerProcess, worker_environment
from sentinel_worker.database import migrate

SLOTS: Final = (1, 4, 16)
LOOKS: Final = 10
START_LOOK_SECONDS: Final = 0.05
START_SECONDS: Final = 60


@dataclass(frozen=True)
class Look:
    """Number of waiting and running requests at one moment."""

    at: float
    left: int


@dataclass(frozen=True)
class Rate:
    """Requests finished per second between the first and the last look, except looks that found an empty queue.

    Raises ValueError if fewer than two looks remain.
    """

    looks: Sequence[Look]

    def __post_init__(self) -> None:
        if len(self._usable) < 2:
            raise ValueError("the queue ran empty before two looks; choose fewer --seconds")

    @property
    def _usable(self) -> Sequence[Look]:
        return [look for look in self.looks if look.left]

    @property
    def emptied(self) -> bool:
        """True if the queue ran empty."""
        return len(self._usable) < len(self.looks)

    @property
    def seconds(self) -> float:
        """Seconds between the first and the last look."""
        return self._usable[-1].at - self._usable[0].at

    @property
    def per_second(self) -> float:
        """Requests finished per second."""
        return (self._usable[0].left - self._usable[-1].left) / self.seconds

    def __str__(self) -> str:
        return f"{self.per_second:.0f}" + (f" (empty after {self.seconds:.1f} s)" if self.emptied else "")


def own(stack: Stack, slots: int, folder: Path) -> AbstractAsyncContextManager[object]:
    """Run `bench.instant`, the daemon with an instant pipeline."""
    names = {"SENTINEL_SLOTS": str(slots), "SENTINEL_LOG_LEVEL": "warning"}
    return WorkerProcess(worker_environment(stack, names), log=folder / "sentinel.log", module="bench.instant")


@asynccontextmanager
async def peer(system: System, slots: int, python: Path, folder: Path) -> AsyncIterator[None]:
    """Run a peer's worker as a process in its environment."""
    script = Path(__file__).with_name("peer_worker.py")
    with (folder / f"{system.name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(python, "-P", script, system.name, system.dsn, str(slots)), stdout=log, stderr=log
        )
        try:
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def measure(system: System, worker: AbstractAsyncContextManager[object], seconds: float, folder: Path) -> Rate:
    """Measure from the first finished request."""
    with system.connect() as connection:
        await asyncio.to_thread(system.enqueue, connection)
        connection.execute("vacuum analyze")
        before = system.waiting(connection)
        async with worker:
            try:
                async with asyncio.timeout(START_SECONDS):
                    while (first := look(system, connection)).left == before:
                        await asyncio.sleep(START_LOOK_SECONDS)
            except TimeoutError:
                said = (folder / f"{system.name}.log").read_text()[-2000:]
                raise SystemExit(
                    f"{system.name} finished nothing within {START_SECONDS} s; its output:\n{said}"
                ) from None
            looks = [first]
            while looks[-1].left and looks[-1].at < first.at + seconds:
                await asyncio.sleep(seconds / LOOKS)
                looks.append(look(system, connection))
    return Rate(looks)


def look(system: System, connection: Connection) -> Look:
    """Count the requests, and take the time before, because the query sees the rows of that moment."""
    return Look(time.monotonic(), system.waiting(connection))


async def compare(stack: Stack, chosen: argparse.Namespace, folder: Path) -> None:
    """Print a row for each number of slots."""
    others = await asyncio.to_thread(peers.open_peers, stack, chosen.peers)
    python = peers.python(chosen.peers)
    sentinel = Sentinel(stack.superuser_dsn)
    for system in (sentinel, *others):
        with system.connect() as connection:
            await asyncio.to_thread(system.fill, connection, chosen.finished)
    names = [system.name for system in others]
    print(f"\n{chosen.finished:,} finished rows at the start; requests finished per second by one worker process\n")
    print(f"| {' | '.join(['slots', 'sentinel', *names, *('÷ ' + name for name in names)])} |")
    print("| --- " * (2 + 2 * len(names)) + "|")
    for slots in SLOTS:
        ours = await measure(sentinel, own(stack, slots, folder), chosen.seconds, folder)
        theirs = [
            await measure(system, peer(system, slots, python, folder), chosen.seconds, folder) for system in others
        ]
        ratios = [f"{ours.per_second / one.per_second:.2f}" for one in theirs]
        print(f"| {' | '.join([str(slots), *map(str, (ours, *theirs)), *ratios])} |", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--finished", type=int, default=2_000_000)
    parser.add_argument("--peers", type=Path, default=Path(".sentinel/peers"))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with Stack(folder / "supabase", port=0, migrations=migrate.apply) as stack:
            await compare(stack, chosen, folder)


if __name__ == "__main__":
    asyncio.run(main())
