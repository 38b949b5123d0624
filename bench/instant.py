"""A worker whose detector answers at once and looks at no media; all else of it is the real worker.

    python -m bench.instant

takes its settings from the environment, as `sentinel-worker run` does, and INSTANT_SECONDS, which is how long each
request takes. Tests and benches of the queue use it.
"""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

import structlog

from sentinel_worker import api, daemon, logs
from sentinel_worker import settings as settings_module
from sentinel_worker.breaker import Circuit
from sentinel_worker.claims import Claims
from sentinel_worker.health import Health
from sentinel_worker.keys import Keys
from sentinel_worker.lease import Lease, Leases
from sentinel_worker.outcomes import Outcomes
from sentinel_worker.pipeline import Pipeline
from sentinel_worker.progress import Progress
from sentinel_worker.removals import Removals
from sentinel_worker.request import Finish
from sentinel_worker.rights import Rights
from sentinel_worker.rotation import Rotation
from sentinel_worker.settings import Settings
from sentinel_worker.wakeup import Wakeup
from sentinel_worker.wakeup_socket import HintName, Pace
from sentinel_worker.worker import Worker

RESULT: Final[Mapping[str, Any]] = {"verdict": "real", "fake_probability": 0.1, "threshold": 0.5}


@dataclass
class Instant:
    """In place of the pipeline: waits for `seconds`, then answers."""

    seconds: float = 0.0
    lanes: tuple[str, ...] = ("video/default", "auto/default")
    can_decode: bool = True

    async def analyze(self, lease: Lease) -> Finish:
        """Answer without a look."""
        async with lease.enter("analyzing", limit_seconds=60):
            await asyncio.sleep(self.seconds)
        return Finish("succeeded", stage="finishing", result=RESULT)


@dataclass
class InstantWorker:
    """The worker and what one may want to look at."""

    worker: Worker
    wakeup: Wakeup | None
    circuit: Circuit
    health: Health
    keys: Keys
    rotation: Rotation

    @property
    def states(self) -> Mapping[HintName, bool]:
        """Which hints are READY; none without Realtime."""
        return self.wakeup.states if self.wakeup is not None else {}

    @property
    def ready(self) -> bool:
        """Whether it claims, and hears both hints."""
        return self.health.state == "ready" and all(self.states.values())


@asynccontextmanager
async def instant_worker(
    settings: Settings,
    *,
    seconds: float = 0.0,
    circuit: Circuit | None = None,
    pace: Pace | None = None,
    wake: asyncio.Event | None = None,
    claims_type: type[Claims] = Claims,
) -> AsyncIterator[InstantWorker]:
    """A worker put together as in daemon.py; `worker.run` is the caller's to await."""
    async with AsyncExitStack() as stack:
        keys = Keys(settings)
        client, heartbeat_client = api.connect(settings, keys), api.connect_sync(settings, keys)
        stack.callback(api.close_sync, heartbeat_client)
        stack.push_async_callback(api.close, client)
        circuit = circuit or Circuit()
        http = await stack.enter_async_context(api.storage_http(settings, keys, circuit))
        worker_id = uuid.uuid4()
        claims, wake, health = claims_type(client, worker_id, circuit), wake or asyncio.Event(), Health()
        rights = Rights(claims)
        wakeup = Wakeup(
            url=settings.supabase_url,
            api_key=lambda: keys.current.api_key,
            token=lambda: keys.current.token,
            event=wake,
            pace=pace,
            circuit=circuit,
        )
        leases = Leases(
            heartbeat_client,
            worker_id,
            lease_seconds=settings.lease_seconds,
            heartbeat_seconds=settings.heartbeat_seconds,
            refused=rights.doubt,
        )
        worker = Worker(
            settings,
            claims=claims,
            leases=leases,
            outcomes=Outcomes(claims),
            progress=Progress(claims),
            pipeline=cast(Pipeline, Instant(seconds)),
            removals=Removals(claims, http, rights),
            rights=rights,
            wakeup=wakeup if settings.realtime else None,
            wake=wake,
            health=health,
        )
        heard = wakeup if settings.realtime else None
        rotation = daemon.rotation_of(settings, keys, worker, heard)
        yield InstantWorker(worker, heard, circuit, health, keys, rotation)


async def main() -> None:
    settings = settings_module.load()
    logs.configure(settings.log_level, settings.log_format)
    structlog.get_logger().info(logs.STARTING, detector="instant")
    async with instant_worker(settings, seconds=float(os.environ.get("INSTANT_SECONDS", "0"))) as running:
        running.worker.drain_on_signals()
        await running.worker.run(running.rotation.run)


if __name__ == "__main__":
    asyncio.run(main())
