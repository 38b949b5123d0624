"""A film: its packets, its times, and the choice of the decoder that reads its frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from torch import Tensor

from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.films.film_times import FilmTimes
from sentinel_worker.media.films.indexed_frames import IndexedFrames
from sentinel_worker.media.films.numbered_packets import NumberedPackets
from sentinel_worker.media.films.orientation import Orientation
from sentinel_worker.media.films.stepped_frames import SteppedFrames
from sentinel_worker.media.films.tried_keys import TriedKeys
from sentinel_worker.media.opened_media import FrameReader, OpenedMedia
from sentinel_worker.media.scan.media_file import MediaFile
from sentinel_worker.media.scan.timeline import Packets

_ORDINARY: Final = frozenset({"mov", "matroska"})
# Enough to see in which order frames come out, and how many packets make one; a few pictures cost milliseconds.
_TRIAL_PACKETS: Final = 24
_TRIAL_PACKETS_OF_ORDINARY: Final = 1
_MAX_TRIAL_PACKETS: Final = 300
_PACKETS_OF_FIELDS: Final = 1.6


@dataclass(frozen=True, slots=True)
class Film:
    """One stream of pictures.

    `size` is the coded width and height of its first frame; the header may say otherwise, and it may change later.
    `limits` bound the size of each. `in_order` is False if the timestamps do not follow the order of the frames.
    """

    file: MediaFile
    stream: int
    packets: Packets
    times: FilmTimes
    size: tuple[int, int]
    orientation: Orientation
    limits: MediaLimits
    in_order: bool = True

    @classmethod
    def tried(
        cls, file: MediaFile, stream: VideoStream, packets: Packets, times: FilmTimes, limits: MediaLimits
    ) -> Self:
        """Decode the first frames, which tell what no header says: how they lie, and how packets become frames."""
        size, aspect = (stream.codec_context.width, stream.codec_context.height), stream.sample_aspect_ratio
        film = cls(file, stream.index, packets, times, size, Orientation.of(None, aspect), limits)
        least = _TRIAL_PACKETS_OF_ORDINARY if film._is_ordinary else _TRIAL_PACKETS
        fed, numbers, first = _first_frames(film.numbered_packets(), times, least)
        if first is None:
            return film
        size = (first.width, first.height)
        film = replace(film, size=size, orientation=Orientation.of(_display_matrix(first), aspect))
        if film._is_ordinary:
            return film
        starts = times.packet_starts[numbers]
        in_order = bool((np.diff(starts) >= 0).all())
        if len(numbers) > 1 and fed >= _PACKETS_OF_FIELDS * len(numbers):
            times = times.thinned(float(np.median(np.diff(np.sort(starts)))))
        return replace(film, in_order=in_order, times=times)

    def frames(self) -> FrameReader:
        """Return a new reader at the first frame."""
        packets = self.numbered_packets()
        keys = TriedKeys(self.numbered_packets, self.times, intra_only=packets.decoder.codec.intra_only)
        stepped = SteppedFrames(packets, self.times, keys, self.orientation, self.limits, in_order=self.in_order)
        if not self._is_ordinary or self.orientation.is_mirrored:
            return stepped
        return IndexedFrames(self.file.path, self.stream, self.packets, self.times, keys, self.limits, stepped)

    @property
    def _is_ordinary(self) -> bool:
        """True if torchcodec can find the frames by their times."""
        regular = self.times.segments == 1 and self.times.has_stamps and self.in_order
        return regular and self.file.demuxer in _ORDINARY and not self.file.begin_bytes

    def numbered_packets(self) -> NumberedPackets:
        """Return a new reader of the packets."""
        can_seek = self.times.segments == 1 and self.times.has_stamps
        return NumberedPackets(self.file, self.stream, self.packets, can_seek=can_seek)


@dataclass(frozen=True, slots=True)
class OpenedVideo(OpenedMedia):
    """A file with a film."""

    film: Film

    def frames(self) -> FrameReader:
        """Return a new reader at the first frame."""
        return self.film.frames()

    def size_on_screen(self, pixels: Tensor) -> tuple[int, int]:
        """Height and width; pixels of some films are not square."""
        height, width = pixels.shape[-2:]
        width, height = self.film.orientation.squared(width, height)
        return height, width


def with_first_key(file: MediaFile, stream: VideoStream, packets: Packets) -> Packets:
    """Mark the first packet from which decoding can begin as a key: players begin there, whatever the container says.

    Only the packets before the first one that is marked are tried, and at most 300 of them.
    """
    (keys,) = np.nonzero(packets.key)
    leading = int(keys[0]) if len(keys) else len(packets)
    if not leading:
        return packets
    reader = NumberedPackets(file, stream.index, packets, can_seek=False)
    found = reader.first_whole_picture(min(leading, _MAX_TRIAL_PACKETS))
    if found is None:
        return packets
    key = packets.key.copy()
    key[found] = True
    return replace(packets, key=key)


def _first_frames(packets: NumberedPackets, times: FilmTimes, least: int) -> tuple[int, list[int], VideoFrame | None]:
    """Number of packets fed, at least `least`; the packets that their frames came from; and the first of these frames.

    More packets are fed until one gives a frame. The other frames are not kept: a large one takes 200 MB.
    """
    packets.go_to(int(times.keys[0]))
    fed, numbers, first = 0, list[int](), None
    while (fed < least or first is None) and fed < _MAX_TRIAL_PACKETS:
        number, packet = packets.next_number, packets.take()
        if packet is not None:
            packet.pts = packet.dts = number
            fed += 1
        for frame in packets.decoded(packet):
            numbers.append(frame.pts or 0)
            first = first if first is not None else frame
        if packet is None:
            return fed, numbers, first
    if least > 1:
        numbers += [frame.pts or 0 for frame in packets.decoded(None)]
    return fed, numbers, first


def _display_matrix(frame: VideoFrame) -> bytes | None:
    try:
        found: Any = frame.side_data
        return bytes(found[Type.DISPLAYMATRIX])
    except (KeyError, ValueError):  # none; or PyAV knows fewer kinds of side data than its FFmpeg
        return None
