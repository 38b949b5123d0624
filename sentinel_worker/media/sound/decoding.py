"""One pass over a file's sound track: every packet, in order, through one decoder that never seeks.

FFmpeg's command and browsers step over packets that cannot be decoded, and so does this. Runs in a decoding child.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.passing_faults import out_of_memory
from sentinel_worker.media.scan.media_file import MediaFile
from sentinel_worker.media.scan.packets import read_packets
from sentinel_worker.media.sound.clock import SoundClock


@dataclass(frozen=True, slots=True)
class Stretch:
    """Sound of one format and without a gap, `start_seconds` after the first sample of the track.

    The `pause_seconds` before it are silence: nothing was recorded there. Anything else that is missing before it could
    not be decoded. `layout` and `sample_format` are FFmpeg's names.
    """

    start_seconds: float
    pause_seconds: float
    rate: int
    channels: int
    layout: str
    sample_format: str


def damaged_sound() -> Permanent:
    """Return the error for sound of which nothing could be decoded."""
    return Permanent("media_unreadable", "The file's sound is damaged and cannot be decoded.")


def decoded_frames(file: MediaFile, stream: int, codec: str | None) -> Generator[tuple[Stretch, AudioFrame]]:
    """Yield every frame of a sound track, with the stretch that it continues or begins.

    `codec` names the codec for people. Raises
    `Permanent('media_unreadable')` if the file cannot be opened, `Permanent('media_not_supported')` for a codec without
    a decoder.
    """
    try:
        container = file.open()
    except av.FFmpegError as error:
        if out_of_memory(error):
            raise
        raise damaged_sound() from error
    with container:
        track = _only(container, stream)
        if track.codec_context is None:
            raise Permanent("media_not_supported", f"The sound's codec ({codec or 'unknown'}) is not supported.")
        track.codec_context.thread_count = 1
        places = _Places(SoundClock(file.demuxer), float(track.time_base or 0))
        for packet in _packets(container, track):
            try:
                frames = track.codec_context.decode(packet)
            except av.FFmpegError as error:
                if out_of_memory(error):
                    raise
                places.step_over(packet)
                continue
            for frame in frames:
                if frame.samples > 0 and frame.sample_rate > 0:
                    yield places.place(frame), frame


def _only(container: InputContainer, stream: int) -> AudioStream:
    """Return the stream with this index, and let the demuxer drop the packets of all others."""
    chosen = container.streams[stream] if stream < len(container.streams) else None
    if not isinstance(chosen, AudioStream):
        raise damaged_sound()
    for other in container.streams:
        if other.index != stream:
            other.discard = Discard.all
    return chosen


def _packets(container: InputContainer, track: AudioStream) -> Iterator[Packet[Any] | None]:
    """Yield the packets in file order, then None, for which the decoder gives what it held back."""
    # To the decoder a packet without bytes is the end.
    yield from (packet for packet in read_packets(container, track.index) if packet.size > 0)
    yield None


class _Places:
    """Places frames on the track's own clock."""

    def __init__(self, clock: SoundClock, unit_seconds: float) -> None:
        self._clock = clock
        self._unit_seconds = unit_seconds
        self._stretch: Stretch | None = None
        self._format: tuple[int, str, str] | None = None
        self._frame_seconds = 0.0

    def place(self, frame: AudioFrame) -> Stretch:
        """Return the stretch that the next frame belongs to."""
        pause = self._clock.pause_before(None if frame.pts is None else frame.pts * self._unit_seconds)
        found = (frame.sample_rate, frame.layout.name, frame.format.name)
        if self._stretch is None or pause or found != self._format:
            rate, layout, sample_format = self._format = found
            channels = frame.layout.nb_channels
            self._stretch = Stretch(self._clock.seconds, pause, rate, channels, layout, sample_format)
        self._frame_seconds = frame.samples / frame.sample_rate
        self._clock.advance(self._frame_seconds)
        return self._stretch

    def step_over(self, packet: Packet[Any] | None) -> None:
        """Leave room for a packet that cannot be decoded."""
        if packet is not None:
            self._clock.advance((packet.duration or 0) * self._unit_seconds or self._frame_seconds)
            self._stretch = None
