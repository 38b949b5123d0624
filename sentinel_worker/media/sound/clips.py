"""Decoding of a sound track's windows into mono samples, all in one pass over the track.

Runs in a decoding child.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import Clip, Heard, SoundGeometry
from sentinel_worker.domain.windows import Window
from sentinel_worker.media.decode import DecodedClip, SkippedWindow
from sentinel_worker.media.opened_media import OpenedMedia
from sentinel_worker.media.protocol import ProtocolError
from sentinel_worker.media.sound.decoding import SoundPass, damaged_sound
from sentinel_worker.media.sound.lengths import unheard_seconds
from sentinel_worker.media.sound.mixing import Samples, level_decibels
from sentinel_worker.media.sound.windows import CutWindow, cut_windows

_MILLISECONDS: Final = 1000


@dataclass(frozen=True, slots=True)
class Unheard:
    """Sound that no window could show: it plays behind the length in the facts, or much of it cannot be decoded."""

    seconds: float


def decode_sounds(
    media: OpenedMedia, windows: Sequence[Window], geometry: SoundGeometry
) -> Iterator[DecodedClip | SkippedWindow | Unheard]:
    """Yield the samples of every window, by their starts, and at the end how much sound no window could show, if any.

    Silence is skipped; a damaged window gives nothing. Raises `Permanent('media_unreadable')` if all are damaged, and
    `Permanent('media_not_supported')` for a sound that no decoder here reads.
    """
    if media.sound is None and media.facts.has_audio:
        raise Permanent("media_not_supported", f"The sound ({media.facts.audio_codec}) cannot be decoded.")
    if media.sound is None:
        raise ProtocolError("a file without sound was asked for sound")
    usable = False
    with SoundPass(media.sound.file, media.sound.stream, media.facts.audio_codec) as sound:
        frames = sound.frames()
        for cut in cut_windows(frames, windows, geometry):
            if cut.is_damaged:
                continue
            usable = True
            # Floating point files may exceed full scale, and the channels of a mix add up.
            samples: Samples = np.nan_to_num(cut.samples).clip(-1.0, 1.0)
            if level_decibels(samples) < geometry.silence_dbfs:
                yield SkippedWindow(cut.index, "silence")
            else:
                clip = Clip(windows[cut.index], np.resize(samples, geometry.samples), heard=_heard(cut, geometry))
                yield DecodedClip(cut.index, clip, 0)
        if windows and not usable:
            raise damaged_sound()
        deque(frames, maxlen=0)  # only by decoding all is it known how long the rest plays
        if unheard := unheard_seconds(sound, media.facts.audio_seconds):
            yield Unheard(unheard)


def _heard(cut: CutWindow, geometry: SoundGeometry) -> Heard | None:
    """Say how the clip differs from all channels of a full window; None if it does not."""
    seconds = None
    if cut.heard < geometry.samples:
        seconds = cut.heard * _MILLISECONDS // geometry.sample_rate / _MILLISECONDS
    return None if seconds is None and cut.channel is None else Heard(seconds, cut.channel)
