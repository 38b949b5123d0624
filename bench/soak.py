"""Soak test: several workers under random kills and cuts; checks that every request is answered exactly once.

    python -m bench.soak [--seconds 60] [--workers 4] [--every 2] [--per-second 20]
    python -m bench.soak --real [--requests 100] [--every 20]

By default each worker is `bench.instant`, which answers after 0.1 s without looking at media: claims, leases,
heartbeats, outcomes, wake-ups and processes are real. Every few seconds a random fault occurs: SIGKILL to a worker,
which is restarted; SIGSTOP past its lease, then SIGCONT; every connection of a worker cut with a RST; a worker's
connections half open for a second; the next responses to claims and finishes lost after their commit, or not carried
out and answered as after a crash; SIGKILL to a backend of PostgreSQL, which restarts all of it. With `--real` workers
run the demo detector on short clips, and kills are the only fault. A request is lost if it was inserted and is
not final in the end, even if its row is gone, and duplicated if more than one of its results was ever current. Exits
with 1 if any was lost, duplicated or failed.
"""

import argparse
import asyncio
import os
import random
import signal
import statistics
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from supabase import acreate_client

from examples import samples
from sentinel_local_supabase.faults import Faults, HttpFault
from sentinel_local_supabase.stack import Stack
from sentinel_worker.commands.dev import WorkerProcess, worker_environment
from sentinel_worker.database import migrate
from sentinel_worker.detectors.registry import DEMO_DETECTOR
from tests.integration.daemon.proxy import FaultProxy

LEASE_SECONDS, HEARTBEAT_SECONDS = 5, 1
SETTLE_SECONDS = 120
QUICK = {
    "SENTINEL_DETECTOR": DEMO_DETECTOR,
    "SENTINEL_LEASE_SECONDS": str(LEASE_SECONDS),
    "SENTINEL_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
    "SENTINEL_SWEEP_SECONDS": "2",
    "SENTINEL_SWEEP_DEGRADED_SECONDS": "1",
    "SENTINEL_HTTP_TIMEOUT_SECONDS": "3",
    "SENTINEL_LOG_LEVEL": "warning",
    "INSTANT_SECONDS": "0.1",
}
USERS = 5
# Requests are not at fault when workers are killed here, and must not fail as poison.
LIMITS = "update sentinel.settings set value = '1000' where name = 'max_crashes'"
INSERT = """
insert into analysis_requests (id, user_id, storage_path, media_kind) values (%s, %s, %s, 'video')
on conflict do nothing returning id
"""
ANY_FAULT = ("kill", "kill", "kill", "freeze", "cut", "silence", "lose", "blank", "crash", "crash")
LOST = HttpFault(service="rest", times=2, lose_answer=True)
CRASHED = HttpFault(service="rest", times=2, status=400, body="blank")
SPOILED_CALLS = ("sentinel_claim", "sentinel_finish")
KILLS = ("kill",)
TOTALS = """
select count(*) filter (where status = 'succeeded') as succeeded,
       count(*) filter (where status = 'failed') as failed, count(*) filter (where status = 'cancelled') as cancelled,
       (select count(*) from (select from analysis_results group by request_id having count(*) > 1) d) as duplicated,
       (select count(*) from sentinel.attempts where outcome = 'lease_expired') as expired
  from analysis_requests
"""
WAITS = """
select extract(epoch from finished_at - created_at)::float8 as s from analysis_requests where status = 'succeeded'
"""


@dataclass(frozen=True)
class Totals:
    """Counts of the `inserted` requests by outcome; all but `inserted` come from the database."""

    inserted: int
    succeeded: int
    failed: int
    cancelled: int
    duplicated: int
    expired: int

    @property
    def lost(self) -> int:
        """Number of inserted requests that are not final."""
        return self.inserted - self.succeeded - self.failed - self.cancelled

    @property
    def well(self) -> bool:
        """True if every request was answered exactly once."""
        return not (self.lost or self.failed or self.duplicated)


