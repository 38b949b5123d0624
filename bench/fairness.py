"""One user's small clip beside others who flood the worker with the slowest files within the limits.

    python -m bench.fairness [--rows 8] [--side 2000] [--frames 8] [--accounts 0 1 2] [--most-running N]
    python -m bench.fairness --only-one [--repeat 3]

The flood is a JPEG 2000 film of large pictures, uploaded once by each flooding account and named by its rows; a film
costs its decoder about 10 CPU seconds by default. When as many of its files are being decoded as its users may have,
another user inserts a clip of two seconds, three times. Printed for each number of flooding accounts: the clip's times
from the insert to the answer, by the database's clock; how many files of the flood began to be decoded meanwhile; and
the CPU seconds of the worker. `--only-one` measures the throughput of a user who has the worker to himself, with 40
pictures and 16 clips. The worker is a real one with the demo detectors and default settings; `SENTINEL_…` variables
change them. `--most-running` sets the quota `max_running_requests`. Exits with 1 if as many files of the flood as there
are decoding places began to be decoded before a clip was answered.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row
from supabase import acreate_client

from bench.memory import children_of, upload
from bench.slow_films import slow_film
from examples import samples
from sentinel_local_supabase.stack import Stack
from sentinel_worker.commands.dev import WorkerProcess, worker_environment
from sentinel_worker.config.settings import Settings
from sentinel_worker.database import migrate

LOOK_SECONDS: Final = 0.05
LIMIT_SECONDS: Final = 900
CLIPS: Final = 3
FINAL: Final = ["succeeded", "failed", "cancelled"]
DECODING: Final = """
select count(*) from analysis_requests where id = any (%s::uuid[]) and status = 'running' and stage <> 'fetching'"""
BEGUN: Final = """
select count(*) from analysis_requests
 where id = any (%s::uuid[]) and (status in ('succeeded', 'failed') or status = 'running' and stage <> 'fetching')"""

Connection = psycopg.AsyncConnection[dict[str, Any]]


@dataclass(frozen=True)
class Measured:
    """Seconds from insert to answer of each clip, and the number of the flood's files begun meanwhile."""

    accounts: int
    seconds: Sequence[float]
    begun: Sequence[int]
    held: int

    @property
    def median_seconds(self) -> float:
        """Median of the clips."""
        return statistics.median(self.seconds)

    def fair(self, places: int) -> bool:
        """True if each clip was answered before the flood's next `places` files began."""
        return max(self.begun) < places

    def __str__(self) -> str:
        times = ", ".join(f"{seconds:.2f}" for seconds in self.seconds)
        return (
            f"{self.accounts} flooding: median {self.median_seconds:.2f} s, longest {max(self.seconds):.2f} s "
            f"({times}); "
            f"files of the flood decoded at the same time {self.held}, begun before the answer {list(self.begun)}"
        )


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=8, help="rows of each flooding account")
    parser.add_argument("--side", type=int, default=2000, help="pixels of a side of the flood's pictures")
    parser.add_argument("--frames", type=int, default=8, help="pictures of a film of the flood")
    parser.add_argument("--accounts", type=int, nargs="+", default=[0, 1, 2], help="flooding accounts")
    parser.add_argument("--most-running", type=int, help="max_running_requests")
    parser.add_argument("--only-one", action="store_true", help="throughput of one user instead")
    parser.add_argument("--repeat", type=int, default=3, help="runs of --only-one")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        async with opened(folder, chosen.most_running) as (stack, worker, db):
            if chosen.only_one:
                await throughput(stack, worker, db, folder, chosen.repeat)
                return 0
            places = Settings.model_fields["decode_concurrency"].default
            measured = await flooded(stack, worker, db, folder, chosen)
    return 0 if all(one.fair(places) for one in measured) else 1


@asynccontextmanager
async def opened(folder: Path, most_running: int | None) -> AsyncIterator[tuple[Stack, WorkerProcess, Connection]]:
    """Run a stack and a worker, and connect to the database as its owner."""
    log = folder / "worker.log"
    async with (
        Stack(folder / "supabase", port=0, migrations=migrate.apply) as stack,
        await psycopg.AsyncConnection.connect(stack.dsn, autocommit=True, row_factory=dict_row) as db,
        WorkerProcess(worker_environment(stack), log=log) as worker,
    ):
        if most_running is not None:
            query = "update sentinel.settings set value = to_jsonb(%s::int) where name = 'max_running_requests'"
            await db.execute(query, [most_running])
        await worker.ready()
        yield stack, worker, db


