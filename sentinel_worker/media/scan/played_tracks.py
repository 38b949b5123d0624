"""The order in which players choose between several tracks of a kind. Tests compare it with Chromium's choice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from av.audio.stream import AudioStream
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

_OF_BROWSERS: Final = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "aac", "mp3", "opus", "vorbis", "flac"})
_SAMPLES: Final = "pcm_"

Track = TypeVar("Track", VideoStream, AudioStream)


def by_choice(tracks: Iterable[Track], demuxer: str) -> list[Track]:
    """Sort tracks of pictures or of sound, the one that browsers play first.

    It is the first in the file whose codec browsers decode. Only MP4 and QuickTime can disable a track (FFmpeg calls
    the enabled ones default); Matroska's default flags are ignored.
    """
    return sorted(tracks, key=lambda track: (demuxer == "mov" and not _is_default(track), not _is_decoded(track)))


def _is_default(track: Stream) -> bool:
    return bool(track.disposition & Disposition.default)


def _is_decoded(track: VideoStream | AudioStream) -> bool:
    if track.codec_context is None:
        return False
    name = track.codec_context.codec.canonical_name
    return name in _OF_BROWSERS or name.startswith(_SAMPLES)
