"""The thread that runs the detectors of a device, and the clips that wait for it: users take turns."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import torch

from sentinel_worker.concurrency.turns import Turns, User
from sentinel_worker.detectors.registry import DetectorSpec
from sentinel_worker.domain.compute import Compute
from sentinel_worker.domain.errors import Permanent, Released
from sentinel_worker.domain.media_facts import Clip, ClipGeometry, SoundGeometry
from sentinel_worker.observe.cpu_clocks import ForwardClock

GATHER_SECONDS = 0.004


class Detector(Protocol):
    """Interface that scoring needs; the classes of `detectors` implement it."""

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
    detector: Detector
    clip: Clip
    compute: Compute
    logit: asyncio.Future[float]


class ScoringThread:
    """Scores the clips of all detectors of a device in batches. Use it as `async with ScoringThread() as thread`.

    The user whose last clip was scored longest ago goes first, and chooses the batch's detector; other users' clips for
    it fill the batch in turn. So a clip waits for at most one batch beside a user with many clips. A batch begins when
    it has `batch_windows` clips, or `gather_seconds` after the first one, and not before the last batch has ended.
    """

    def __init__(self, *, batch_windows: int = 8, gather_seconds: float = GATHER_SECONDS) -> None:
        self._batch_windows = batch_windows
        self._gather_seconds = gather_seconds
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="score")
        self._waiting: dict[User, deque[_Waiting]] = {}
        self._turns = Turns()
        self._added = asyncio.Event()
        self._batch: list[_Waiting] = []
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        self._runner = asyncio.create_task(self._run(), name="scoring")
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
        for waiting in (*self._batch, *(one for queue in self._waiting.values() for one in queue)):
            if not waiting.logit.done():
                waiting.logit.set_exception(Released("The worker stops."))
        self._batch = []
        self._waiting.clear()
        await asyncio.to_thread(self._executor.shutdown)

    async def score(self, detector: Detector, clip: Clip, compute: Compute) -> float:
        """Return the log-odds that `clip` is fake; `compute` names its user, and gets the clip's share of CPU seconds.

        Raises what the detector raises, `Permanent('score_not_finite')` for a score that is not finite, and `Released`
        after `close`.
        """
        if self._closed:
            raise Released("The worker stops.")
        waiting = _Waiting(detector, clip, compute, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(compute.user, deque()).append(waiting)
        self._added.set()
        try:
            return await waiting.logit
        finally:
            self._forget(waiting)

    def _forget(self, waiting: _Waiting) -> None:
        """Drop a clip that still waits though its caller has left."""
        user = waiting.compute.user
        queue = self._waiting.get(user, deque())
        if waiting in queue:
            queue.remove(waiting)
        if not queue:
            self._waiting.pop(user, None)

    async def _run(self) -> None:
        while True:
            await self._gather()
            self._batch = self._take_batch()
            if self._batch:
                await self._score_batch(self._batch)
            self._batch = []

    async def _gather(self) -> None:
        """Wait for a clip, then at most `gather_seconds` for a full batch."""
        while not self._waiting:
            await self._another()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._gather_seconds):
                while not self._enough():
                    await self._another()

    async def _another(self) -> None:
        self._added.clear()
        await self._added.wait()

    def _enough(self) -> bool:
        """Return True if the detector that goes next has clips for a full batch."""
        leader = self._next(None)
        clips = (one for queue in self._waiting.values() for one in queue)
        return leader is not None and sum(one.detector is leader.detector for one in clips) >= self._batch_windows

    def _take_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while len(batch) < self._batch_windows and (one := self._next(batch[0].detector if batch else None)):
            self._forget(one)
            self._turns.note(one.compute.user)
            batch.append(one)
        return batch

    def _next(self, detector: Detector | None) -> _Waiting | None:
        """Return the oldest clip (for `detector`, if that is set) of the user whose turn it is."""
        first_of_each: dict[User, _Waiting] = {}
        for user, queue in self._waiting.items():
            wanted = (one for one in queue if not one.logit.done() and detector in (None, one.detector))
            if (first := next(wanted, None)) is not None:
                first_of_each[user] = first
        return first_of_each[self._turns.first(first_of_each)] if first_of_each else None

    async def _score_batch(self, batch: Sequence[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        clips, spent = [waiting.clip for waiting in batch], [0.0]
        logits = [math.nan] * len(batch)
        error: BaseException | None = None
        try:
            answer = loop.run_in_executor(self._executor, _score, batch[0].detector, clips, spent)
        except RuntimeError as refused:  # the machine refuses the thread
            error = refused
        else:
            await asyncio.wait([answer])
            error = answer.exception()
            logits = logits if error is not None else answer.result()
        for waiting, logit in zip(batch, logits, strict=True):
            waiting.compute.add(spent[-1] / len(batch))
            if not waiting.logit.done():
                _answer(waiting.logit, logit, error)


def _score(detector: Detector, clips: Sequence[Clip], spent: list[float]) -> list[float]:
    """Return the clips' logits; appends the batch's CPU seconds to `spent`, also after an error."""
    clock = ForwardClock()
    try:
        scored: list[float] = detector.score(torch.from_numpy(np.stack([clip.values for clip in clips]))).tolist()
    finally:
        spent.append(clock.seconds)
    return scored


def _answer(future: asyncio.Future[float], logit: float, error: BaseException | None) -> None:
    if error is not None:
        future.set_exception(error)
    elif math.isfinite(logit):
        future.set_result(logit)
    else:
        future.set_exception(Permanent("score_not_finite", "The detector gave no usable answer for this file."))
