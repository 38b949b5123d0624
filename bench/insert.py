"""What one INSERT of many requests costs, beside the same rows in a plain table.

    python -m bench.insert [--rows 20000] [--rounds 8]

The plain table has what any queue has: the columns and their checks, a key, an owner, an order. It has neither triggers
nor the indexes by which users take turns. Both are filled in turn, and nothing is kept. Exits with 1 where the fastest
of ours takes more than twice as long as the fastest of the plain ones.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from sentinel_worker.local.stack import Stack

PLAIN = """
create table public.plain
  (like public.analysis_requests including defaults including constraints including generated including storage);
alter table public.plain add primary key (id), add foreign key (user_id) references auth.users on delete cascade;
create index on public.plain (user_id, created_at desc);
create index on public.plain (priority desc, run_at, id) where status = 'queued';
"""
TABLES = ("analysis_requests", "plain")
INSERT = """
insert into public.{} (user_id, storage_path)
select id, id || '/a.mp4' from auth.users cross join generate_series(1, {})
"""
MOST = 2.0
"""How many times a plain insert ours may cost."""


def seconds_to_insert(connection: psycopg.Connection[Any], table: str, rows: int) -> float:
    """How long one INSERT takes until it is rolled back."""
    with connection.transaction(force_rollback=True):
        begin = time.monotonic()
        connection.execute(INSERT.format(table, rows).encode())
        return time.monotonic() - begin


def report(connection: psycopg.Connection[Any], rows: int, rounds: int) -> bool:
    """Print both; returns whether ours is cheap enough."""
    connection.execute("insert into auth.users (id) select gen_random_uuid()")
    connection.execute(PLAIN)
    pairs = [[seconds_to_insert(connection, table, rows) for table in TABLES] for _ in range(rounds)]
    ours, plain = (min(times) for times in zip(*pairs, strict=True))
    ratio: float = ours / plain
    print(
        f"{rows} rows in one statement: {ours:.2f} s, in a plain table {plain:.2f} s,"
        f" {ratio:.2f} times ({'under' if ratio < MOST else 'OVER'} {MOST:g})"
    )
    return ratio < MOST


async def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--rows", type=int, default=20_000)
    arguments.add_argument("--rounds", type=int, default=8)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        async with Stack(Path(name) / "supabase", port=0) as stack:
            with psycopg.connect(stack.superuser_dsn, autocommit=True) as connection:
                return 0 if report(connection, chosen.rows, chosen.rounds) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