async def flooded(
    stack: Stack, worker: WorkerProcess, db: Connection, folder: Path, chosen: argparse.Namespace
) -> list[Measured]:
    """Print and return the clip's times beside each number of flooding accounts."""
    slow = await asyncio.to_thread(slow_film, folder / "slow.mov", chosen.frames, chosen.side)
    print(f"the flood's film has {slow.stat().st_size / 1e6:.0f} MB; {chosen.rows} rows of each account name it")
    clip = await uploaded(stack, samples.film_path("carphone_pristine.mp4"))
    await answered(db, [await asked(db, clip)])  # the first request of a worker pays for its warm-up
    all_measured: list[Measured] = []
    for accounts in chosen.accounts:
        films = [await uploaded(stack, slow) for _ in range(accounts)]
        flood = [await asked(db, film) for _ in range(chosen.rows) for film in films]
        began, cpu = monotonic(), cpu_seconds(worker.pid)
        held = await settled(db, flood)
        seconds, begun = [], []
        for _ in range(CLIPS):
            before = await count(db, flood, BEGUN)
            seconds += await answered(db, [await asked(db, clip)])
            begun.append(await count(db, flood, BEGUN) - before)
        measured = Measured(accounts, seconds, begun, held)
        used = (cpu_seconds(worker.pid) - cpu) / (monotonic() - began)
        all_measured.append(measured)
        ratio = max(seconds) / all_measured[0].median_seconds
        print(f"{measured}; the longest is {ratio:.1f} times the first median; {used:.2f} cores busy", flush=True)
        await db.execute("update analysis_requests set status = 'cancelled' where not status = any (%s)", [FINAL])
        await until_none(db, "select from sentinel.leases")
    return all_measured


async def throughput(stack: Stack, worker: WorkerProcess, db: Connection, folder: Path, repeat: int) -> None:
    """Print the seconds in which one user's 40 pictures and 16 clips are answered."""
    pictures = [path for path, _ in await asyncio.to_thread(samples.make_pictures, folder)]
    clips = [samples.film_path(name) for name in ("carphone_pristine.mp4", "bikes.mp4")]
    for _ in range(repeat + 1):
        paths = [pictures[number % len(pictures)] for number in range(40)] + [clips[number % 2] for number in range(16)]
        user, token = await signed_in(stack)
        stored = [await uploaded(stack, path, user, token) for path in paths]
        began, cpu = monotonic(), cpu_seconds(worker.pid)
        await answered(db, [await asked(db, path) for path in stored])
        took, used = monotonic() - began, cpu_seconds(worker.pid) - cpu
        print(f"{len(paths)} files of one user in {took:.1f} s, {used:.1f} CPU seconds of the worker", flush=True)


async def signed_in(stack: Stack) -> tuple[str, str]:
    """Return a new user's id and token."""
    client = await acreate_client(stack.url, stack.publishable_key)
    signed = await client.auth.sign_in_anonymously()
    assert signed.user is not None
    assert signed.session is not None
    return signed.user.id, signed.session.access_token


async def uploaded(stack: Stack, path: Path, user: str | None = None, token: str | None = None) -> str:
    """Upload a file as a new user, unless one is given; return its path in Storage."""
    if user is None or token is None:
        user, token = await signed_in(stack)
    stored = f"{user}/{uuid.uuid4()}{path.suffix}"
    await upload(stack, token, stored, path)
    return stored


async def asked(db: Connection, stored: str) -> str:
    """Insert a request of the file's owner, as the project's owner, whom no quota limits; return its id."""
    query = "insert into analysis_requests (user_id, storage_path) values (%s, %s) returning id"
    row = await (await db.execute(query, [stored.partition("/")[0], stored])).fetchone()
    assert row is not None
    return str(row["id"])


async def answered(db: Connection, requests: Sequence[str]) -> list[float]:
    """Wait until the requests are final; return their seconds from insert to answer."""
    query = (
        "select extract(epoch from finished_at - created_at)::float as seconds, status, error_message"
        " from analysis_requests where id = any (%s::uuid[]) and finished_at is not null"
    )
    async with asyncio.timeout(LIMIT_SECONDS):
        while len(rows := await (await db.execute(query, [requests])).fetchall()) < len(requests):
            await asyncio.sleep(LOOK_SECONDS)
    if failed := [row for row in rows if row["status"] != "succeeded"]:
        raise SystemExit(f"not answered: {failed[0]}")
    return [row["seconds"] for row in rows]


async def settled(db: Connection, flood: Sequence[str]) -> int:
    """Wait until the number of files being decoded has been the same for a while; return it."""
    seen, same = -1, 0
    while flood and same < 3 / LOOK_SECONDS:
        now = await count(db, flood, DECODING)
        same = same + 1 if now == seen and now > 0 else 0
        seen = now
        await asyncio.sleep(LOOK_SECONDS)
    return max(seen, 0)


async def count(db: Connection, requests: Sequence[str], query: str) -> int:
    """Count requests with `query`."""
    row = await (await db.execute(query.encode(), [requests])).fetchone()
    assert row is not None
    return int(row["count"])


async def until_none(db: Connection, query: str) -> None:
    """Wait until `query` returns no row."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while await (await db.execute(query.encode())).fetchone():
            await asyncio.sleep(LOOK_SECONDS)


def cpu_seconds(process: int) -> float:
    """Return the CPU seconds of a process and all its descendants, those that have ended and been reaped included."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    own = sum(map(int, fields[11:15])) / 100
    return own + sum(cpu_seconds(child) for child in children_of(process))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
