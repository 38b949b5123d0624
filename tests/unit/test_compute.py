"""Cost of a request, and the difference between a slow file and a slow machine."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from sentinel_worker.config.settings import Settings
from sentinel_worker.domain.compute import Compute, is_too_slow
from sentinel_worker.domain.errors import CodedError, Transient
from sentinel_worker.domain.request import Finish, Stage
from sentinel_worker.queue.lease import Lease, boottime
from sentinel_worker.worker.pipeline import RequestStages
from tests.claims import a_claim

SETTINGS = Settings(
    SUPABASE_URL="https://project.example",
    SUPABASE_SECRET_KEY="sb_secret_x",
    fetch_deadline_seconds=0.01,
    probe_deadline_seconds=0.01,
    analyze_deadline_seconds=0.01,
    derive_deadline_seconds=0.01,
)


@pytest.mark.parametrize(
    ("cpu_seconds", "done", "too_slow"),
    [
        (0, 0, False),  # a stopped process
        (50, 0, False),  # a machine that has no time for it
        (57, 0, True),  # at work for a sixteenth of the limit, and nothing is done
        (300, 0.4, False),  # 750 s would have sufficed
        (300, 0.3, True),  # 1,000 s would not
        (449, 0.9, False),
        (450, 0.9, True),  # half of the limit is its own doing, whatever is left
    ],
)
def test_a_file_that_would_not_fit_on_an_idle_machine_is_too_slow(
    cpu_seconds: float, done: float, too_slow: bool
) -> None:
    assert is_too_slow(cpu_seconds, 900, done) == too_slow


async def ended(stage: Stage, cpu_seconds: float, *, done: float = 0.0, error: CodedError | None = None) -> CodedError:
    """Return the error of a stage in which the file used this time; without `error`, it ends at its limit."""
    ignoring: Any = SimpleNamespace(report=lambda *_: None)
    stages = RequestStages(Lease(a_claim(), boottime()), ignoring, SETTINGS)
    stages.lease.compute.add(100)  # in earlier stages

    async def work() -> None:
        async with stages.enter(stage):
            stages.report(stage, done)
            stages.lease.compute.add(cpu_seconds)
            if error is not None:
                raise error
            await asyncio.Event().wait()

    with pytest.raises(CodedError) as met:
        await work()
    return met.value


@pytest.mark.parametrize(
    ("stage", "cpu_seconds", "code"),
    [
        ("probing", 0.006, "too_slow_to_analyze"),
        ("analyzing", 0.006, "too_slow_to_analyze"),
        ("deriving", 0.006, "stage_timed_out"),  # which costs only the pictures
        ("analyzing", 0.0005, "stage_timed_out"),
        ("fetching", 0.006, "stage_timed_out"),  # a slow server
    ],
)
async def test_a_stage_at_its_limit_ends_by_what_the_file_used_in_it(
    stage: Stage, cpu_seconds: float, code: str
) -> None:
    error = await ended(stage, cpu_seconds)
    assert error.code == code
    assert error.params["stage"] == stage


async def test_what_is_done_counts() -> None:
    assert (await ended("analyzing", 0.004, done=0.5)).code == "stage_timed_out"


async def test_a_childs_own_time_limit_counts_like_that_of_its_stage() -> None:
    hung = Transient("decoder_timeout", "Decoding this file took too long.")
    assert (await ended("analyzing", 0.006, error=hung)).code == "too_slow_to_analyze"
    assert await ended("analyzing", 0.0005, error=hung) is hung
    lost = Transient("decoder_lost", "The decoder was lost while it worked on this file.")
    assert await ended("analyzing", 0.006, error=lost) is lost


def test_an_outcome_tells_its_cost() -> None:
    compute, processes = Compute(), [1.0, 2.0]
    for number in range(2):
        compute.watch(lambda number=number: processes[number])  # type: ignore[misc]
    compute.add(0.25)
    assert compute.as_json() == {"cpu_seconds": 3.25, "wall_seconds": 0.0}
    processes[1] = 3.0
    compute.begin()
    assert compute.cpu_seconds == 4.25
    entry = Finish("failed", compute=compute.as_json()).as_json(a_claim())
    assert set(entry["compute"]) == {"cpu_seconds", "wall_seconds"}
