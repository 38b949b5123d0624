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
import sys
import tempfile
from collections import Counter
from pathlib import Path

import psycopg

from bench.soak_requests import WAITS, insert_evenly, query, report, settled, upload_and_insert
from bench.victims import ANY_FAULT, KILLS, torment, victims
from examples import samples
from sentinel_local_supabase.stack import Stack
from sentinel_worker.database import migrate

SETTLE_SECONDS = 120
# Requests are not at fault when workers are killed here, and must not fail as poison.
LIMITS = "update sentinel.settings set value = '1000' where name = 'max_crashes'"


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
