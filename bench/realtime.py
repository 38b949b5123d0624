"""Browsers that watch their own rows: completeness and delay of Realtime's events, and memory of its process.

    python -m bench.realtime [--seconds 60] [--browsers 20] [--changes-per-second 200] [--pace real]

Each browser is a supabase-py client with its own socket and user. Row security shows it only its own rows. Rows are
inserted and updated one by one, each in its own transaction, at an even pace, for the users in turn; a broadcast from
the database goes to everybody once a second. The rate limit is off. The delay of an event is the time from the change
(the database's clock, inside the statement) to the client's callback. The memory is the gateway's proportional set size
(PSS).
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from realtime.types import RealtimePostgresChangesListenEvent, RealtimeSubscribeStates
from supabase import AsyncClient, acreate_client

from sentinel_local_supabase.realtime.settings import RealtimePace
from sentinel_local_supabase.stack import Stack

MEGABYTE = 1024**2
SAMPLE_SECONDS = 10
SETTLE_SECONDS = 15
SCHEMA = """
create table public.watched (id bigint primary key, owner uuid not null, n bigint not null, at timestamptz not null);
alter table public.watched enable row level security;
create policy "own rows" on public.watched for select to authenticated using (auth.uid() = owner);
grant select on public.watched to authenticated;
alter publication supabase_realtime add table public.watched;
"""
INSERT = "insert into public.watched values (%s, %s, %s, clock_timestamp())"
UPDATE = "update public.watched set n = %s, at = clock_timestamp() where id = %s"
BROADCAST = "select realtime.send(jsonb_build_object('n', %s::bigint), 'tick', 'everybody', false)"


@dataclass
class Browser:
    """One user's client; `seen` has the numbers of the changes in order of arrival."""

    client: AsyncClient
    user_id: str
    seen: list[int] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    ticks: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    trouble: list[str] = field(default_factory=list)

    def changed(self, payload: Any) -> None:
        """Record a change."""
        record = payload["data"]["record"]
        self.late_ms.append((time.time() - datetime.fromisoformat(record["at"]).timestamp()) * 1000)
        self.seen.append(record["n"])

    def ticked(self, _: Any) -> None:
        """Count a broadcast."""
        self.ticks += 1

    def subscribed(self, state: RealtimeSubscribeStates, error: Exception | None) -> None:
        """Record every state except success."""
        if state is not RealtimeSubscribeStates.SUBSCRIBED:
            self.trouble.append(f"{state}: {error}")


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--seconds", type=int, default=60)
    arguments.add_argument("--browsers", type=int, default=20)
    arguments.add_argument("--changes-per-second", type=int, default=200)
    arguments.add_argument("--pace", choices=("real", "fast"), default="real")
    chosen = arguments.parse_args()
    pace: RealtimePace = chosen.pace
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        async with Stack(Path(name), port=0, migrations=None, pace=pace, events_per_second=None) as stack:
            with psycopg.connect(stack.dsn, autocommit=True) as database:
                database.execute(SCHEMA.encode())
            async with AsyncExitStack() as opened:
                browsers = [await opened.enter_async_context(browser(stack)) for _ in range(chosen.browsers)]
                memory: list[int] = []
                sampling = asyncio.create_task(sample(gateway_pid(), memory))
                started = time.monotonic()
                ticks = await change(stack, browsers, chosen.seconds, chosen.changes_per_second)
                took = time.monotonic() - started
                changes = chosen.seconds * chosen.changes_per_second
                await settled(browsers, changes, ticks)
                sampling.cancel()
                report(browsers, changes, ticks, took)
                report_memory([*memory, pss_bytes(gateway_pid())])


