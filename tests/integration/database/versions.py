"""Prints the cost of the migrations on each supported PostgreSQL: `python -m tests.integration.database.versions`."""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from sentinel_worker.database import migrate
from tests.integration.database.servers import VERSIONS, NotHereError, Servers
from tests.integration.database.upgrade import LATER, upgrade_under_traffic


def main() -> None:
    """Print a row for each version, then what the clients saw during the upgrades."""
    files = len(migrate.available())
    say(f"{files} files; the upgrade is {len(LATER)} made-up later files, under traffic\n")
    say("| PostgreSQL | from scratch | second run | upgrade | upgrade behind a reader |")
    say("| --- | --- | --- | --- | --- |")
    notes = []
    with tempfile.TemporaryDirectory() as folder:
        servers = Servers(Path(folder))
        try:
            for version in VERSIONS:
                try:
                    row, note = measure(servers, version, Path(folder))
                except NotHereError as reason:
                    row, note = f"| {version} | {reason} | | | |", ""
                say(row)
                notes.append(note)
        finally:
            servers.stop()
    say("")
    for note in notes:
        say(note)


def measure(servers: Servers, version: str, folder: Path) -> tuple[str, str]:
    """Return a version's row, and a summary of its traffic."""
    server = servers[version]
    server.create_database("scratch")
    dsn = server.dsn("postgres", "scratch")
    from_scratch = milliseconds(lambda: migrate.apply(dsn))
    second = milliseconds(lambda: migrate.apply(dsn))
    free = upgrade_under_traffic(server, "free", folder / f"free-{version}")
    waiting = upgrade_under_traffic(server, "waiting", folder / f"waiting-{version}", report=True)
    with psycopg.connect(dsn) as connection:
        exact = connection.info.parameter_status("server_version")
    row = f"| {exact} | {from_scratch:.0f} ms | {second:.0f} ms | {free.upgrade_seconds * 1000:.0f} ms |"
    return (
        f"{row} {waiting.upgrade_seconds * 1000:.0f} ms |",
        f"{version}: {free.words()}\n{version}, behind a reader: {waiting.words()}",
    )


def milliseconds(step: Callable[[], object]) -> float:
    """Return the duration of a step."""
    begin = time.monotonic()
    step()
    return (time.monotonic() - begin) * 1000


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
