"""Size of the queue's tables after many cycles, compared with their size after VACUUM FULL.

    python -m bench.bloat [--cycles 1000000]

Four clients claim and finish in batches of sixteen while autovacuum runs as the migrations configure it.
The queue is refilled when it is empty, so cycles come in multiples of 60,000; `make bench` does 180,000.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from bench.queue import measure
from bench.queues import Sentinel
from sentinel_local_supabase.stack import Stack
from sentinel_worker.database import migrate

TABLES = (
    "public.analysis_requests",
    "public.analysis_results",
    "sentinel.attempts",
    "sentinel.leases",
    "sentinel.turns",
)
SIZE = "select pg_total_relation_size($1::regclass)"
CLIENTS, BATCH = 4, 16
HOURS = 7200.0


def run(stack: Stack, cycles: int) -> None:
    """Run the cycles, then print a table."""
    system = Sentinel(stack.superuser_dsn)
    with system.connect() as connection:
        system.fill(connection, 0)
        done = 0
        while done < cycles:
            done += measure(system, CLIENTS, BATCH, seconds=HOURS, vacuum=False).done
            print(f"{done:,} cycles", flush=True)
        print("\n| table | rows | MB | MB after VACUUM FULL |\n| --- | --- | --- | --- |")
        connection.execute("delete from public.analysis_requests where status = 'queued'")
        for table in TABLES:
            count = connection.execute(b"select count(*) from %s" % table.encode()).fetchone()
            before = connection.execute(SIZE, (table,)).fetchone()
            connection.execute(b"vacuum full %s" % table.encode())
            after = connection.execute(SIZE, (table,)).fetchone()
            assert count is not None
            assert before is not None
            assert after is not None
            print(f"| `{table}` | {count[0]:,} | {before[0] / 1e6:.1f} | {after[0] / 1e6:.1f} |")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cycles", type=int, default=1_000_000)
    cycles = parser.parse_args().cycles
    with tempfile.TemporaryDirectory() as folder:
        async with Stack(Path(folder) / "supabase", port=0, migrations=migrate.apply) as stack:
            await asyncio.to_thread(run, stack, cycles)


if __name__ == "__main__":
    asyncio.run(main())
