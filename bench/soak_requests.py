"""Requests of the soak test: their insertion, and the count of how they ended."""

import asyncio
import statistics
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from supabase import acreate_client

from sentinel_local_supabase.stack import Stack

USERS = 5
INSERT = """
insert into analysis_requests (id, user_id, storage_path, media_kind) values (%s, %s, %s, 'video')
on conflict do nothing returning id
"""
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
