"""A loop outlives its faults, and reports faults that recur."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from sentinel_worker.concurrency import supervisor as module
from sentinel_worker.concurrency.supervisor import MOST_IN_A_ROW, Supervisor
from sentinel_worker.domain.errors import Fatal


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    monkeypatch.setattr(module, "RETRY_FIRST_SECONDS", 0.001)
    with structlog.testing.capture_logs() as said:
        yield said


async def repeat(steps: list[Exception | None], *, vital: bool = True) -> list[Fatal]:
    """Raise these faults in a loop, in this order; return the errors by which the worker was declared broken."""
    broken: list[Fatal] = []
    ended = asyncio.Event()

    async def step() -> None:
        met = steps.pop(0)
        if not steps:
            ended.set()
        if met is not None:
            raise met

    async with asyncio.timeout(10):
        await Supervisor(broken.append).repeat("claims", step, vital=vital, until=ended)
    assert steps == []
    return broken


async def test_faults_with_successes_between_go_on(lines: list[Any]) -> None:
    faults: list[Exception | None] = [ValueError(), RecursionError(), KeyError(), MemoryError()]
    assert len(faults) == MOST_IN_A_ROW - 1
    assert await repeat([*faults, None, *faults, None]) == []
    counted = [(line["event"], line["where"], line["in_a_row"]) for line in lines]
    assert counted == [("worker.unhandled", "claims", number) for number in (1, 2, 3, 4)] * 2


async def test_faults_that_recur_break_the_worker_once_and_the_loop_goes_on() -> None:
    steps: list[Exception | None] = [ValueError("secret words")] * (2 * MOST_IN_A_ROW)
    (broken,) = await repeat([*steps, None])
    assert broken.message == 'The worker\'s loop "claims" failed 5 times in a row (ValueError).'


async def test_a_loop_that_the_worker_can_do_without_never_breaks_it() -> None:
    assert await repeat([*[ValueError()] * (2 * MOST_IN_A_ROW), None], vital=False) == []


async def test_a_loop_is_cancelled_in_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "full_jitter_seconds", lambda *_, **__: 60.0)
    failed = asyncio.Event()

    async def step() -> None:
        failed.set()
        raise ValueError

    task = asyncio.create_task(Supervisor(print).repeat("claims", step))
    async with asyncio.timeout(10):
        await failed.wait()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
