"""One pass over a file's sound track: every packet, in order, through one decoder that never seeks.

FFmpeg's command and browsers play the samples of a track one after the other, whatever its time stamps say, and step
over packets that cannot be decoded. So does this. Runs in a decoding child.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard

from sentinel_worker.domain.errors import Permanent
from sentinel_worker.domain.machine_errors import out_of_memory
from sentinel_worker.media.scan.media_file import MediaFile
from sentinel_worker.media.scan.packets import read_packets


@dataclass(frozen=True, slots=True)
class Stretch:
    """Sound of one format and without a hole, `start_seconds` after the first sample of the track.

    What is missing before it could not be decoded. `layout` and `sample_format` are FFmpeg's names.
    """

    start_seconds: float
    rate: int
    channels: int
    layout: str
    sample_format: str


def damaged_sound() -> Permanent:
    """Return the error for sound of which nothing could be decoded."""
    return Permanent("media_unreadable", "The file's sound is damaged and cannot be decoded.")


class SoundPass:
    """A sound track that is decoded once, from its start on; a context manager.

    `packets` of it went to the decoder so far, and `seconds` of sound came out. They include `lost_seconds`: a packet
    that could not be decoded counts as long as the one before it. `has_sound` is True from the first frame on.
    """

    def __init__(self, file: MediaFile, stream: int, codec: str | None) -> None:
        """Open the file; `codec` names the codec for people.

        Raises `Permanent('media_unreadable')` if it cannot be opened, `Permanent('media_not_supported')` for a codec
        without a decoder.
        """
        try:
            self._container = file.open()
        except av.FFmpegError as error:
            if out_of_memory(error):
                raise
            raise damaged_sound() from error
        try:
            self._track = _only(self._container, stream)
            if self._track.codec_context is None:
                raise Permanent("media_not_supported", f"The sound's codec ({codec or 'unknown'}) is not supported.")
        except Permanent:
            self._container.close()
            raise
        self._track.codec_context.thread_count = 1
        self._stretch: Stretch | None = None
        self._packet_seconds = 0.0
        self.packets = 0
        self.seconds = self.lost_seconds = 0.0
        self.has_sound = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def frames(self) -> Iterator[tuple[Stretch, AudioFrame]]:
        """Yield every frame, with the stretch that it continues or begins."""
        decoder = self._track.codec_context
        for packet in _packets(self._container, self._track):
            self.packets += 1
            try:
                frames = decoder.decode(packet)
            except av.FFmpegError as error:
                if out_of_memory(error):
                    raise
                self._step_over(packet)
                continue
            begin = self.seconds
            for frame in frames:
                if frame.samples > 0 and frame.sample_rate > 0:
                    yield self._place(frame), frame
            self._packet_seconds = self.seconds - begin or self._packet_seconds

    def _place(self, frame: AudioFrame) -> Stretch:
        """Return the stretch that the next frame belongs to, and pass over its samples."""
        stretch = Stretch(
            self.seconds, frame.sample_rate, frame.layout.nb_channels, frame.layout.name, frame.format.name
        )
        if self._stretch is None or _form(stretch) != _form(self._stretch):
            self._stretch = stretch
        self.seconds += frame.samples / frame.sample_rate
        self.has_sound = True
        return self._stretch

    def _step_over(self, packet: Packet[Any] | None) -> None:
        """Leave room for a packet that cannot be decoded. Only before the first sound is its own length believed."""
        if packet is not None:
            stated = (packet.duration or 0) * float(self._track.time_base or 0)
            lost = self._packet_seconds or stated
            self.seconds += lost
            self.lost_seconds += lost
            self._stretch = None


def _form(stretch: Stretch) -> tuple[int, str, str]:
    return stretch.rate, stretch.layout, stretch.sample_format


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
