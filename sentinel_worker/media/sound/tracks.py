"""The sound track that players play, and its facts."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.opened_media import SoundTrack
from sentinel_worker.media.protocol import ProbedFacts
from sentinel_worker.media.refused_files import check_duration
from sentinel_worker.media.scan.media_file import MediaFile
from sentinel_worker.media.scan.played_tracks import by_choice
from sentinel_worker.media.scan.timeline import MAY_JUMP, MISSING, Packets, Timeline, timeline_of

_MAX_SECONDS: Final = 1e8
# A length below this share of what the frames amount to is false (AVI headers with a wrong rate).
_FALSE_LENGTH: Final = 0.5


@dataclass(frozen=True, slots=True)
class FoundSound:
    """The sound track that counts, and its facts."""

    track: SoundTrack
    seconds: float
    codec: str
    sample_rate: int
    channels: int
    tracks: int

    def add_to(self, facts: ProbedFacts) -> ProbedFacts:
        """Return `facts` with those of the sound."""
        return replace(
            facts,
            has_audio=True,
            audio_codec=self.codec,
            audio_seconds=self.seconds,
            sample_rate=self.sample_rate,
            channels=self.channels,
            audio_tracks=self.tracks,
        )


def find_sound(
    file: MediaFile,
    opened: InputContainer,
    table: Mapping[int, Packets],
    limits: MediaLimits,
    unknown: Container[int],
) -> FoundSound | None:
    """The sound that players choose (`played_tracks.by_choice`); None without usable sound.

    `unknown` are the ids of streams that FFmpeg takes for something that they are not.
    """
    streams = list(opened.streams.audio)
    for stream in by_choice(streams, file.demuxer):
        packets, decoder = table.get(stream.index), stream.codec_context
        if (
            packets is None
            or decoder is None
            or stream.id in unknown
            or packets.hidden.all()
            or decoder.sample_rate <= 0
        ):
            continue
        timeline = _timeline(stream, packets, may_jump=file.demuxer in MAY_JUMP)
        if not 0 < timeline.duration_seconds < _MAX_SECONDS or abs(timeline.begin_seconds) > _MAX_SECONDS:
            continue
        check_duration("sound", timeline.duration_seconds, limits)
        return FoundSound(
            SoundTrack(file, stream.index, timeline.begin_seconds),
            timeline.duration_seconds,
            decoder.codec.canonical_name,
            decoder.sample_rate,
            decoder.channels,
            len(streams),
        )
    return None


def _timeline(stream: AudioStream, packets: Packets, *, may_jump: bool) -> Timeline:
    """Times of the packets, from their frames' length where the container's times are far too short to be true."""
    timeline = timeline_of(_without_repeats(packets), may_jump=may_jump)
    decoder = stream.codec_context
    frame_seconds = (decoder.frame_size or 0) / decoder.sample_rate
    if timeline.duration_seconds >= _FALSE_LENGTH * frame_seconds * len(packets):
        return timeline
    unknown = np.full(len(packets), MISSING)
    lasting = np.full(len(packets), round(frame_seconds / packets.unit_seconds))
    return timeline_of(replace(packets, presentation=unknown, decoding=unknown, duration=lasting), may_jump=False)


def _without_repeats(packets: Packets) -> Packets:
    """Take the stamps away that repeat the one before: no two packets sound at once, so only the first has a time."""
    repeats = np.zeros(len(packets), dtype=np.bool_)
    repeats[1:] = packets.presentation[1:] == packets.presentation[:-1]
    return replace(packets, presentation=np.where(repeats, MISSING, packets.presentation))
