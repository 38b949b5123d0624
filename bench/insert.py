"""Time of one INSERT of many requests by a signed-in user, compared with the same rows in a plain table.

    python -m bench.insert [--rows 20000] [--rounds 8]

The plain table has what any queue has: the columns and their checks, a key, an owner, an order, and their indexes. It
has no triggers and no row security. Both are filled in turn, and rolled back. Exits with 1 if our fastest INSERT takes
at least twice as long as the fastest plain one.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from sentinel_local_supabase.stack import Stack
from sentinel_worker.database import migrate

PLAIN = """
create table public.plain
  (like public.analysis_requests including defaults including constraints including generated including storage);
alter table public.plain add primary key (id), add foreign key (user_id) references auth.users on delete cascade;
create index on public.plain (user_id, created_at desc);
create index on public.plain (priority desc, run_at, id) where status = 'queued';
grant insert on public.plain to authenticated;
"""
WIDE = "update sentinel.settings set value = '1000000' where name in ('max_open_requests', 'max_requests_per_hour')"
"""Quotas that 20,000 rows do not exceed, but that are still checked."""
TABLES = ("analysis_requests", "plain")
USER = "insert into auth.users (id) select gen_random_uuid() returning id::text"
INSERT = "insert into public.{} (storage_path) select auth.uid() || '/a.mp4' from generate_series(1, {})"
MOST = 2.0
"""Largest allowed ratio of our INSERT's time to a plain one's."""


def seconds_to_insert(connection: psycopg.Connection[Any], user: str, table: str, rows: int) -> float:
    """Return the seconds of one INSERT by this user, which is then rolled back."""
    claims = json.dumps({"sub": user, "role": "authenticated"})
    with connection.transaction(force_rollback=True):
        connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        connection.execute("set local role authenticated")
        begin = time.monotonic()
        connection.execute(INSERT.format(table, rows).encode())
        return time.monotonic() - begin


def measure(dsn: str, rows: int, rounds: int) -> tuple[float, float]:
    """Return the shortest times of our table and of the plain table."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(WIDE)
        ((user,),) = connection.execute(USER).fetchall()
        connection.execute(PLAIN)
        pairs = [[seconds_to_insert(connection, user, table, rows) for table in TABLES] for _ in range(rounds)]
    ours, plain = (min(times) for times in zip(*pairs, strict=True))
    return ours, plain


def report(rows: int, ours: float, plain: float) -> bool:
    """Print both; returns True if ours is fast enough."""
    ratio = ours / plain
    within = ratio < MOST
    verdict = f"{ratio:.2f} times ({'under' if within else 'OVER'} {MOST:g})"
    print(f"{rows} rows in one statement: {ours:.2f} s, in a plain table {plain:.2f} s, {verdict}")
    return within


async def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--rows", type=int, default=20_000)
    arguments.add_argument("--rounds", type=int, default=8)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        async with Stack(Path(name) / "supabase", port=0, migrations=migrate.apply) as stack:
            ours, plain = await asyncio.to_thread(measure, stack.superuser_dsn, chosen.rows, chosen.rounds)
    return 0 if report(chosen.rows, ours, plain) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
