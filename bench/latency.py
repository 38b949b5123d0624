"""Latency from insert to claim: 200 inserts, 0.1 to 1 s apart, while the local Realtime polls as the real one does.

    python -m bench.latency [--inserts 200] [--without-realtime]

Each row is inserted through the gateway, as users do. Two times are printed: from the insert to the claim, by the
database's clock; and from the arrival of a hint's frame to the response of the committed claim, by this process's
clock. The worker answers immediately (`bench.instant`), so that no running request delays a claim. Exits with 1 if a
p95 is over its limit.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import psycopg
from supabase import AsyncClient, acreate_client

from bench.instant import instant_worker
from sentinel_local_supabase.stack import Stack
from sentinel_worker.config.settings import Settings
from sentinel_worker.database import migrate
from sentinel_worker.domain.request import Claim
from sentinel_worker.observe import logs
from sentinel_worker.queue.client import QueueClient

SETTLE_SECONDS = 30
INSERT_TO_CLAIM_MS, FRAME_TO_CLAIM_MS = 60, 20
"""Upper limits of p95."""


class Wake(asyncio.Event):
    """The worker's event; it records when it was first set before the next claim."""

    def __init__(self) -> None:
        super().__init__()
        self.set_at: float | None = None
        self.taken_at: float | None = None

    def set(self) -> None:
        self.set_at = self.set_at or perf_counter()
        super().set()

    def clear(self) -> None:
        self.taken_at, self.set_at = self.set_at, None
        super().clear()


class TimedClient(QueueClient):
    """A queue client that records the milliseconds from the wake-up to a claim's response with rows."""

    wake: Wake
    milliseconds: list[float]

    async def claim(self, lanes: Sequence[str], **arguments: Any) -> list[Claim]:
        claimed = await super().claim(lanes, **arguments)
        if claimed and self.wake.taken_at is not None:
            self.milliseconds.append((perf_counter() - self.wake.taken_at) * 1000)
        return claimed


async def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--inserts", type=int, default=200)
    arguments.add_argument("--without-realtime", action="store_true")
    chosen = arguments.parse_args()
    logs.configure("warning", "json")
    TimedClient.wake, TimedClient.milliseconds = Wake(), []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        async with Stack(Path(name) / "supabase", port=0, migrations=migrate.apply) as stack:
            settings = Settings.model_validate(
                {
                    "SUPABASE_URL": stack.url,
                    "SUPABASE_SECRET_KEY": stack.secret_key,
                    "realtime": not chosen.without_realtime,
                    "slots": 64,
                }
            )
            async with instant_worker(settings, wake=TimedClient.wake, client_type=TimedClient) as running:
                working = asyncio.create_task(running.worker.run())
                async with asyncio.timeout(SETTLE_SECONDS):
                    while not running.ready:
                        await asyncio.sleep(0.05)
                client = await acreate_client(stack.url, stack.publishable_key)
                signed = await client.auth.sign_in_anonymously()
                assert signed.user is not None
                await insert(client, signed.user.id, chosen.inserts)
                waited = await waits(stack, chosen.inserts)
                await client.auth.close()
                running.worker.drain()
                await working
    if chosen.without_realtime:
        within = [report("insert to claim, sweep only", waited, None)]
    else:
        within = [
            report("insert to claim, broadcast and row changes", waited, INSERT_TO_CLAIM_MS),
            report("frame to committed claim", TimedClient.milliseconds, FRAME_TO_CLAIM_MS),
        ]
    return 0 if all(within) else 1


async def insert(client: AsyncClient, user_id: str, count: int) -> None:
    """Insert rows at a user's pace, so that batches do not hide the delay of a wake-up."""
    for _ in range(count):
        row = {"storage_path": f"{user_id}/{uuid.uuid4()}.mp4", "media_kind": "video"}
        await client.table("analysis_requests").insert(row).execute()
        await asyncio.sleep(random.uniform(0.1, 1.0))


async def waits(stack: Stack, count: int) -> list[float]:
    """Return the milliseconds from each insert to its first claim."""
    query = (
        "select extract(epoch from min(a.claimed_at) - r.created_at) * 1000 from analysis_requests r"
        " join sentinel.attempts a on a.request_id = r.id group by r.id"
    )
    async with asyncio.timeout(SETTLE_SECONDS), await psycopg.AsyncConnection.connect(stack.dsn, autocommit=True) as db:
        while True:
            rows = await (await db.execute(query)).fetchall()
            if len(rows) == count:
                return [float(row[0]) for row in rows]
            await asyncio.sleep(0.2)


def report(what: str, milliseconds: list[float], limit: float | None) -> bool:
    """Print the distribution; returns True if p95 is below its limit."""
    ordered = sorted(milliseconds)
    p50, p95 = (ordered[round(share * (len(ordered) - 1))] for share in (0.5, 0.95))
    within = limit is None or p95 < limit
    verdict = "" if limit is None else f" ({'under' if within else 'OVER'} {limit:g})"
    print(f"{what}: {len(ordered)}, median {p50:.1f} ms, p95 {p95:.1f} ms{verdict}, max {ordered[-1]:.1f} ms")
    return within


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
