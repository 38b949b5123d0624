"""Analysis of one file: windows are decoded in the child, scored in batches, judged. Knows no database and no lease."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import structlog

from sentinel_worker.domain.error_codes import Trait, with_trait
from sentinel_worker.domain.errors import CodedError, Fatal, Permanent, SentinelError
from sentinel_worker.domain.media_facts import Clip, ClipGeometry, Face, Heard, Skipped, SkipReason, SoundGeometry
from sentinel_worker.domain.verdict import Judgement, Overall, WindowScore, fuse, judge
from sentinel_worker.domain.windows import Window, plan_windows, refine_windows
from sentinel_worker.inference.batching import Scorer
from sentinel_worker.inference.roster import Choice
from sentinel_worker.media.child_client import Child
from sentinel_worker.media.protocol import ProbedFacts
from sentinel_worker.observe import logs

STILL_RATE = 1.0
"""Frame rate for planning a still picture: one window, from 0 to 1."""
CLIPS_AHEAD = 16
"""Clips of one track that may wait for their scores. Decoding pauses at this number, which bounds memory."""
FAULTS_OF_SOUND = with_trait(Trait.OF_SOUND)
"""Codes of errors that concern only a video's sound."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TrackAnalysis:
    """One detector's judgement of the pictures or the sound."""

    scorer: Scorer
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Analysis:
    """The answer about a file. `sound_error` is the code of the error that prevented judging a video's sound."""

    facts: ProbedFacts
    overall: Overall
    pictures: TrackAnalysis | None = None
    sound: TrackAnalysis | None = None
    instead_of: str | None = None
    sound_error: str | None = None
    unreadable_frames: int = 0

    @property
    def main(self) -> TrackAnalysis:
        """The track that the verdict is mainly about: the pictures if they were scored, else the sound."""
        track = self.pictures or self.sound
        assert track is not None
        return track

    @property
    def moments(self) -> dict[str, float]:
        """Pictures to keep for people: seconds from the first frame, by name. Empty for a file with only sound."""
        if self.facts.kind == "audio":
            return {}
        moments = {"thumbnail": self.facts.duration_seconds / 2}
        worst = self.pictures.judgement.worst if self.pictures else None
        if worst is not None and self.facts.kind == "video":
            moments["worst_frame"] = (worst.window.start_seconds + worst.window.end_seconds) / 2
        return moments


async def examine(
    child: Child, facts: ProbedFacts, choice: Choice, on_progress: Callable[[float], None] = lambda _: None
) -> Analysis:
    """Score and judge the tracks of `choice`; `on_progress` gets fractions from 0 to 1.

    Raises what the child and the detectors raise, and Permanent('media_unreadable') if nothing could be
    decoded. Sound is decoded last, so a video with damaged sound still gets a verdict about its pictures.
    """
    sound_error: str | None = None
    try:
        async with asyncio.TaskGroup() as group:
            progress = _Progress(on_progress)
            pictures = _pictures(child, facts, choice.pictures, group, progress) if choice.pictures else None
            sound = _sound(child, facts, choice.sound, group, progress) if choice.sound else None
            if pictures is not None:
                await pictures.decode()
                await pictures.look_closer()
            if sound is not None:
                try:
                    await sound.decode()
                except CodedError as error:
                    if pictures is None or error.code not in FAULTS_OF_SOUND:
                        raise
                    sound, sound_error = None, error.code
    except BaseExceptionGroup as errors:
        # Not `except*`: Python before 3.11.4 wraps what it raises in another group, and Debian 12 has 3.11.2.
        foreseen, others = errors.split(SentinelError)
        if foreseen is None or others is not None:
            raise
        raise _first(foreseen) from None
    judged_pictures = pictures.judged("The pictures cannot be decoded.") if pictures else None
    judged_sound = sound.judged("The sound cannot be decoded.") if sound else None
    overall = fuse(
        judged_pictures.judgement if judged_pictures else None, judged_sound.judgement if judged_sound else None
    )
    return Analysis(
        facts, overall, judged_pictures, judged_sound, choice.instead_of, sound_error, child.unreadable_frames
    )


