"""The scorer: many callers, one thread, batches."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Iterator, Sequence

import numpy as np
import pytest
import torch

from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.detectors.video import VideoDetector
from sentinel_worker.domain.compute import Compute
from sentinel_worker.domain.errors import Permanent, Released, Transient
from sentinel_worker.domain.media_facts import Clip, ClipGeometry, Skipped
from sentinel_worker.domain.windows import COVERAGE, Window
from sentinel_worker.inference.scorer import Scorer
from sentinel_worker.inference.scoring_thread import ScoringThread
from sentinel_worker.inference.track_scoring import CLIPS_AHEAD, ScoringProgress, Track, TrackScoring
from sentinel_worker.observe.cpu_clocks import ForwardClock
from tests.integration.detectors.conftest import FRAMES, MakeCheckpoint, random_clips
from tests.memory import no_new_threads


class GatedDetector:
    """Scores a clip by its first pixel, one batch for each `release`; 255 gives a logit that is not finite."""

    clip_shape = (FRAMES, 3, 16, 16)
    clip_dtype = np.dtype(np.uint8)

    def __init__(self, spec: DetectorSpec) -> None:
        self.spec = spec
        self.batches: list[int] = []
        self.scored: list[int] = []
        self.threads: set[int] = set()
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.error: Exception | None = None

    def geometry(self, frames_per_second: float) -> ClipGeometry:
        return ClipGeometry(FRAMES, 1 / frames_per_second, "squash", 16, 16, 16, 16)

    def describe(self) -> dict[str, object]:
        return {"key": self.spec.key}

    def release(self, batches: int = 1) -> None:
        self.gate.release(batches)

    def score(self, clips: torch.Tensor) -> torch.Tensor:
        self.entered.release()
        assert self.gate.acquire(timeout=30)
        self.batches.append(len(clips))
        self.scored += [int(value) for value in clips[:, 0, 0, 0, 0]]
        self.threads.add(threading.get_ident())
        if self.error is not None:
            raise self.error
        first = clips[:, 0, 0, 0, 0].float()
        return torch.where(first == 255, torch.nan, first)


@pytest.fixture
def gated(make_checkpoint: MakeCheckpoint) -> Iterator[GatedDetector]:
    detector = GatedDetector(make_checkpoint())
    yield detector
    detector.release(100)


def clip(value: int) -> Clip:
    return Clip(Window(0, 1), np.full((FRAMES, 3, 16, 16), value, np.uint8))


async def entered(detector: GatedDetector) -> None:
    """Wait until a batch runs on the thread."""
    assert await asyncio.to_thread(detector.entered.acquire, timeout=30)


async def test_every_caller_gets_its_own_answer(make_checkpoint: MakeCheckpoint) -> None:
    detector = VideoDetector.load(make_checkpoint(), "cpu")
    clips = random_clips(21)
    expected = detector.score(clips)
    async with Scorer(detector, batch_windows=4) as scorer:
        asked = [scorer.score(Clip(Window(0, 1), frames.numpy())) for frames in clips]
        answers = await asyncio.gather(*asked)
    assert torch.allclose(torch.tensor(answers), expected, atol=1e-5)


async def test_clips_that_arrive_during_a_batch_form_the_next_ones(gated: GatedDetector) -> None:
    async with Scorer(gated, batch_windows=4) as scorer:
        first = asyncio.create_task(scorer.score(clip(1)))
        await entered(gated)
        rest = [asyncio.create_task(scorer.score(clip(value))) for value in range(2, 9)]
        gated.release(3)
        assert await first == 1
        assert await asyncio.gather(*rest) == list(range(2, 9))
    assert gated.batches == [1, 4, 3]
    assert len(gated.threads) == 1


async def test_two_detectors_can_share_a_thread(make_checkpoint: MakeCheckpoint) -> None:
    one, other = GatedDetector(make_checkpoint()), GatedDetector(make_checkpoint())
    one.release()
    other.release()
    async with ScoringThread() as thread:
        a, b = Scorer(one, thread), Scorer(other, thread)
        assert list(await asyncio.gather(a.score(clip(1)), b.score(clip(2)))) == [1, 2]
    assert one.threads == other.threads


async def test_a_caller_that_left_is_not_scored(gated: GatedDetector) -> None:
    async with Scorer(gated, batch_windows=4) as scorer:
        first = asyncio.create_task(scorer.score(clip(1)))
        await entered(gated)
        leaving = asyncio.create_task(scorer.score(clip(2)))
        staying = asyncio.create_task(scorer.score(clip(3)))
        await asyncio.sleep(0)  # one turn of the loop
        leaving.cancel()
        gated.release(2)
        assert await first == 1
        assert await staying == 3
    assert gated.batches == [1, 1]


async def test_an_unusable_answer_fails_only_its_own_clip(gated: GatedDetector) -> None:
    gated.release()
    async with Scorer(gated) as scorer:
        good, bad = await asyncio.gather(scorer.score(clip(7)), scorer.score(clip(255)), return_exceptions=True)
    assert good == 7
    assert isinstance(bad, Permanent)
    assert bad.code == "score_not_finite"


async def test_an_error_reaches_every_caller_of_the_batch_and_the_next_batch_runs(gated: GatedDetector) -> None:
    gated.error = Transient("gpu_out_of_memory", "The GPU has too little free memory for one clip.")
    async with Scorer(gated) as scorer:
        gated.release()
        failed = await asyncio.gather(scorer.score(clip(1)), scorer.score(clip(2)), return_exceptions=True)
        assert list(failed) == [gated.error, gated.error]
        gated.error = None
        gated.release()
        assert await scorer.score(clip(3)) == 3


def film(value: int, seconds: float, scorer: Scorer, group: asyncio.TaskGroup) -> TrackScoring:
    """Pictures of one value, which are decoded at once."""

    async def ask(windows: Sequence[Window]) -> AsyncGenerator[Clip | Skipped]:
        for window in windows:
            yield Clip(window, clip(value).values)

    return TrackScoring(scorer, Track(seconds, 25), COVERAGE, ask, group, ScoringProgress(lambda _: None))


async def test_the_forty_windows_of_a_long_film_leave_room_for_a_short_one(gated: GatedDetector) -> None:
    async with Scorer(gated, batch_windows=4) as scorer, asyncio.TaskGroup() as group:
        long, short = film(1, 3600, scorer, group), film(2, 2, scorer, group)
        decoding = group.create_task(long.decode())
        await entered(gated)
        await short.decode()
        gated.release(100)
        await decoding
    assert (gated.scored.count(1), gated.scored.count(2)) == (40, 8)
    before = gated.scored[: len(gated.scored) - gated.scored[::-1].index(2)]
    assert before.count(1) == CLIPS_AHEAD


async def test_a_user_with_forty_windows_lets_one_clip_of_another_through(gated: GatedDetector) -> None:
    many, one = Compute(uuid.uuid4()), Compute(uuid.uuid4())
    async with Scorer(gated, batch_windows=4) as scorer, asyncio.TaskGroup() as group:
        for _ in range(40):
            group.create_task(scorer.score(clip(1), many))
        await entered(gated)
        single = group.create_task(scorer.score(clip(2), one))
        gated.release(2)
        assert await single == 2
        assert gated.scored == [1, 1, 1, 1, 2, 1, 1, 1], "the next batch begins with the other user, and is full"
        gated.release(100)


async def test_users_fill_a_batch_in_turn(gated: GatedDetector) -> None:
    users = [Compute(uuid.uuid4()) for _ in range(3)]
    async with Scorer(gated, batch_windows=4) as scorer, asyncio.TaskGroup() as group:
        group.create_task(scorer.score(clip(9)))
        await entered(gated)
        for value, user in enumerate(users, 1):
            for _ in range(4):
                group.create_task(scorer.score(clip(value), user))
        gated.release(100)
    assert gated.scored[1:] == [1, 2, 3] * 4
    assert gated.batches == [1, 4, 4, 4]


async def test_the_user_whose_turn_it_is_chooses_between_detectors(make_checkpoint: MakeCheckpoint) -> None:
    busy, other = GatedDetector(make_checkpoint()), GatedDetector(make_checkpoint())
    many, one = Compute(uuid.uuid4()), Compute(uuid.uuid4())
    async with ScoringThread(batch_windows=4) as thread, asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(Scorer(busy, thread).score(clip(1), many))
        await entered(busy)
        single = group.create_task(Scorer(other, thread).score(clip(2), one))
        other.release()
        busy.release()
        assert await single == 2
        assert busy.batches == [4]
        busy.release()


async def test_a_batch_costs_each_of_its_clips_the_same(gated: GatedDetector) -> None:
    one, other = Compute(uuid.uuid4()), Compute(uuid.uuid4())
    async with Scorer(gated) as scorer:
        gated.release(2)
        await asyncio.gather(*(scorer.score(clip(value), user) for value, user in enumerate((one, one, other))))
        assert gated.batches == [3]
        assert one.cpu_seconds == pytest.approx(2 * other.cpu_seconds)
        assert other.cpu_seconds > 0
        before, gated.error = one.cpu_seconds, Transient("gpu_out_of_memory", "The GPU has too little free memory.")
        with pytest.raises(Transient):
            await scorer.score(clip(1), one)
        assert one.cpu_seconds > before, "a batch that fails costs, too"


def test_scoring_is_charged_for_its_own_threads_only() -> None:
    begin, end, burning = threading.Event(), threading.Event(), threading.Event()

    def burn() -> None:
        begin.wait()
        while time.thread_time() < 0.3:
            pass
        burning.set()
        end.wait()

    other = threading.Thread(target=burn)
    other.start()
    clock, began = ForwardClock(), time.thread_time()
    begin.set()
    assert burning.wait(60)
    assert clock.seconds < 0.2
    while time.thread_time() - began < 0.2:
        torch.ones(256, 256) @ torch.ones(256, 256)
    assert clock.seconds >= 0.2
    end.set()
    other.join()


async def test_a_thread_that_the_machine_refuses_fails_only_the_clips_that_wait(gated: GatedDetector) -> None:
    """It starts with the first batch."""
    async with Scorer(gated) as scorer:
        with no_new_threads(), pytest.raises(RuntimeError, match="new thread"):
            await scorer.score(clip(1))
        gated.release(2)
        assert await scorer.score(clip(2)) == 2


async def test_close_releases_what_waits(gated: GatedDetector) -> None:
    scorer = await Scorer(gated, batch_windows=1).__aenter__()
    asked = [asyncio.create_task(scorer.score(clip(value))) for value in range(1, 6)]
    await entered(gated)
    closing = asyncio.create_task(scorer.close())
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(answer, Released) for answer in answers)
    gated.release()
    await closing
    with pytest.raises(Released):
        await scorer.score(clip(1))


async def test_a_clip_of_another_shape_is_refused_at_once(gated: GatedDetector) -> None:
    async with Scorer(gated) as scorer:
        with pytest.raises(ValueError, match="a clip of"):
            await scorer.score(Clip(Window(0, 1), np.zeros((FRAMES, 3, 8, 8), np.uint8)))