@asynccontextmanager
async def browser(stack: Stack) -> AsyncIterator[Browser]:
    """Open a signed-in client, and wait until its subscription is ready."""
    client = await acreate_client(stack.url, stack.publishable_key)
    signed = await client.auth.sign_in_anonymously()
    assert signed.user is not None
    it = Browser(client, signed.user.id)
    channel = client.channel(f"rows-{it.user_id}")
    everything = RealtimePostgresChangesListenEvent.All
    channel.on_postgres_changes(everything, schema="public", table="watched", callback=it.changed)
    channel.on_system(lambda _: it.ready.set())
    await channel.subscribe(it.subscribed)
    shared = client.channel("everybody").on_broadcast("tick", it.ticked)
    await shared.subscribe(it.subscribed)
    await asyncio.wait_for(it.ready.wait(), SETTLE_SECONDS)
    try:
        yield it
    finally:
        await client.realtime.close()
        await client.auth.close()


async def change(stack: Stack, browsers: list[Browser], seconds: int, a_second: int) -> int:
    """Insert and update rows, user by user, at most `a_second`; returns the number of broadcasts sent."""
    ticks = 0
    async with await psycopg.AsyncConnection.connect(stack.superuser_dsn, autocommit=True) as database:
        begin = time.monotonic()
        for n in range(seconds * a_second):
            await asyncio.sleep(begin + n / a_second - time.monotonic())
            if n % (2 * len(browsers)) < len(browsers):
                await database.execute(INSERT, [n, browsers[n % len(browsers)].user_id, n])
            else:
                await database.execute(UPDATE, [n, n - len(browsers)])
            if n % a_second == 0:
                await database.execute(BROADCAST, [n])
                ticks += 1
    return ticks


async def settled(browsers: list[Browser], changes: int, ticks: int) -> None:
    """Wait until everything has arrived, or nothing more arrives."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        if sum(len(b.seen) for b in browsers) >= changes and all(b.ticks >= ticks for b in browsers):
            return
        await asyncio.sleep(0.1)


def report(browsers: list[Browser], changes: int, ticks: int, took: float) -> None:
    """Print the counts and the delays."""
    received = sum(len(b.seen) for b in browsers)
    lost = sum(len(set(range(index, changes, len(browsers))) - set(b.seen)) for index, b in enumerate(browsers))
    disordered = sum(b.seen != sorted(b.seen) for b in browsers)
    late = sorted(ms for b in browsers for ms in b.late_ms)
    print(f"{len(browsers)} browsers, {changes} changes in {took:.1f} s ({changes / took:.0f}/s)")
    print(f"events expected {changes}, received {received}, lost {lost}, browsers out of order {disordered}")
    print(f"broadcasts expected {ticks * len(browsers)}, received {sum(b.ticks for b in browsers)}")
    print(
        f"change to callback: median {statistics.median(late):.0f} ms, "
        f"p95 {late[round(0.95 * (len(late) - 1))]:.0f} ms, max {late[-1]:.0f} ms"
    )
    for trouble in {text for b in browsers for text in b.trouble}:
        print(f"trouble: {trouble}")


def report_memory(samples: list[int]) -> None:
    """Print the samples and the growth since the second one (the first is from before the load)."""
    print("gateway PSS, MB: " + " ".join(f"{size / MEGABYTE:.1f}" for size in samples))
    if len(samples) > 2:
        print(f"growth since {SAMPLE_SECONDS} s: {(samples[-1] - samples[1]) / MEGABYTE:+.1f} MB")


async def sample(process: int, sizes: list[int]) -> None:
    """Record the PSS now and every SAMPLE_SECONDS until cancelled."""
    while True:
        sizes.append(pss_bytes(process))
        await asyncio.sleep(SAMPLE_SECONDS)


def gateway_pid() -> int:
    """Return the process id of the gateway among the children of this process."""
    children = (pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split())
    return next(
        int(pid)
        for pid in children
        if b"sentinel_local_supabase.gateway.app" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )


def pss_bytes(process: int) -> int:
    """Return the proportional set size of a process."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise LookupError(process)


if __name__ == "__main__":
    asyncio.run(main())
