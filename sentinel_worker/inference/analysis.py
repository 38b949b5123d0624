"""Analysis of one file: windows are decoded in the child, scored in batches, judged. Knows no database and no lease."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from sentinel_worker.domain.compute import Compute
from sentinel_worker.domain.error_codes import Trait, with_trait
from sentinel_worker.domain.errors import CodedError, Fatal, SentinelError
from sentinel_worker.domain.fusion import Overall, fuse
from sentinel_worker.domain.media_facts import Clip, ClipGeometry, Skipped, SoundGeometry
from sentinel_worker.domain.windows import COVERAGE, CoverageRule, Window
from sentinel_worker.inference.roster import Choice, Unheard
from sentinel_worker.inference.scorer import Scorer
from sentinel_worker.inference.track_scoring import ScoringProgress, Track, TrackAnalysis, TrackScoring
from sentinel_worker.media.child_client import Child
from sentinel_worker.media.protocol import ProbedFacts

FAULTS_OF_SOUND = with_trait(Trait.OF_SOUND)
"""Codes of errors that concern only a video's sound."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """The answer about a file.

    `unheard` is the reason why no detector was chosen for the sound, `sound_error` the code of the error that prevented
    judging a video's sound.
    """

    facts: ProbedFacts
    overall: Overall
    pictures: TrackAnalysis | None = None
    sound: TrackAnalysis | None = None
    instead_of: str | None = None
    unheard: Unheard | None = None
    sound_error: str | None = None
    unreadable_frames: int = 0

    @property
    def main(self) -> TrackAnalysis:
        """The track that the verdict is mainly about: the pictures if they were scored, else the sound."""
        track = self.pictures or self.sound
        assert track is not None
        return track


async def examine(
    child: Child,
    facts: ProbedFacts,
    choice: Choice,
    coverage: CoverageRule = COVERAGE,
    on_progress: Callable[[float], None] = lambda _: None,
    compute: Compute | None = None,
) -> Analysis:
    """Score and judge the tracks of `choice`; `on_progress` gets fractions from 0 to 1, and `compute` the cost.

    Raises what the child and the detectors raise, and Permanent('media_unreadable') if nothing could be
    decoded. Sound is decoded last, so a video with damaged sound still gets a verdict about its pictures, but never
    `real`.
    """
    sound_error: str | None = None
    try:
        async with asyncio.TaskGroup() as group:
            progress = ScoringProgress(on_progress)
            shared = coverage, group, progress, compute
            pictures = _pictures(child, facts, choice.pictures, *shared) if choice.pictures else None
            sound = _sound(child, facts, choice.sound, *shared) if choice.sound else None
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
    judged_sound = sound.judged("The sound cannot be decoded.", child.unheard_seconds) if sound else None
    overall = fuse(
        judged_pictures.judgement if judged_pictures else None,
        judged_sound.judgement if judged_sound else None,
        unheard_seconds=facts.audio_seconds if sound_error else 0.0,
    )
    return Analysis(
        facts,
        overall,
        judged_pictures,
        judged_sound,
        choice.instead_of,
        choice.unheard,
        sound_error,
        child.unreadable_frames,
    )


def _pictures(
    child: Child,
    facts: ProbedFacts,
    scorer: Scorer,
    coverage: CoverageRule,
    group: asyncio.TaskGroup,
    progress: ScoringProgress,
    compute: Compute | None,
) -> TrackScoring:
    rate = facts.planning_rate
    geometry, faces = scorer.geometry(rate), scorer.spec.faces
    assert isinstance(geometry, ClipGeometry)
    track = Track(facts.duration_seconds, rate, facts.keyframe_seconds, facts.unread_seconds)

    def ask(windows: Sequence[Window]) -> AsyncGenerator[Clip | Skipped]:
        return child.clips(windows, geometry, faces)

    return TrackScoring(scorer, track, coverage, ask, group, progress, compute)


def _sound(
    child: Child,
    facts: ProbedFacts,
    scorer: Scorer,
    coverage: CoverageRule,
    group: asyncio.TaskGroup,
    progress: ScoringProgress,
    compute: Compute | None,
) -> TrackScoring:
    geometry = scorer.geometry(0.0)
    assert isinstance(geometry, SoundGeometry)
    track = Track(facts.audio_seconds, geometry.sample_rate, unread_seconds=facts.unread_seconds)

    def ask(windows: Sequence[Window]) -> AsyncGenerator[Clip | Skipped]:
        return child.sounds(windows, geometry)

    return TrackScoring(scorer, track, coverage, ask, group, progress, compute)


def _first(errors: BaseExceptionGroup[SentinelError]) -> SentinelError:
    """Return one error of a group, preferably a Fatal, because it concerns the whole worker."""
    fatal = errors.subgroup(Fatal)
    error: BaseException = fatal if fatal is not None else errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, SentinelError)
    return error
