"""The schedule of an idle worker's sweeps, by a clock that the tests move: files go within a minute, calls are few."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from sentinel_worker.config.settings import Settings
from sentinel_worker.queue.client import Maintained, QueueClient
from sentinel_worker.queue.removals import Removals
from sentinel_worker.worker import sweeps
from sentinel_worker.worker.sweeps import Sweeps

MINUTE, HOUR = 60.0, 3600.0
STEP_SECONDS = 0.05
PERIOD = Settings.model_fields["sweep_seconds"].default
"""The default while Realtime is up; here it holds while Realtime is off, too, so that no socket is needed."""


@dataclass
class Idle(QueueClient):
    """An idle queue. Files are to be removed from `filed_at` until the worker's removals are nudged."""

    now: float = 0.0
    filed_at: float | None = None
    maintained_at: list[float] = field(default_factory=list)
    claims: int = 0

    async def maintain(self, *, name: str, lanes: Sequence[str], slots: int) -> Maintained:
        self.maintained_at.append(self.now)
        return Maintained(next_due_seconds=None, removals_due=self.filed_at is not None, drain=False)


class Nudged(Removals):
    """Notes how long the files waited."""

    def __init__(self, queue: Idle) -> None:
        self.waited: list[float] = []
        self._idle = queue

    def nudge(self) -> None:
        assert self._idle.filed_at is not None, "nothing is to be removed"
        self.waited.append(self._idle.now - self._idle.filed_at)
        self._idle.filed_at = None


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Idle:
    queue = Idle()
    monkeypatch.setattr(sweeps, "monotonic", lambda: queue.now)
    return queue


def nobody_asks() -> None:
    raise AssertionError("nobody asks the worker to drain")


async def pass_time(queue: Idle, removals: Nudged, seconds: float, *, deleting: bool) -> None:
    """Sweep when due, as the run loop does; each sweep is followed by a claim."""
    project = {"SUPABASE_URL": "http://localhost:1", "SUPABASE_SECRET_KEY": "sb_secret_" + uuid.uuid4().hex}
    settings = Settings.model_validate({**project, "sweep_degraded_seconds": PERIOD})
    schedule = Sweeps(settings, queue=queue, removals=removals, wakeup=None, lanes=["auto/default"], drain=nobody_asks)
    while queue.now < seconds:
        if schedule.due:
            await schedule.sweep()
            queue.claims += 1
            if deleting and queue.filed_at is None:
                queue.filed_at = queue.now  # at the worst moment: just after the worker asked
        queue.now += STEP_SECONDS


async def test_files_are_found_within_a_minute_at_the_worst(queue: Idle) -> None:
    removals = Nudged(queue)
    await pass_time(queue, removals, HOUR, deleting=True)
    assert len(removals.waited) >= HOUR / MINUTE
    assert max(removals.waited) < MINUTE


async def test_an_idle_worker_makes_few_calls(queue: Idle) -> None:
    removals = Nudged(queue)
    await pass_time(queue, removals, HOUR, deleting=False)
    assert (queue.claims + len(queue.maintained_at)) * 10 * MINUTE / HOUR < 38
    assert removals.waited == []
