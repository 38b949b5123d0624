"""Every outcome tells the database what its request cost; a film that costs too much is tried once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import pytest

from bench.instant import Instant
from bench.slow_films import slow_film
from sentinel_local_supabase.stack import Stack
from sentinel_worker import daemon
from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.errors import Cancelled, Permanent, Released, SentinelError, Transient
from sentinel_worker.domain.request import Finish
from sentinel_worker.queue.client import QueueClient
from sentinel_worker.queue.lease import Lease
from sentinel_worker.worker.pipeline import Pipeline
from tests.integration.daemon.conftest import StartWorker, User
from tests.integration.daemon.queries import history

pytestmark = pytest.mark.asyncio(loop_scope="session")

ENDS: Final[Mapping[str, SentinelError | None]] = {
    "succeeded": None,
    "failed": Permanent("media_unreadable", "The file is damaged."),
    "retry": Transient("decoder_lost", "The decoder was lost."),
    "snoozed": Transient("worker_busy", "Others go first.", retry_after_seconds=60),
    "released": Released(),
    "cancelled": Cancelled(),
}


@dataclass
class Costly(Instant):
    """Ends a request as its path says, after it has used 1.5 CPU seconds."""

    async def analyze(self, lease: Lease) -> Finish:
        lease.compute.begin()
        lease.compute.add(1.5)
        assert lease.claim.storage_path is not None
        if (error := ENDS[lease.claim.storage_path.rpartition("/")[2]]) is not None:
            raise error
        return await super().analyze(lease)


async def test_each_outcome_carries_its_cost(stack: Stack, user: User) -> None:
    costs: dict[str, dict[str, float]] = {}
    answered = asyncio.Event()

    class Recording(QueueClient):
        async def _call(self, function: str, args: dict[str, Any]) -> list[dict[str, Any]]:
            if function == "sentinel_finish":
                costs.update({entry["outcome"]: entry["compute"] for entry in args["outcomes"]})
                if set(costs) == set(ENDS):
                    answered.set()
            return await super()._call(function, args)

    values = {"SUPABASE_URL": stack.url, "SUPABASE_SECRET_KEY": stack.secret_key, "realtime": False}
    for end in ENDS:
        await user.insert(f"{user.id}/{end}", media_kind="video")
    async with (
        asyncio.timeout(60),
        daemon.open_worker(
            Settings.model_validate(values), uuid.uuid4(), lambda *_: cast(Pipeline, Costly()), client_type=Recording
        ) as parts,
    ):
        running = asyncio.create_task(parts.worker.run())
        await answered.wait()
        parts.worker.drain()
        await running
    assert {outcome: cost["cpu_seconds"] for outcome, cost in costs.items()} == dict.fromkeys(ENDS, 1.5)
    assert all(cost["wall_seconds"] >= 0 for cost in costs.values())


async def test_a_film_that_uses_up_its_time_is_not_tried_again(
    stack: Stack, start_worker: StartWorker, user: User, tmp_path: Path
) -> None:
    await start_worker(SENTINEL_ANALYZE_DEADLINE_SECONDS="4")
    request_id = await user.ask(slow_film(tmp_path / "slow.mov", frames=60))
    row = await user.answer(request_id)
    assert (row["status"], row["error_code"], row["attempt"]) == ("failed", "too_slow_to_analyze", 1)
    assert row["error_message"] == "The file takes longer to analyze than this service allows."
    assert row["error_params"]["stage"] == "analyzing"
    assert history(stack, request_id) == [(1, "failed", "failed")]
