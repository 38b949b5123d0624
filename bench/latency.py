"""From insert to claim: 100 inserts with Realtime on, by the database's clock.

    python -m bench.latency [--inserts 100] [--without-realtime]

Each row is inserted through the gateway as a user does, 0.1 to 0.5 s after the one before. The worker runs in a
process of its own with every slot free; what it makes of the rows (their objects are missing) is not timed.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import uuid
from pathlib import Path

import psycopg
from supabase import AsyncClient, acreate_client

from sentinel_worker.local.dev import WorkerProcess, worker_environment
from sentinel_worker.local.stack import Stack

SETTLE_SECONDS = 30


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--inserts", type=int, default=100)
    arguments.add_argument("--without-realtime", action="store_true")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        async with Stack(folder / "supabase", port=0) as stack:
            overrides = {"SENTINEL_REALTIME": "false" if chosen.without_realtime else "true", "SENTINEL_SLOTS": "64"}
            async with WorkerProcess(worker_environment(stack, overrides), log=folder / "worker.log") as worker:
                await worker.ready()
                client = await acreate_client(stack.url, stack.publishable_key)
                signed = await client.auth.sign_in_anonymously()
                assert signed.user is not None
                await insert(client, signed.user.id, chosen.inserts)
                report(await waits(stack, chosen.inserts), realtime=not chosen.without_realtime)
                await client.auth.close()


async def insert(client: AsyncClient, user_id: str, count: int) -> None:
    """Insert rows at a user's pace, so that no batch hides the wake-up's delay."""
    for _ in range(count):
        row = {"storage_path": f"{user_id}/{uuid.uuid4()}.mp4", "media_kind": "video"}
        await client.table("analysis_requests").insert(row).execute()
        await asyncio.sleep(random.uniform(0.1, 0.5))


async def waits(stack: Stack, count: int) -> list[float]:
    """Milliseconds from each insert to its first claim."""
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


def report(milliseconds: list[float], *, realtime: bool) -> None:
    ordered = sorted(milliseconds)
    p95 = ordered[round(0.95 * (len(ordered) - 1))]
    how = "Realtime on" if realtime else "Realtime off, sweep only"
    print(
        f"insert to claim, {len(ordered)} inserts, {how}: median {statistics.median(ordered):.0f} ms, "
        f"p95 {p95:.0f} ms, max {ordered[-1]:.0f} ms"
    )


if __name__ == "__main__":
    asyncio.run(main())
