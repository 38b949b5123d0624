"""Makes a preview: decodes the file as a detector gets it, and encodes it as H.264 and AAC in MP4.

Runs in a child of the profile `preview`. Pixels and samples are decoded and encoded again, so nothing else of an upload
reaches a viewer.
"""

from __future__ import annotations

from contextlib import ExitStack
from heapq import merge
from time import monotonic
from typing import Final

from sentinel_worker.domain.derived import PreviewLimits
from sentinel_worker.domain.errors import Permanent
from sentinel_worker.media.films.film import OpenedVideo
from sentinel_worker.media.opened_media import OpenedMedia
from sentinel_worker.media.previews.film_encoding import FilmTrack
from sentinel_worker.media.previews.mp4_file import Mp4File
from sentinel_worker.media.previews.sound_encoding import BITS_PER_SECOND, SoundTrack
from sentinel_worker.media.sound.decoding import SoundPass

# The rest is for the index, and for what the encoders and the muxer hold back.
_CONTENT_SHARE: Final = 0.85


def make_preview(media: OpenedMedia, limits: PreviewLimits) -> memoryview:
    """Return an MP4 of the file, or of its beginning as far as `limits` allow.

    Raises `Permanent('media_unreadable')` if neither a frame nor a sample can be decoded.
    """
    deadline, most_bytes = monotonic() + limits.work_seconds, _CONTENT_SHARE * limits.max_bytes
    file = Mp4File()
    with ExitStack() as opened:
        found = (_film(media, limits, file), _sound(media, limits, file, opened))
        tracks = [track for track in found if track is not None]
        if not tracks:
            raise Permanent("media_unreadable", "Neither the file's pictures nor its sound can be decoded.")
        for _, packets in merge(*(track.packets() for track in tracks), key=lambda timed: timed[0]):
            file.add(packets)
            if monotonic() > deadline or file.size_bytes > most_bytes:
                break
        for track in tracks:
            file.add(track.rest())
    return file.finish()


def _film(media: OpenedMedia, limits: PreviewLimits, file: Mp4File) -> FilmTrack | None:
    if not media.facts.has_video:
        return None
    seconds = min(media.facts.duration_seconds, limits.film_seconds)
    bits = 8 * _CONTENT_SHARE * limits.max_bytes / max(seconds, 1.0)
    return FilmTrack.added(file.container, media, seconds, bits - BITS_PER_SECOND)


def _sound(media: OpenedMedia, limits: PreviewLimits, file: Mp4File, opened: ExitStack) -> SoundTrack | None:
    """Add the sound if there is any that can be decoded; without it, the pictures play in silence."""
    track = media.sound
    if track is None:
        return None
    try:
        sound = opened.enter_context(SoundPass(track.file, track.stream, media.facts.audio_codec))
    except Permanent:
        return None
    begin = media.film.times.begin_seconds if isinstance(media, OpenedVideo) else None
    return SoundTrack.added(file.container, sound, begin, limits.film_seconds)
