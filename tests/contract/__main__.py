"""`python -m tests.contract`: how far the local Supabase answers as the real one did.

Starts a local Supabase for each service, replays its recordings (minutes in all), and prints what it found.
Exit code 0: every difference has a reason. 1: one has none. `--write` puts the lists into docs/contract.md.
`--plant` replays a few exchanges with each, some of them falsified, to show what a difference looks like.
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
    """A replay that blocks, run beside the event loop."""
    return lambda stack, report: asyncio.to_thread(replay, stack, report)


def two_schemas(folder: Path) -> Stack:
    """What PostgREST was recorded with."""
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
    """A report for each service, each against a stack of its own, and printed when it is complete."""
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
    """The exit code."""
    parser = argparse.ArgumentParser("python -m tests.contract", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the lists into docs/contract.md")
    parser.add_argument("--plant", action="store_true", help="show what a difference looks like")
    parser.add_argument("--only", choices=list(SERVICES), action="append", help="this service alone; may be repeated")
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
