"""Length of a sound track by its samples, which players play one after the other whatever its time stamps say.

Runs in a decoding child.
"""

from __future__ import annotations

from typing import Final

from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.sound.decoding import SoundPass

_LITTLE_SECONDS: Final = 1.0
# Packets that cannot be decoded do not play. If they are many, windows are planned on a time that is not there.
_LOST_SHARE: Final = 0.1
# By less, a window that overhangs the track begins earlier and is whole.
_AGREED_SECONDS: Final = 0.1
# The first packets hold what encoders put in front, and decoders may keep the sound of some back.
_FIRST_PACKETS: Final = 8
_TRIED_PACKETS: Final = 64


def unheard_seconds(decoded: SoundPass, planned_seconds: float) -> float:
    """Seconds of a track, decoded to its end, that windows within the planned length say nothing about.

    They lie behind that length, or could not be decoded. Little of either is 0.
    """
    behind, lost = decoded.seconds - planned_seconds, decoded.lost_seconds
    unheard = behind if behind > _LITTLE_SECONDS else 0.0
    if lost > max(_LITTLE_SECONDS, _LOST_SHARE * decoded.seconds):
        unheard += lost
    return unheard


def playing_seconds(sound: SoundPass, packets: int, stamped_seconds: float, limits: MediaLimits) -> float:
    """Return how long a track of so many packets plays; 0 if it holds no sound.

    The length by the time stamps is exact enough if the samples of the first packets agree with it. If they do not (the
    stamps lie, the recorder paused, frames differ in length), everything is decoded and counted, but not much beyond
    the limit.
    """
    first: tuple[int, float] | None = None
    is_tried = False
    for _ in sound.frames():
        if first is None and sound.packets >= _FIRST_PACKETS:
            first = sound.packets, sound.seconds
        elif first is not None and not is_tried and sound.packets >= first[0] + _TRIED_PACKETS:
            is_tried = True
            mean = (sound.seconds - first[1]) / (sound.packets - first[0])
            reckoned = sound.seconds + mean * (packets - sound.packets)
            if abs(reckoned - stamped_seconds) <= _AGREED_SECONDS + mean:  # the last packet may be a short one
                return stamped_seconds
        if sound.seconds > 2 * limits.max_duration_seconds:
            break
    return sound.seconds if sound.has_sound else 0.0
