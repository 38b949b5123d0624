"""A worker that answers immediately without looking at media; everything else is the real worker.

    python -m bench.instant

takes its settings from the environment, as `sentinel-worker run` does, and INSTANT_SECONDS, the duration of each
request. Tests and benchmarks of the queue use it.
"""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

import structlog

from sentinel_worker import daemon
from sentinel_worker.config import settings as settings_module
from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.request import Finish
from sentinel_worker.observe import logs
from sentinel_worker.queue.lease import Lease
from sentinel_worker.wake.connection import HintName
from sentinel_worker.worker.pipeline import Pipeline

RESULT: Final[Mapping[str, Any]] = {"verdict": "real", "fake_probability": 0.1, "threshold": 0.5}


@dataclass
class Instant:
    """Replaces the pipeline: waits for `seconds`, then answers."""

    seconds: float = 0.0
    lanes: tuple[str, ...] = ("video/default", "auto/default")
    can_decode: bool = True

    async def analyze(self, lease: Lease) -> Finish:
        """Answer without looking at the media."""
        async with lease.enter("analyzing", limit_seconds=60):
            await asyncio.sleep(self.seconds)
        return Finish("succeeded", stage="finishing", result=RESULT)


@dataclass(frozen=True)
class InstantWorker(daemon.Parts):
    """The worker and the parts that a caller may inspect."""

    @property
    def states(self) -> Mapping[HintName, bool]:
        """State of each hint; empty without Realtime."""
        return self.wakeup.states if self.wakeup is not None else {}

    @property
    def ready(self) -> bool:
        """True if it claims and receives both hints."""
        return self.health.state == "ready" and all(self.states.values())


@asynccontextmanager
async def instant_worker(settings: Settings, *, seconds: float = 0.0, **parts: Any) -> AsyncIterator[InstantWorker]:
    """Open the daemon's worker with an instant pipeline; `parts` are passed to `daemon.open_worker`."""
    pipeline = cast(Pipeline, Instant(seconds))
    async with daemon.open_worker(settings, uuid.uuid4(), lambda *_: pipeline, **parts) as opened:
        yield InstantWorker(**vars(opened))


async def main() -> None:
    settings = settings_module.load()
    logs.configure(settings.log_level, settings.log_format)
    structlog.get_logger().info(logs.STARTING, detector="instant")
    async with instant_worker(settings, seconds=float(os.environ.get("INSTANT_SECONDS", "0"))) as running:
        running.worker.drain_on_signals()
        await running.worker.run(running.rotation.run)


if __name__ == "__main__":
    asyncio.run(main())
