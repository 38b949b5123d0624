"""Requests held in one stage: answers and calls are held back, decoding children are stopped."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from sentinel_local_supabase.stack import Stack
from sentinel_worker.domain.request import Stage
from tests.integration.daemon.conftest import User, Worker
from tests.integration.daemon.proxy import FaultProxy
from tests.integration.daemon.queries import row_when, sql
from tests.waits import comes_true

HELD_ANSWERS = {
    "fetching": "GET /storage/v1/object/authenticated/media/",
    "deriving": "POST /storage/v1/object/derived/",
}
HELD_REQUEST = "POST /rest/v1/rpc/sentinel_finish"
SEEN_SECONDS = 90
STEP_SECONDS = 0.01
"""Time that a frozen child may work before its request is checked again."""
SHOWN_SECONDS = 1.3
"""By then a change of stage is in the row, because progress is written once a second."""


def children(process: int) -> list[int]:
    """The child processes of all threads of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found += map(int, (task / "children").read_text().split())
    return found


async def frozen_child(zygotes: list[int]) -> int:
    """Stop the decoding child as soon as it exists. The loop has no pause because probing takes only a moment."""
    found: list[int] = []

    def is_there() -> bool:
        found[:] = [child for zygote in zygotes for child in children(zygote)]
        return bool(found)

    assert await comes_true(is_there, SEEN_SECONDS, look_seconds=0)
    os.kill(found[0], signal.SIGSTOP)
    return found[0]


async def frozen_at_its_start(stack: Stack, worker: Worker, user: User, film: Path) -> tuple[str, int]:
    """Insert a request and freeze its child. The zygote is stopped during the fetch, so the child cannot get ahead."""
    zygotes = children(worker.pid)
    for zygote in zygotes:
        os.kill(zygote, signal.SIGSTOP)
    try:
        request_id = await user.ask(film)
        await row_when(stack, request_id, lambda row: row["stage"] == "fetching")
    finally:
        for zygote in zygotes:
            os.kill(zygote, signal.SIGCONT)
    return request_id, await frozen_child(zygotes)


def worked_seconds(process: int) -> float:
    """CPU time of the child's main thread."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


async def go_on(child: int) -> None:
    """Let the child work for some milliseconds of CPU time, then stop it. The wait is bounded in case it is idle."""
    until_seconds = worked_seconds(child) + STEP_SECONDS
    os.kill(child, signal.SIGCONT)
    await comes_true(lambda: worked_seconds(child) >= until_seconds, 12 * STEP_SECONDS, look_seconds=STEP_SECONDS / 4)
    os.kill(child, signal.SIGSTOP)


@asynccontextmanager
async def in_stage(
    stage: Stage, stack: Stack, worker: Worker, proxy: FaultProxy, user: User, film: Path
) -> AsyncIterator[str]:
    """Hold a request of this worker in `stage` until the end of the block, or until it is ended there."""
    proxy.again()
    proxy.hold = HELD_ANSWERS.get(stage)
    proxy.hold_request = HELD_REQUEST if stage == "finishing" else None
    if stage not in ("probing", "analyzing"):
        request_id = await user.ask(film)
        await asyncio.wait_for(proxy.held.wait(), SEEN_SECONDS)
        yield request_id
        proxy.release.set()
        return
    for _ in range(5):
        request_id, child = await frozen_at_its_start(stack, worker, user, film)
        if await stepped_to(stage, stack, request_id, child):
            break
        await user.answer(request_id)  # a step was too long, and the request has passed the stage
    else:
        pytest.fail(f"no request was seen {stage}")
    try:
        yield request_id
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGCONT)


async def stepped_to(stage: Stage, stack: Stack, request_id: str, child: int) -> bool:
    """Let the frozen child go on step by step until its request shows `stage`. False if it passed the stage unseen."""

    def is_shown() -> bool:
        return sql(stack, "select stage from analysis_requests where id = %s", request_id) == [{"stage": stage}]

    for _ in range(20):
        if await comes_true(is_shown, SHOWN_SECONDS):
            return True
        try:
            await go_on(child)
        except (ProcessLookupError, FileNotFoundError):
            return False
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGCONT)
    return False
