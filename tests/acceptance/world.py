"""One local Supabase with one worker, for all clients: the demo detectors, films, and a quick sweep."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sentinel_local_supabase.stack import Stack
from sentinel_worker.commands.dev import WorkerProcess, worker_environment
from tests.stacks import stack_at

SWEEP_SECONDS = 1
"""Interval of sweeps, which remove the files of deleted requests."""


@dataclass(frozen=True, slots=True)
class World:
    """Input for clients: Supabase's address, the films, and a folder to write into."""

    stack: Stack
    films: Path
    folder: Path


@asynccontextmanager
async def running_world(folder: Path, films: Path) -> AsyncIterator[World]:
    """Start Supabase and a worker; yield when it claims."""
    async with stack_at(folder / "stack") as stack:
        environment = worker_environment(stack, {"SENTINEL_SWEEP_SECONDS": str(SWEEP_SECONDS)})
        async with WorkerProcess(environment, log=folder / "worker.log") as worker:
            await worker.ready()
            yield World(stack, films, folder)
