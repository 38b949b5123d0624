"""Answers of the database that never arrive."""

import asyncio
from pathlib import Path

import pytest

from sentinel_local_supabase.stack import Stack
from tests.integration.daemon.conftest import StartWorker, User
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import current_results, history
from tests.waits import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("answer_with", [b'"reoffered":', b'"answer":"succeeded"'], ids=["claim", "finish"])
async def test_a_lost_answer_is_asked_again(
    stack: Stack, start_worker: StartWorker, user: User, clips: dict[str, Path], proxy: FaultProxy, answer_with: bytes
) -> None:
    worker = await start_worker(via=proxy, SENTINEL_LEASE_SECONDS="30")
    proxy.lose, proxy.losses = answer_with, 2
    request_id = await user.ask(clips["carphone_pristine.mp4"])
    row = await user.answer(request_id)
    await asyncio.wait_for(proxy.lost.wait(), 10)
    await until(lambda: "request.answered" in worker.said(), what="the worker has its answer", log=worker.log)
    assert (row["status"], row["attempt"], row["crashes"]) == ("succeeded", 1, 0)
    assert history(stack, request_id) == [(1, "succeeded", "succeeded")]
    assert current_results(stack, request_id) == 1
