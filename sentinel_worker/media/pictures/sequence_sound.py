"""Sound beside an image sequence: an animated AVIF may have a track of it, like a film."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.opened_media import SoundTrack
from sentinel_worker.media.packets import open_container
from sentinel_worker.media.protocol import ProbedFacts
from sentinel_worker.media.refused_files import out_of_memory, too_long


def add_sound(path: Path, facts: ProbedFacts, limits: MediaLimits) -> tuple[ProbedFacts, SoundTrack | None]:
    """Add the file's first sound track to the facts; without one, or with one that is damaged, leave them."""
    try:
        with open_container(path, "mov") as opened:
            for stream in opened.streams.audio:
                begin, end = _span(opened, stream)
                decoder = stream.codec_context
                if decoder is None or decoder.sample_rate <= 0 or end <= begin:
                    continue
                if end - begin > limits.max_duration_seconds:
                    raise too_long("sound", end - begin, limits)
                found = replace(
                    facts,
                    has_audio=True,
                    audio_codec=decoder.codec.canonical_name,
                    audio_seconds=end - begin,
                    sample_rate=decoder.sample_rate,
                    channels=decoder.channels,
                )
                return found, SoundTrack(stream.index, begin)
    except av.FFmpegError as error:
        if out_of_memory(error):
            raise
    return facts, None


def _span(opened: InputContainer, stream: AudioStream) -> tuple[float, float]:
    """Times of the track's first and last sample."""
    begin, end = float("inf"), float("-inf")
    for packet in opened.demux(stream):
        if packet.pts is not None and packet.time_base is not None:
            begin = min(begin, float(packet.pts * packet.time_base))
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return begin, end