async def derive(child: Child, analysis: Analysis) -> dict[str, Path]:
    """Make the pictures for people; returns their files in the child's folder, by name.

    A picture that cannot be made is left out: a missing thumbnail does not cost the verdict.
    """
    made: dict[str, Path] = {}
    for name, seconds in analysis.moments.items():
        try:
            (made[name],) = await child.derive(at_seconds=[seconds], names=[f"{name}.jpg"])
        except Fatal:
            raise
        except CodedError as error:
            log.warning(logs.NOT_DERIVED, name=name, error_code=error.code, error=error.message)
    return made


def _pictures(
    child: Child, facts: ProbedFacts, scorer: Scorer, group: asyncio.TaskGroup, progress: _Progress
) -> _Scoring:
    rate = facts.frames_per_second or STILL_RATE
    geometry, faces = scorer.geometry(rate), scorer.spec.faces
    assert isinstance(geometry, ClipGeometry)
    return _Scoring(
        scorer,
        facts.duration_seconds,
        rate,
        lambda windows: child.clips(windows, geometry, faces),
        group,
        progress,
        keyframes=facts.keyframe_seconds,
    )


def _sound(child: Child, facts: ProbedFacts, scorer: Scorer, group: asyncio.TaskGroup, progress: _Progress) -> _Scoring:
    geometry = scorer.geometry(0.0)
    assert isinstance(geometry, SoundGeometry)
    return _Scoring(
        scorer,
        facts.audio_seconds,
        geometry.sample_rate,
        lambda windows: child.sounds(windows, geometry),
        group,
        progress,
    )


class _Progress:
    """Share of the planned windows that have been scored or skipped."""

    def __init__(self, report: Callable[[float], None]) -> None:
        self._report = report
        self.planned = 0
        self._done: set[tuple[str, Window]] = set()
        self._shown = 0.0

    def done(self, key: str, window: Window) -> None:
        self._done.add((key, window))
        # A closer look adds to the plan: progress must not go backward.
        self._shown = max(self._shown, min(1.0, len(self._done) / max(self.planned, 1)))
        self._report(self._shown)


class _Scoring:
    """Scoring of one track: decoding and scoring overlap."""

    def __init__(
        self,
        scorer: Scorer,
        duration_seconds: float,
        rate: float,
        ask: Callable[[Sequence[Window]], AsyncGenerator[Clip | Skipped]],
        group: asyncio.TaskGroup,
        progress: _Progress,
        keyframes: Sequence[float] = (),
    ) -> None:
        self._scorer = scorer
        self._duration_seconds = duration_seconds
        self._rate = rate
        self._ask = ask
        self._group = group
        self._progress = progress
        self._windows = plan_windows(duration_seconds, rate, scorer.spec.window_policy, keyframes)
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
        if not self._scorer.spec.window_policy.refine or not self._scores:
            return
        await asyncio.wait([task for scores in self._scores.values() for _, task in scores])
        worst = max(self._scores, key=lambda window: max(task.result() for _, task in self._scores[window]))
        more = refine_windows(
            self._windows,
            self._windows.index(worst),
            self._duration_seconds,
            self._rate,
            self._scorer.spec.window_policy,
        )
        self._progress.planned += len(more)
        await self._take(more)

    def judged(self, unreadable: str) -> TrackAnalysis:
        """Judge the track, once all tasks are done; raises Permanent('media_unreadable') if nothing was decoded."""
        scores = [WindowScore(window, skipped=reason) for window, reason in self._skipped.items()]
        lost = [window for window in self._asked if window not in self._skipped and window not in self._scores]
        for window, found in self._scores.items():
            logits = tuple(task.result() for _, task in found)
            faces = tuple(face for face, _ in found if face is not None)
            scores.append(WindowScore(window, logits, faces, heard=self._heard.get(window)))
        if not scores:
            raise Permanent("media_unreadable", unreadable)
        scores += [WindowScore(window, skipped="damaged") for window in lost]
        return TrackAnalysis(self._scorer, judge(scores, self._duration_seconds, self._scorer.spec.rule))

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
            logit = await self._scorer.score(clip)
        finally:
            self._ahead.release()
        self._progress.done(self._scorer.spec.key, clip.window)
        return logit


def _first(errors: BaseExceptionGroup[SentinelError]) -> SentinelError:
    """Return one error of a group, preferably a Fatal, because it concerns the whole worker."""
    fatal = errors.subgroup(Fatal)
    error: BaseException = fatal if fatal is not None else errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, SentinelError)
    return error
