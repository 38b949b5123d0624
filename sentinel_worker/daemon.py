"""Puts the worker together: the only place that knows how its parts are made."""

import asyncio
import os
import uuid
from contextlib import AsyncExitStack

import structlog

from sentinel_worker import __version__, api, logs
from sentinel_worker.claims import Claims
from sentinel_worker.health import Health
from sentinel_worker.inference import Scorer
from sentinel_worker.lease import Leases
from sentinel_worker.media.zygote import Zygote
from sentinel_worker.outcomes import Outcomes
from sentinel_worker.pipeline import Pipeline
from sentinel_worker.progress import Progress
from sentinel_worker.settings import Settings
from sentinel_worker.wakeup import Wakeup
from sentinel_worker.worker import Worker

log = structlog.get_logger()


async def serve(settings: Settings) -> None:
    """Run one worker until it is drained. Raises `Fatal` where it cannot start."""
    worker_id = uuid.uuid4()
    structlog.contextvars.bind_contextvars(worker=str(worker_id))
    log.info(logs.STARTING, version=__version__, pid=os.getpid(), url=settings.supabase_url, detector=settings.detector)
    async with AsyncExitStack() as stack:
        zygote = Zygote()
        await zygote.start()
        stack.push_async_callback(zygote.stop)
