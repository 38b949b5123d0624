"""Scoring of one track: its windows are planned, decoded in the child, scored as they arrive, and judged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from sentinel_worker.domain.compute import Compute
from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import Clip, Face, Heard, Skipped, SkipReason
from sentinel_worker.domain.verdict import Judgement, WindowScore, judge
from sentinel_worker.domain.windows import CoverageRule, Window, plan_windows, refine_windows
from sentinel_worker.inference.scorer import Scorer

CLIPS_AHEAD = 16
"""Clips of one track that may wait for their scores. Decoding pauses at this number, which bounds memory, and how many
clips of a long film another film of the same user may find waiting before its own."""


@dataclass(frozen=True, slots=True)
class TrackAnalysis:
    """One detector's judgement of the pictures or the sound."""

    scorer: Scorer
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Track:
    """The pictures or the sound of a file, as windows are planned on it.

    `rate` is in frames or samples a second. Decoding can begin at the sorted `keyframes`, in seconds. `unread_seconds`
    of the track play, but cannot be decoded.
    """

    duration_seconds: float
    rate: float
    keyframes: Sequence[float] = ()
    unread_seconds: float = 0.0


class ScoringProgress:
    """Share of the planned windows that have been scored or skipped."""

    def __init__(self, report: Callable[[float], None]) -> None:
        self._report = report
        self.planned = 0
        self._done: set[tuple[str, Window]] = set()
        self._shown = 0.0

    def done(self, key: str, window: Window) -> None:
        """Note that the detector `key` is done with a window."""
        self._done.add((key, window))
        # A closer look adds to the plan: progress must not go backward.
        self._shown = max(self._shown, min(1.0, len(self._done) / max(self.planned, 1)))
        self._report(self._shown)


class TrackScoring:
    """Scoring of one track: decoding and scoring overlap. `ask` decodes windows; tasks of `group` score the clips."""

    def __init__(
        self,
        scorer: Scorer,
        track: Track,
        coverage: CoverageRule,
        ask: Callable[[Sequence[Window]], AsyncGenerator[Clip | Skipped]],
        group: asyncio.TaskGroup,
        progress: ScoringProgress,
        compute: Compute | None = None,
    ) -> None:
        self._scorer = scorer
        self._track = track
        self._coverage = coverage
        self._ask = ask
        self._group = group
        self._progress = progress
        self._compute = compute
        self._policy = scorer.spec.window_policy
        self._windows = plan_windows(track.duration_seconds, track.rate, self._policy, track.keyframes, coverage)
        progress.planned += len(self._windows)
        self._skipped: dict[Window, SkipReason] = {}
        self._scores: dict[Window, list[tuple[Face | None, asyncio.Task[float]]]] = {}
        self._heard: dict[Window, Heard] = {}
        self._asked: list[Window] = []
        self._ahead = asyncio.Semaphore(CLIPS_AHEAD)

    async def decode(self) -> None:
        """Decode the planned windows; tasks of the group score each clip as it arrives."""
        await self._take(self._windows)

    async def look_closer(self) -> None:
        """Spend the windows that the policy reserved for refinement around the one that looks most fake so far."""
        if not self._policy.refine or not self._scores:
            return
        await asyncio.wait([task for scores in self._scores.values() for _, task in scores])
        worst = max(self._scores, key=lambda window: max(task.result() for _, task in self._scores[window]))
        place, track = self._windows.index(worst), self._track
        more = refine_windows(self._windows, place, track.duration_seconds, track.rate, self._policy)
        self._progress.planned += len(more)
        await self._take(more)

    def judged(self, unreadable: str, unheard_seconds: float = 0.0) -> TrackAnalysis:
        """Judge the track, once all tasks are done; raises Permanent('media_unreadable') if nothing was decoded.

        `unheard_seconds` of it turned out to be in no window that could be planned.
        """
        scores = [WindowScore(window, skipped=reason) for window, reason in self._skipped.items()]
        lost = [window for window in self._asked if window not in self._skipped and window not in self._scores]
        for window, found in self._scores.items():
            logits = tuple(task.result() for _, task in found)
            faces = tuple(face for face, _ in found if face is not None)
            scores.append(WindowScore(window, logits, faces, heard=self._heard.get(window)))
        if not scores:
            raise Permanent("media_unreadable", unreadable)
        scores += [WindowScore(window, skipped="damaged") for window in lost]
        judgement = judge(
            scores,
            self._track.duration_seconds,
            self._scorer.spec.rule,
            self._coverage,
            part_windows=self._policy.budget,
            unread_seconds=self._track.unread_seconds + unheard_seconds,
        )
        return TrackAnalysis(self._scorer, judgement)

    async def _take(self, windows: Sequence[Window]) -> None:
        if not windows:
            return
        self._asked += windows
        async with aclosing(self._ask(windows)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Skipped):
                    self._skipped[piece.window] = piece.reason
                    self._progress.done(self._scorer.spec.key, piece.window)
                else:
                    if piece.heard is not None:
                        self._heard[piece.window] = piece.heard
                    await self._ahead.acquire()
                    task = self._group.create_task(self._score(piece))
                    self._scores.setdefault(piece.window, []).append((piece.face, task))

    async def _score(self, clip: Clip) -> float:
        try:
            logit = await self._scorer.score(clip, self._compute)
        finally:
            self._ahead.release()
        self._progress.done(self._scorer.spec.key, clip.window)
        return logit
