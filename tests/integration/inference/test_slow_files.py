"""A file that takes too long, and a child that was stopped: only the first is the file's own fault."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.slow_films import slow_film
from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.errors import Permanent, Transient
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.child_client import Child
from sentinel_worker.media.zygote import Zygote
from sentinel_worker.queue.lease import Lease, boottime
from sentinel_worker.worker.pipeline import RequestStages
from tests.claims import a_claim
from tests.integration.media.films import geometry

pytestmark = pytest.mark.asyncio(loop_scope="module")

FRAMES = 20


@asynccontextmanager
async def probed(zygote: Zygote, path: Path, lease: Lease) -> AsyncIterator[Child]:
    async with zygote.open(path, path.parent, MediaLimits(), lease.compute) as child:
        assert (await child.probe()).frame_count == FRAMES
        yield child


def stages(lease: Lease, analyze_deadline_seconds: float) -> RequestStages:
    settings = Settings(
        SUPABASE_URL="https://project.example",
        SUPABASE_SECRET_KEY="sb_secret_x",
        analyze_deadline_seconds=analyze_deadline_seconds,
    )
    ignoring: Any = SimpleNamespace(report=lambda *_: None)
    return RequestStages(lease, ignoring, settings)


async def decode(child: Child, lease: Lease, analyze_deadline_seconds: float) -> None:
    async with stages(lease, analyze_deadline_seconds).enter("analyzing"):
        async for _ in child.clips([Window(0.0, float(FRAMES))], geometry(FRAMES, 1.0)):
            pass


async def test_a_file_that_used_up_the_time_of_its_stage_fails_at_once(zygote: Zygote, tmp_path: Path) -> None:
    lease = Lease(a_claim(), boottime())
    async with probed(zygote, slow_film(tmp_path / "media", FRAMES), lease) as child:
        with pytest.raises(Permanent) as ended:
            await decode(child, lease, 1.5)
        running = lease.compute.cpu_seconds
    assert ended.value.code == "too_slow_to_analyze"
    assert ended.value.params["limit_seconds"] == 1.5
    assert lease.compute.cpu_seconds >= running > 0, "the kernel counts a child to its end"


async def test_a_file_whose_child_was_stopped_is_tried_again(zygote: Zygote, tmp_path: Path) -> None:
    lease = Lease(a_claim(), boottime())
    async with probed(zygote, slow_film(tmp_path / "media", FRAMES), lease) as child:
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(Transient) as ended:
            await decode(child, lease, 0.5)
    assert ended.value.code == "stage_timed_out"
