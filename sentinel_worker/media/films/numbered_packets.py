"""Packets of one stream from any number on, the same numbers as in the scan."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final, cast

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from sentinel_worker.domain.machine_errors import out_of_memory
from sentinel_worker.media.scan.media_file import MediaFile
from sentinel_worker.media.scan.packets import read_packets
from sentinel_worker.media.scan.timeline import MISSING, Packets

# Reading this many packets costs less than a seek, and cannot miss.
_NEAR_PACKETS: Final = 500
_ALONE: Final = (PictureType.NONE, PictureType.I, PictureType.SI)
"""Types of pictures that refer to no other; decoders of codecs without such types say NONE."""

_Stamps = tuple[int | None, int | None, int]


class NumberedPackets:
    """Reader of a stream's packets, and the decoder they belong to.

    A container seeks by time, and some land elsewhere. So a seek is a guess: the key packet that it finds is looked up
    in the scan by its timestamps, and if it is not the right one, the file is read from its start.
    """

    def __init__(self, file: MediaFile, stream: int, packets: Packets, *, can_seek: bool) -> None:
        self._file, self._index = file, stream
        self._table = packets
        self._can_seek = can_seek
        self._keys: dict[_Stamps, int] | None = None
        self._held: deque[Packet[VideoStream]] = deque()
        self._read: Iterator[Any] = iter(())
        self._open()

    def go_to(self, number: int) -> None:
        """Make packet `number` the next one, and the decoder a fresh one."""
        is_near = 0 <= number - self.next_number <= _NEAR_PACKETS
        if not is_near and not (self._can_seek and self._seek(number)) and number < self.next_number:
            self._open()
        self.decoder.flush_buffers()
        while self.next_number < number and self.take() is not None:
            pass

    def take(self) -> Packet[VideoStream] | None:
        """Return the next packet, or None at the end."""
        packet = self._held.popleft() if self._held else next(self._read, None)
        if packet is not None:
            self.next_number += 1
        return packet

    def first_whole_picture(self, count: int) -> int | None:
        """Decode the first `count` packets until a picture that refers to no other; return the packet it came from."""
        self.go_to(0)
        for number in range(count + 1):
            packet = self.take() if number < count else None
            if packet is not None:
                packet.pts = packet.dts = number
            whole = [frame.pts for frame in self.decoded(packet) if _is_whole(frame) and frame.pts is not None]
            if whole or packet is None:
                return min(whole, default=None)
        return None

    def begins_at(self, number: int) -> bool:
        """Go to packet `number`, and find out whether decoding can begin there.

        It can if its picture refers to no other. Two packets are decoded, because two fields may make one picture.
        """
        self.go_to(number)
        tried = [packet for packet in (self.take(), self.take()) if packet is not None]
        frames = list[VideoFrame]()
        for offset, packet in enumerate((*tried, None)):
            if packet is not None:
                packet.pts = packet.dts = number + offset
            frames += self.decoded(packet)
        self.decoder.flush_buffers()
        self._held.extendleft(reversed(tried))
        self.next_number -= len(tried)
        return any(frame.pts == number and _is_whole(frame) for frame in frames)

    def decoded(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        """Return the frames that the decoder gives after `packet`, None at the end; none if it is damaged."""
        try:
            return self.decoder.decode(packet)
        except av.FFmpegError as error:
            if out_of_memory(error):
                raise
            return []

    def _open(self) -> None:
        self._container = self._file.open()
        self._stream = cast(VideoStream, self._container.streams[self._index])
        self.decoder: VideoCodecContext = self._stream.codec_context
        self.decoder.thread_count, self.decoder.thread_type = 1, "NONE"
        self._start(0)

    def _start(self, number: int, held: Packet[VideoStream] | None = None) -> None:
        self.next_number = number
        self._held.clear()
        if held is not None:
            self._held.append(held)
        else:
            self._read = read_packets(self._container, self._index)

    def _seek(self, number: int) -> bool:
        """Seek to key packet `number` or one before it; False, with the file at its start, if that missed."""
        decoding, presentation = int(self._table.decoding[number]), int(self._table.presentation[number])
        try:
            self._container.seek(presentation if decoding == MISSING else decoding, stream=self._stream)
        except av.FFmpegError as error:
            if out_of_memory(error):
                raise
        else:
            self._read = read_packets(self._container, self._index)
            for packet in self._read:
                found = self._number_of(packet)
                if found is not None and found <= number:
                    self._start(found, packet)
                    return True
                if found is not None or (packet.dts is not None and packet.dts > decoding):
                    break
        self._can_seek = False
        self._open()
        return False

    def _number_of(self, packet: Packet[VideoStream]) -> int | None:
        if self._keys is None:
            table, keys = self._table, self._table.key.nonzero()[0]
            stamps = [(_known(table.presentation[n]), _known(table.decoding[n]), int(table.size[n])) for n in keys]
            self._keys = dict(zip(stamps, map(int, keys), strict=True))
            if len(self._keys) < len(keys):
                self._keys = {}  # two keys that cannot be told apart
        return self._keys.get((packet.pts, packet.dts, packet.size))


def _is_whole(frame: VideoFrame) -> bool:
    return frame.key_frame or frame.pict_type in _ALONE


def _known(stamp: int) -> int | None:
    return None if stamp == MISSING else int(stamp)
