"""A file as the worker reads it, through a confined child."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from sentinel_worker.domain.derived import Still
from sentinel_worker.domain.errors import CodedError
from sentinel_worker.domain.media_facts import Clip, ClipGeometry, MediaLimits, SoundGeometry
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.child_client import Child
from sentinel_worker.media.protocol import ProbedFacts
from sentinel_worker.media.zygote import Zygote
from tests.integration.players.answers import PARTS, Answer, Small, loudest_hertz, small_picture

MOMENTS_OF_THE_UNKNOWN: Final = (0.0,)
_SHORT_SECONDS: Final = 1.0
"""A track below this is one window: rounding at its end would look like damage."""
_FRAMES: Final = 4
_RATE: Final = 16_000


@dataclass(frozen=True, slots=True)
class Analyzed:
    """The answer and the facts (None if the file was refused). `faults` says what could not be read after that."""

    answer: Answer
    facts: ProbedFacts | None = None
    faults: tuple[str, ...] = ()


async def analyze(zygote: Zygote, path: Path) -> Analyzed:
    """Ask for facts, for thumbnails, and for windows that cover all pictures and all sound."""
    try:
        async with zygote.open(path, path.parent, MediaLimits()) as child:
            return await _analyzed(child)
    except CodedError as error:
        return Analyzed(Answer(error=f"{error.code}: {error}"))


async def _analyzed(child: Child) -> Analyzed:
    facts = await child.probe()
    faults: list[str] = []
    shown: dict[float, Small] = {}
    hertz = None
    try:
        if facts.kind != "audio":
            shown = await _shown(child, facts)
            faults += await _damaged_pictures(child, facts)
        if facts.has_audio:
            hertz, damaged = await _heard(child, facts)
            faults += damaged
    except CodedError as error:
        faults.append(f"{error.code}: {error}")
    answer = Answer(
        frames=facts.frame_count if facts.kind != "audio" else 0,
        width=facts.width,
        height=facts.height,
        seconds=facts.duration_seconds if facts.kind != "audio" else 0.0,
        shown=shown,
        sound_seconds=facts.audio_seconds,
        hertz=hertz,
    )
    return Analyzed(answer, facts, tuple(faults))


def moments_of(facts: ProbedFacts | None) -> tuple[float, ...]:
    """Moments in the middle of the first picture, of one in the middle, and of the last."""
    if facts is None or not facts.frames_per_second:
        return MOMENTS_OF_THE_UNKNOWN
    half = 0.5 / facts.frames_per_second
    middle = facts.frame_count // 2 / facts.frames_per_second + half
    return tuple(sorted({half, min(middle, facts.duration_seconds / 2 + half), facts.duration_seconds - half}))


async def _shown(child: Child, facts: ProbedFacts) -> dict[float, Small]:
    moments = moments_of(facts)
    names = [f"moment-{number}.webp" for number in range(len(moments))]
    files = await child.derive([Still(moment) for moment in moments], names=names)
    return {moment: small_picture(file.read_bytes()) for moment, file in zip(moments, files, strict=True)}


def _windows(seconds: float) -> list[Window]:
    parts = 1 if seconds < _SHORT_SECONDS else PARTS
    edges = np.linspace(0.0, max(seconds, 0.04), parts + 1).tolist()
    return [Window(start, end) for start, end in pairwise(edges)]


async def _damaged_pictures(child: Child, facts: ProbedFacts) -> list[str]:
    windows = _windows(facts.duration_seconds)
    geometry = ClipGeometry(_FRAMES, windows[0].duration_seconds / _FRAMES, "squash", 16, 16, 16, 16)
    clips = [clip async for clip in child.clips(windows, geometry) if isinstance(clip, Clip)]
    missing = len(windows) - len(clips)
    faults = [f"{missing} of {len(windows)} windows of pictures are damaged"] if missing else []
    return [*faults, *([f"{child.unreadable_frames} frames are damaged"] if child.unreadable_frames else [])]


async def _heard(child: Child, facts: ProbedFacts) -> tuple[float | None, list[str]]:
    windows = _windows(facts.audio_seconds)
    geometry = SoundGeometry(round(windows[0].duration_seconds * _RATE), silence_dbfs=-200.0)
    clips = [clip async for clip in child.sounds(windows, geometry)]
    pitches = [loudest_hertz(clip.values.astype(np.float32), _RATE) for clip in clips if isinstance(clip, Clip)]
    missing = len(windows) - len(clips)
    faults = [f"{missing} of {len(windows)} windows of sound are damaged"] if missing else []
    return next((pitch for pitch in pitches if pitch is not None), None), faults
