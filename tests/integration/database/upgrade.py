"""Upgrades a database in use from this schema to a made-up later one, in `later/`."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from sentinel_local_supabase.postgres import Postgres
from sentinel_worker.database import migrate
from tests.integration.database import hosted
from tests.integration.database.traffic import Seen, Traffic

LATER: Final = migrate.available(Path(__file__).parent / "later")
"""Files that do what a future release may: take the strongest locks on every table, replace the busiest functions."""
ATTEMPTS: Final = 100
"""Attempts that end before the upgrade; as many end while it waits for a reader, and as many after it."""
WAITING: Final = """
select 1 from pg_stat_activity
 where application_name = 'sentinel-worker migrate' and datname = current_database() and wait_event_type = 'Lock'
"""


@dataclass(frozen=True)
class Upgrade:
    """Cost of an upgrade under traffic, and what the clients saw."""

    dsn: str
    applied: list[str]
    upgrade_seconds: float
    in_flight: dict[str, int]
    """Requests by status when the upgrade began."""
    finished_meanwhile: int
    seen: Seen

    def words(self) -> str:
        """Return one line of text."""
        seen, errors = self.seen, {f"{call} {code}": n for (call, code), n in self.seen.errors.items()}
        return (
            f"{len(seen.inserted)} requests, {seen.requeued} requeued by hand, {len(seen.claimed)} attempts "
            f"({dict(Counter(seen.answers.values()))}); upgrade of {len(self.applied)} files in "
            f"{self.upgrade_seconds * 1000:.0f} ms with {self.in_flight} in flight, {self.finished_meanwhile} attempts "
            f"finished meanwhile; slowest call {seen.slowest_seconds * 1000:.0f} ms; errors {errors or 'none'}"
        )


def upgrade_under_traffic(
    server: Postgres, database: str, folder: Path, *, as_hosted: bool = False, report: bool = False
) -> Upgrade:
    """Apply the later files while the queue is in use; return when all requests are final.

    With `report` a session has read the requests and keeps its transaction open: the migration has to wait, while the
    traffic goes on.
    """
    server.create_database(database)
    dsn = server.dsn("postgres", database)
    migrate.apply(dsn)
    migrations = [*migrate.available(), *LATER]
    if as_hosted:
        hosted.take_memberships(server)
        new, login = hosted.rewrite(migrations, folder / "new"), hosted.dsn(server, database)
    else:
        new, login = _write(migrations, folder / "new"), dsn
    traffic = Traffic(dsn)
    traffic.prepare(ended=2_000, waiting=100)
    try:
        traffic.start()
        traffic.wait_for_finishes(ATTEMPTS)
        finish_held = traffic.hold(20)
        in_flight = _statuses(dsn)
        before, begin = len(traffic.seen.answers), time.monotonic()
        with ThreadPoolExecutor(1) as threads:
            with psycopg.connect(dsn) as reader:
                reader.execute("select count(*) from public.analysis_requests" if report else "select 1")
                migration = threads.submit(migrate.apply, login, migrations_dir=new)
                if report:
                    wait_until_it_waits(dsn)
                    traffic.wait_for_finishes(ATTEMPTS)
                    assert not migration.done()
            applied = migration.result()
        upgrade_seconds, after = time.monotonic() - begin, len(traffic.seen.answers)
        finish_held()
        traffic.wait_for_finishes(ATTEMPTS)
        traffic.drain()
    finally:
        traffic.stop()
    return Upgrade(dsn, [one.version for one in applied], upgrade_seconds, in_flight, after - before, traffic.seen)


def wait_until_it_waits(dsn: str) -> None:
    """Return when a migration waits for a lock."""
    with psycopg.connect(dsn, autocommit=True) as watcher:
        while watcher.execute(WAITING).fetchone() is None:
            pass  # the server's view is the only event; each look queries it again


def _write(migrations: list[migrate.Migration], folder: Path) -> Path:
    folder.mkdir(parents=True)
    for migration in migrations:
        (folder / migration.file_name).write_text(migration.text, encoding="utf-8")
    return folder


def _statuses(dsn: str) -> dict[str, int]:
    with psycopg.connect(dsn) as connection:
        query = "select status, count(*) from public.analysis_requests where finished_at is null group by 1 order by 1"
        rows: dict[str, Any] = dict(connection.execute(query).fetchall())
    return rows
