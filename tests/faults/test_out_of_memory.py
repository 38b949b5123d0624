"""The kernel's out-of-memory killer, in a control group of the worker and its children."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sentinel_local_supabase.stack import Stack
from tests.faults.stages import HELD_ANSWERS, in_stage
from tests.integration.daemon.conftest import START_SECONDS, StartWorker, User, Worker
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import current_results, history, row_when
from tests.memory import MemoryGroup

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.matrix("faults")]


@pytest_asyncio.fixture(loop_scope="session")
async def memory_group() -> AsyncIterator[MemoryGroup]:
    try:
        group = MemoryGroup()
    except OSError as error:
        pytest.skip(f"a control group with a memory limit cannot be made here: {error}")
    yield group
    await group.remove()


async def start_in(group: MemoryGroup, start_worker: StartWorker, via: FaultProxy | None = None) -> Worker:
    """A worker moved into the group before it imports anything, so that all its memory is counted there."""
    worker = await start_worker(via=via, wait=False, real=True, SENTINEL_LEASE_SECONDS="6")
    group.add(worker.pid)
    await asyncio.wait_for(worker.process.ready(), START_SECONDS)
    return worker


async def test_the_kernel_kills_a_worker_that_takes_too_much(
    memory_group: MemoryGroup,
    stack: Stack,
    start_worker: StartWorker,
    user: User,
    clips: dict[str, Path],
    proxy: FaultProxy,
) -> None:
    worker = await start_in(memory_group, start_worker, via=proxy)
    proxy.hold = HELD_ANSWERS["fetching"]
    request_id = await user.ask(clips["carphone_pristine.mp4"])
    await asyncio.wait_for(proxy.held.wait(), 30)
    await memory_group.run_out()
    assert memory_group.kills == 1
    assert await worker.process.wait() == -signal.SIGKILL
    proxy.release.set()
    await start_worker()
    row = await user.answer(request_id)
    assert (row["status"], row["verdict"], row["attempt"], row["crashes"]) == ("succeeded", "real", 2, 1)
    assert history(stack, request_id) == [(1, "lease_expired", "scheduled"), (2, "succeeded", "succeeded")]
    assert current_results(stack, request_id) == 1


async def test_a_decoding_child_is_killed_before_its_worker(
    memory_group: MemoryGroup,
    stack: Stack,
    start_worker: StartWorker,
    user: User,
    clips: dict[str, Path],
    proxy: FaultProxy,
) -> None:
    worker = await start_in(memory_group, start_worker)
    async with in_stage("probing", stack, worker, proxy, user, clips["bikes.mp4"]) as request_id:
        await memory_group.run_out()
        assert memory_group.kills == 1
        row = await row_when(stack, request_id, lambda row: row["status"] != "running")
    assert (row["status"], row["error_code"]) == ("scheduled", "decoder_lost")
    row = await user.answer(request_id)
    assert (row["status"], row["attempt"], row["crashes"]) == ("succeeded", 2, 0)
    assert history(stack, request_id) == [(1, "retry", "scheduled"), (2, "succeeded", "succeeded")]
    assert await worker.process.stop() == 0