@dataclass
class Victim:
    """One worker, its proxy to the gateway, and its process, which changes with each kill."""

    number: int
    environment: dict[str, str]
    proxy: FaultProxy
    log: Path
    module: str
    process: WorkerProcess = field(init=False)

    async def start(self) -> None:
        """Start a process with a new log."""
        log = self.log.with_suffix(f".{time.monotonic():.2f}.log")
        self.process = WorkerProcess(self.environment, log=log, module=self.module)
        await self.process.__aenter__()

    async def stop(self) -> None:
        """Drain the current process."""
        await self.process.stop()

    async def kill(self) -> None:
        """Send SIGKILL, and start a new process."""
        os.kill(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        await self.start()

    async def freeze(self) -> None:
        """Suspend the process for longer than its leases last."""
        pid = self.process.pid
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(LEASE_SECONDS + 2)
        os.kill(pid, signal.SIGCONT)

    async def cut(self) -> None:
        """Reset every connection."""
        self.proxy.reset()

    async def silence(self) -> None:
        """Make the connections half open for a moment; they stay so until they time out."""
        self.proxy.silent = True
        await asyncio.sleep(1)
        self.proxy.silent = False


@asynccontextmanager
async def victims(stack: Stack, count: int, folder: Path, module: str) -> AsyncIterator[list[Victim]]:
    async with AsyncExitStack() as running:
        all_of_them = []
        for number in range(count):
            proxy = await running.enter_async_context(FaultProxy(stack.port).running())
            names = {"SUPABASE_URL": proxy.url, "SENTINEL_WORKER_NAME": f"soak-{number}"}
            environment = worker_environment(stack, {**QUICK, **names})
            victim = Victim(number, environment, proxy, folder / f"worker-{number}.log", module)
            await victim.start()
            running.push_async_callback(victim.stop)
            all_of_them.append(victim)
        yield all_of_them


async def torment(
    stack: Stack,
    workers: list[Victim],
    faults: Sequence[str],
    every: float,
    done: Counter[str],
    enough: asyncio.Event,
) -> None:
    """Cause one of `faults` every `every` seconds until `enough` is set; longer ones overlap with the next."""
    async with asyncio.TaskGroup() as group:
        busy: set[int] = set()

        async def one(victim: Victim, fault: str) -> None:
            busy.add(victim.number)
            done[fault] += 1
            try:
                await getattr(victim, fault)()
            finally:
                busy.discard(victim.number)

        while not enough.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(enough.wait(), every)
                break
            fault = random.choice(faults)
            free = [victim for victim in workers if victim.number not in busy]
            if fault in {"lose", "blank"}:
                done[fault] += 1
                spoil = LOST if fault == "lose" else CRASHED
                spoiled = [replace(spoil, path=path) for path in SPOILED_CALLS]
                await stack.misbehave(Faults(http=tuple(spoiled)))
            elif fault == "crash":
                done[fault] += await stack.crash_postgres()
            elif free:
                group.create_task(one(random.choice(free), fault))


async def insert_evenly(stack: Stack, per_second: float, seconds: float) -> int:
    """Insert single rows for several users, as frontends do; returns their number."""
    users = [str(uuid.uuid4()) for _ in range(USERS)]
    for user in users:
        await query(stack, "insert into auth.users (id) values (%s) returning id", user)
    began, count = time.monotonic(), 0
    while (now := time.monotonic() - began) < seconds:
        while count < now * per_second:
            user, request_id = users[count % USERS], str(uuid.uuid4())
            await query(stack, INSERT, request_id, user, f"{user}/{request_id}.mp4")
            count += 1
        await asyncio.sleep(0.05)
    return count


async def upload_and_insert(stack: Stack, clips: list[Path], count: int) -> int:
    """Upload real films for one user, each request with a separate file; returns their number."""
    client = await acreate_client(stack.url, stack.publishable_key)
    signed = await client.auth.sign_in_anonymously()
    assert signed.user is not None
    for number in range(count):
        path = f"{signed.user.id}/{number}.mp4"
        await client.storage.from_("media").upload(path, clips[number % len(clips)], {"content-type": "video/mp4"})
        await client.table("analysis_requests").insert({"storage_path": path, "media_kind": "video"}).execute()
    await client.auth.close()
    return count


async def settled(stack: Stack, inserted: int, limit_seconds: float) -> Totals:
    """Return the totals once all requests are final, or at the limit."""
    deadline = time.monotonic() + limit_seconds
    while True:
        totals = Totals(inserted, **(await query(stack, TOTALS))[0])
        if totals.lost == 0 or time.monotonic() > deadline:
            return totals
        await asyncio.sleep(0.5)


async def query(stack: Stack, text: str, *values: str) -> list[dict[str, Any]]:
    """Return the rows of a statement that may be repeated: PostgreSQL may crash during it."""
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                stack.superuser_dsn, autocommit=True, row_factory=dict_row
            ) as database:
                return await (await database.execute(text.encode(), values)).fetchall()
        except psycopg.OperationalError:
            await asyncio.sleep(0.1)


def report(totals: Totals, waits: list[float], done: Counter[str]) -> None:
    """Print totals, faults and the time from insert to finish."""
    names = ("inserted", "succeeded", "failed", "cancelled", "duplicated", "lost")
    print(", ".join(f"{name} {getattr(totals, name)}" for name in names))
    faults = ", ".join(f"{name} {count}" for name, count in sorted(done.items()))
    print(f"expired leases {totals.expired}; faults: {faults}")
    if len(waits) > 1:
        cuts = statistics.quantiles(waits, n=100, method="inclusive")
        shown = ", ".join(f"p{n} {cuts[n - 1]:.3f} s" for n in (50, 95, 99))
        print(f"insert to finish: {shown}, max {max(waits):.1f} s")


async def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--workers", type=int, default=4)
    arguments.add_argument("--every", type=float, help="seconds between faults: 2, or 20 with --real")
    arguments.add_argument("--per-second", type=float, default=20)
    arguments.add_argument("--real", action="store_true")
    arguments.add_argument("--requests", type=int, default=100, help="with --real")
    chosen = arguments.parse_args()
    every = chosen.every or (20 if chosen.real else 2)
    done: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        module = "sentinel_worker" if chosen.real else "bench.instant"
        async with (
            Stack(folder / "supabase", port=0, migrations=migrate.apply) as stack,
            victims(stack, 2 if chosen.real else chosen.workers, folder, module) as workers,
        ):
            with psycopg.connect(stack.superuser_dsn, autocommit=True) as database:
                database.execute(LIMITS)
                while database.execute("select from sentinel.workers").rowcount < len(workers):
                    await asyncio.sleep(0.1)
            enough = asyncio.Event()
            faults = KILLS if chosen.real else ANY_FAULT
            tormenting = asyncio.create_task(torment(stack, workers, faults, every, done, enough))
            if chosen.real:
                clips = [path for path, _ in samples.make(folder / "clips")]
                inserted = await upload_and_insert(stack, clips, chosen.requests)
                await settled(stack, inserted, 60 + 15 * chosen.requests)
            else:
                inserted = await insert_evenly(stack, chosen.per_second, chosen.seconds)
            enough.set()
            await tormenting
            await stack.behave()
            totals = await settled(stack, inserted, SETTLE_SECONDS)
            report(totals, [row["s"] for row in await query(stack, WAITS)], done)
    return 0 if totals.well else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
