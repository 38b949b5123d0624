"""Own time of a sound track: samples follow each other from 0 on, and time stamps only show where some are missing.

Pure: no file is opened here.
"""

from __future__ import annotations

import math
from typing import Final

from sentinel_worker.media.scan.timeline import JUMP_SECONDS, MAY_JUMP

STAMPED: Final = frozenset({"mov", "matroska", "mpegts", "mpeg", "flv", "asf", "ogg"})
"""Demuxers that read time stamps from the file. The others count bytes or frames, so no stamp of theirs shows a gap."""

# FFmpeg's resampler moves sound by the same distance or not at all.
_JITTER_SECONDS: Final = 0.1


class SoundClock:
    """Place of the next sample of a track, in seconds from its first.

    Stamps may be rounded, jitter, stand still, begin anew, or be missing. One that is ahead of the samples by more than
    a tenth of a second means a pause; one that is behind means nothing, because no two samples sound at once.
    """

    def __init__(self, demuxer: str) -> None:
        self._believes_stamps = demuxer in STAMPED
        self._is_broadcast = demuxer in MAY_JUMP
        self._origin = self._latest = math.nan
        self.seconds = 0.0

    def pause_before(self, stamp: float | None) -> float:
        """Return the seconds of silence before a frame with this stamp (seconds, any origin), and pass over them."""
        if stamp is None or not self._believes_stamps:
            return 0.0
        ahead = stamp - self._origin - self.seconds
        begins_anew = stamp < self._latest - _JITTER_SECONDS or (self._is_broadcast and ahead > JUMP_SECONDS)
        self._latest = stamp
        if math.isnan(self._origin) or begins_anew:
            self._origin = stamp - self.seconds
        elif ahead > _JITTER_SECONDS:
            self.seconds += ahead
            return ahead
        return 0.0

    def advance(self, seconds: float) -> None:
        """Pass over the samples of a frame, or over a packet that could not be decoded."""
        self.seconds += seconds
