"""Key files, and workers of this process that read them; what they do shows in their log lines and rows."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.instant import InstantWorker, instant_worker
from sentinel_local_supabase.stack import Stack
from sentinel_worker.config.settings import Settings
from sentinel_worker.wake.connection import ConnectionTimes
from tests.integration.daemon.queries import row_when
from tests.waits import until

Lines = list[dict[str, Any]]
TIMES = ConnectionTimes(check=0.05, backoff_first=0.05, backoff_cap=0.2, ready=5.0, close=1.0)


def token(stack: Stack, seconds: float = 3600, **claims: Any) -> str:
    """Sign a new token of the worker that expires in `seconds`."""
    now = int(time.time())
    return stack.keys.sign({"role": "sentinel_worker", "exp": now + int(seconds), "n": time.monotonic_ns(), **claims})


def write(path: Path, secret: str) -> Path:
    """Replace the file as an operator should: write aside, then rename."""
    aside = path.with_suffix(".new")
    aside.touch(0o600)
    aside.write_text(f"{secret}\n")
    return aside.rename(path)


def events(lines: Lines, name: str) -> Lines:
    """Return the lines with this event."""
    return [line for line in lines if line["event"] == name]


@asynccontextmanager
async def running(stack: Stack, jwt_file: Path, *, looks: bool = True, **changes: Any) -> AsyncIterator[InstantWorker]:
    """Run a worker with that file; without `looks` it reads the file again only when asked to."""
    values = {
        "SUPABASE_URL": stack.url, "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key, "worker_jwt_file": jwt_file,
        "worker_name": "rotating", "sweep_seconds": 0.5, "sweep_degraded_seconds": 0.5, "heartbeat_seconds": 0.5,
        "lease_seconds": 30, **changes,
    }  # fmt: skip
    async with instant_worker(Settings.model_validate(values), seconds=0.1, times=TIMES) as worker:
        if not looks:
            worker.rotation._look_seconds = 3600.0
        task = asyncio.create_task(worker.worker.run(worker.rotation.run))
        try:
            await until(lambda: worker.ready, what=lambda: f"it is ready: {worker.health.reason}", limit_seconds=30)
            yield worker
        finally:
            worker.worker.drain()
            await asyncio.wait_for(task, 30)


async def succeeded(stack: Stack, request: str) -> None:
    """Wait until the request has succeeded; it must be the first attempt."""
    row = await row_when(stack, request, lambda row: row["status"] == "succeeded")
    assert row["attempt"] == 1
