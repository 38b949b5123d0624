"""`python -m tests.contract`: compare the local Supabase's responses with recordings of the real one.

Starts a local Supabase for each service, replays its recordings (some minutes in all), and prints a report.
Exit code 0: every difference has a reason. 1: at least one has none. `--write` puts the lists into docs/contract.md.
`--plant` replays a few exchanges with each service, some of them falsified, to show what a difference looks like.
"""

# ruff: noqa: T201 - it prints
from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from sentinel_local_supabase.stack import Stack
from tests.contract import page, planted, postgrest, realtime, storage
from tests.contract.report import Report
from tests.stacks import stack_at

Start = Callable[[Path], Stack]
Compare = Callable[[Stack, Report], Awaitable[None]]


def beside(replay: Callable[[Stack, Report], None]) -> Compare:
    """Run a blocking replay in a thread beside the event loop."""
    return lambda stack, report: asyncio.to_thread(replay, stack, report)


def two_schemas(folder: Path) -> Stack:
    """Return a stack with the two schemas that PostgREST was recorded with."""
    return bare(folder, exposed_schemas=("public", "private_api"))


bare = partial(stack_at, migrations=False)
SERVICES: dict[str, tuple[Start, Compare]] = {
    postgrest.NAME: (two_schemas, beside(postgrest.replay)),
    storage.NAME: (bare, beside(storage.replay)),
    realtime.NAME: (partial(bare, pace="fast"), realtime.compare),
}
PLANTED: dict[str, Compare] = {
    postgrest.NAME: planted.in_postgrest,
    storage.NAME: planted.in_storage,
    realtime.NAME: planted.in_realtime,
}


async def run(services: dict[str, tuple[Start, Compare]]) -> list[Report]:
    """Replay each service against its own stack, print each report when complete, and return them."""
    reports = []
    for name, (start, compare) in services.items():
        report = Report(name)
        with tempfile.TemporaryDirectory() as folder:
            async with start(Path(folder)) as stack:
                await compare(stack, report)
        print(report.text(), end="\n\n", flush=True)
        reports.append(report)
    return reports


def main(arguments: list[str]) -> int:
    """Run the command and return the exit code."""
    parser = argparse.ArgumentParser("python -m tests.contract", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the lists into docs/contract.md")
    parser.add_argument("--plant", action="store_true", help="show what a difference looks like")
    parser.add_argument("--only", choices=list(SERVICES), action="append", help="only this service; may be repeated")
    options = parser.parse_args(arguments)
    services = {
        name: (start, PLANTED[name] if options.plant else compare)
        for name, (start, compare) in SERVICES.items()
        if name in (options.only or SERVICES)
    }
    reports = asyncio.run(run(services))
    for report in reports:
        print(report.summary())
        if options.write and not options.plant and not report.unexplained:
            page.write(report)
    return 1 if any(report.unexplained for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
