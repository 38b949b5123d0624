"""The sound track that players play, and its facts."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace

import numpy as np
from av.container import InputContainer

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.opened_media import SoundTrack
from sentinel_worker.media.protocol import ProbedFacts
from sentinel_worker.media.refused_files import check_duration
from sentinel_worker.media.scan.media_file import MediaFile
from sentinel_worker.media.scan.played_tracks import by_choice
from sentinel_worker.media.scan.timeline import MAX_SECONDS, MAY_JUMP, MISSING, Packets, timeline_of
from sentinel_worker.media.sound.decoding import SoundPass
from sentinel_worker.media.sound.lengths import playing_seconds


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
        codec = decoder.codec.canonical_name
        seconds = _seconds(file, stream.index, codec, packets, limits)
        if not 0 < seconds < MAX_SECONDS:
            continue
        check_duration("sound", seconds, limits)
        track = SoundTrack(file, stream.index)
        return FoundSound(track, seconds, codec, decoder.sample_rate, decoder.channels, len(streams))
    return None


def unusable_sound(opened: InputContainer, table: Mapping[int, Packets], unknown: Mapping[int, str]) -> str | None:
    """Codec of a sound that a file without usable sound has all the same; None if it has no sound."""
    for stream in opened.streams.audio:
        packets, decoder = table.get(stream.index), stream.codec_context
        if packets is not None and not packets.hidden.all():
            return unknown.get(stream.id) or (decoder.codec.canonical_name if decoder is not None else "unknown")
    return None


def _seconds(file: MediaFile, stream: int, codec: str, packets: Packets, limits: MediaLimits) -> float:
    """Length of the track by its samples; by its time stamps if nothing can be decoded, so that this is found later."""
    stamped = timeline_of(_without_repeats(packets), may_jump=file.demuxer in MAY_JUMP).duration_seconds
    try:
        with SoundPass(file, stream, codec) as sound:
            return playing_seconds(sound, len(packets), stamped, limits) or stamped
    except Permanent:
        return stamped


def _without_repeats(packets: Packets) -> Packets:
    """Clear timestamps that repeat the previous one: no two packets sound at once, so only the first has a time."""
    repeats = np.zeros(len(packets), dtype=np.bool_)
    repeats[1:] = packets.presentation[1:] == packets.presentation[:-1]
    return replace(packets, presentation=np.where(repeats, MISSING, packets.presentation))
