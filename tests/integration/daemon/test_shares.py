"""A worker whose free slots are another user's share: it asks again when a request ends, and not before."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from bench.instant import Instant
from sentinel_local_supabase.stack import Stack
from sentinel_worker import daemon
from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.request import Finish
from sentinel_worker.queue.client import QueueClient
from sentinel_worker.queue.lease import Lease
from sentinel_worker.worker.pipeline import Pipeline
from tests.integration.daemon.conftest import User

pytestmark = pytest.mark.asyncio(loop_scope="session")

SLOTS = 2
"""Of which one user gets one."""


@dataclass
class OneByOne(Instant):
    """Answers a request when it may."""

    started: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    go: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def analyze(self, lease: Lease) -> Finish:
        self.started.put_nowait(str(lease.claim.id))
        await self.go.acquire()
        return await super().analyze(lease)


async def test_a_claim_that_a_share_left_empty_is_repeated_when_a_request_ends(stack: Stack, user: User) -> None:
    calls: list[tuple[dict[str, Any], int]] = []
    empty = asyncio.Semaphore(0)

    class Recording(QueueClient):
        async def _call(self, function: str, args: dict[str, Any]) -> list[dict[str, Any]]:
            rows = await super()._call(function, args)
            if function == "sentinel_claim":
                calls.append((args, len(rows)))
                if not rows:
                    empty.release()
            return rows

    values = {"SUPABASE_URL": stack.url, "SUPABASE_SECRET_KEY": stack.secret_key, "realtime": False, "slots": SLOTS}
    settings = Settings.model_validate({**values, "sweep_degraded_seconds": 600})
    pipeline = OneByOne()
    asked = [await user.insert(f"{user.id}/x.mp4", media_kind="video") for _ in range(3)]
    async with (
        asyncio.timeout(60),
        daemon.open_worker(settings, uuid.uuid4(), lambda *_: cast(Pipeline, pipeline), client_type=Recording) as parts,
    ):
        running = asyncio.create_task(parts.worker.run())
        for _ in asked:
            assert await pipeline.started.get() in asked
            await empty.acquire()
            pipeline.go.release()
        for request_id in asked:
            await user.answer(request_id)
        parts.worker.drain()
        await running
    assert {args["slots"] for args, _ in calls} == {SLOTS}
    met = [(args["holding"], rows) for args, rows in calls]
    assert met[:6] == [({}, 1), ({user.id: 1}, 0)] * 3
    assert len(met) <= 7, "it asked when a request ended, and never in between"
