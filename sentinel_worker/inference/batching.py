"""Gathers clips of several requests into batches, and scores them on one thread."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import torch

from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.domain.errors import Permanent, Released
from sentinel_worker.domain.media_facts import Clip, ClipGeometry, SoundGeometry

GATHER_SECONDS = 0.004


class Detector(Protocol):
    """Interface that a scorer needs; the classes of `detectors` implement it."""

    spec: DetectorSpec

    @property
    def clip_shape(self) -> tuple[int, ...]: ...

    @property
    def clip_dtype(self) -> np.dtype[Any]: ...

    def geometry(self, frames_per_second: float) -> ClipGeometry | SoundGeometry: ...

    def score(self, clips: torch.Tensor) -> torch.Tensor: ...

    def describe(self) -> dict[str, object]: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    clip: Clip
    logit: asyncio.Future[float]


class Scorer:
    """One detector's batcher. Use it as `async with Scorer(detector) as scorer`.

    A batch is closed when it has `batch_windows` clips, or `gather_seconds` after its first one. While one
    batch is scored, the next one gathers; when the queue holds two batches, `score` waits. Detectors on the
    same device share a `thread`, which the caller shuts down.
    """

    def __init__(
        self,
        detector: Detector,
        *,
        batch_windows: int = 8,
        gather_seconds: float = GATHER_SECONDS,
        thread: ThreadPoolExecutor | None = None,
    ) -> None:
        self.detector = detector
        self._batch_windows = batch_windows
        self._gather_seconds = gather_seconds
        self._own_thread = thread is None
        self._thread = thread or ThreadPoolExecutor(1, thread_name_prefix=f"score-{detector.spec.key}")
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(2 * batch_windows)
        self._batch: list[_Waiting] = []
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def spec(self) -> DetectorSpec:
        return self.detector.spec

    def geometry(self, frames_per_second: float) -> ClipGeometry | SoundGeometry:
        """Return how to decode clips of a source with `frames_per_second` for this detector."""
        return self.detector.geometry(frames_per_second)

    def describe(self) -> dict[str, object]:
        """Return the description of the detector that every result records, as JSON values."""
        return self.detector.describe()

    async def __aenter__(self) -> Self:
        self._runner = asyncio.create_task(self._run(), name=f"scorer {self.spec.key}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop: clips that are not scored yet raise `Released`. Waits for the batch on the thread."""
        self._closed = True
        if self._runner is not None:
            self._runner.cancel()
            with suppress(asyncio.CancelledError):
                await self._runner
        self._release_waiting()
        if self._own_thread:
            await asyncio.to_thread(self._thread.shutdown)

    async def score(self, clip: Clip) -> float:
        """Return the log-odds that `clip` is fake.

        Raises what the detector raises, `Permanent('score_not_finite')` for a score that is not finite, `Released`
        after `close`, and ValueError for a clip of another shape.
        """
        wanted = (self.detector.clip_dtype, self.detector.clip_shape)
        if (clip.values.dtype, clip.values.shape) != wanted:
            raise ValueError(f"a clip of {clip.values.dtype} {clip.values.shape}, not {wanted}")
        if self._closed:
            raise Released("The worker stops.")
        waiting = _Waiting(clip, asyncio.get_running_loop().create_future())
        await self._queue.put(waiting)
        if self._closed:
            self._release_waiting()
        return await waiting.logit

    async def _run(self) -> None:
        while True:
            await self._gather()
            asked = [waiting for waiting in self._batch if not waiting.logit.done()]
            if asked:
                await self._score_batch(asked)
            self._batch.clear()

    async def _gather(self) -> None:
        """Fill `_batch`, where `close` finds the clips that were taken off the queue."""
        self._batch.append(await self._queue.get())
        with suppress(TimeoutError):
            async with asyncio.timeout(self._gather_seconds):
                while len(self._batch) < self._batch_windows:
                    self._batch.append(await self._queue.get())

    async def _score_batch(self, asked: Sequence[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        clips = [waiting.clip for waiting in asked]
        logits = [math.nan] * len(asked)
        error: BaseException | None = None
        try:
            answer = loop.run_in_executor(self._thread, _score, self.detector, clips)
        except RuntimeError as refused:  # the machine refuses the thread
            error = refused
        else:
            await asyncio.wait([answer])
            error = answer.exception()
            logits = logits if error is not None else answer.result()
        for waiting, logit in zip(asked, logits, strict=True):
            if not waiting.logit.done():
                _answer(waiting.logit, logit, error)

    def _release_waiting(self) -> None:
        while not self._queue.empty():
            self._batch.append(self._queue.get_nowait())
        for waiting in self._batch:
            if not waiting.logit.done():
                waiting.logit.set_exception(Released("The worker stops."))
        self._batch.clear()


def _score(detector: Detector, clips: Sequence[Clip]) -> list[float]:
    scored: list[float] = detector.score(torch.from_numpy(np.stack([clip.values for clip in clips]))).tolist()
    return scored


def _answer(future: asyncio.Future[float], logit: float, error: BaseException | None) -> None:
    if error is not None:
        future.set_exception(error)
    elif math.isfinite(logit):
        future.set_result(logit)
    else:
        future.set_exception(Permanent("score_not_finite", "The detector gave no usable answer for this file."))
