"""Frames of a film decoded packet by packet, for films in which no decoder finds its way by time.

Each packet goes through the decoder with its number in place of its timestamp, so a frame always says which packet it
came from, whatever the container's timestamps say.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import Final

import torch
from av.video.frame import VideoFrame
from torch import Tensor

from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.films.film_times import ROUNDING_SECONDS, FilmTimes
from sentinel_worker.media.films.numbered_packets import NumberedPackets
from sentinel_worker.media.films.orientation import Orientation
from sentinel_worker.media.films.tried_keys import TriedKeys
from sentinel_worker.media.opened_media import Shown
from sentinel_worker.media.refused_files import check_picture_size

# One frame may be missing: players go on showing the one before it, and some encoders leave frames out.
_MISSING_ALLOWED: Final = 1


class SteppedFrames:
    """Reads the frames of a film by time (`opened_media.FrameReader`), with PyAV.

    `in_order` is False if the timestamps do not follow the order in which the decoder gives the frames (AVI with
    B-frames): then each frame gets the smallest timestamp that is left. The size of a film may change, so each frame is
    checked against the limits before its pixels are copied.
    """

    def __init__(
        self,
        packets: NumberedPackets,
        film: FilmTimes,
        keys: TriedKeys,
        orientation: Orientation,
        limits: MediaLimits,
        *,
        in_order: bool,
    ) -> None:
        self._packets = packets
        self._film = film
        self._keys = keys
        self._orientation = orientation
        self._limits = limits
        self._in_order = in_order
        self._forget()

    def at(self, seconds: float) -> Shown | None:
        """Return the frame on screen at `seconds`; outside the film, its first or last frame.

        None if it is damaged.
        """
        wanted = self._film.index_at(seconds)
        number = int(self._film.numbers[wanted])
        key = self._film.key_before(number)
        if not self._is_ahead(seconds, key):
            key = self._keys.before(number)
            if not self._is_ahead(seconds, key):
                self._packets.go_to(key)
                self._forget()
        while (self._later is None or self._later[0] <= seconds + ROUNDING_SECONDS) and self._step():
            pass
        return self._shown(wanted, key)

    def _is_ahead(self, seconds: float, key: int) -> bool:
        """True if decoding on leads to the frame sooner than a new start at `key`."""
        begun = self._now[0] <= seconds + ROUNDING_SECONDS if self._now else self._later is not None
        return begun and (self._ended or key <= self._packets.next_number)

    def _forget(self) -> None:
        self._now: tuple[float, VideoFrame] | None = None
        self._later: tuple[float, VideoFrame] | None = None
        self._decoded: deque[tuple[float, VideoFrame]] = deque()
        self._fed: list[float] = []
        self._ended = False

    def _step(self) -> bool:
        """Go on to the next frame; False at the end."""
        while not self._decoded and not self._ended:
            self._decode()
        if self._later is not None:
            self._now, self._later = self._later, None
        if self._decoded:
            self._later = self._decoded.popleft()
        return self._later is not None

    def _decode(self) -> None:
        number, packet = self._packets.next_number, self._packets.take()
        if packet is not None:
            packet.pts = packet.dts = number
            heappush(self._fed, float(self._film.packet_starts[number]))
        frames = self._packets.decoded(packet)
        starts = [self._start_of(frame) for frame in frames]
        self._decoded += [(start, frame) for start, frame in zip(starts, frames, strict=True) if start is not None]
        self._ended = packet is None

    def _start_of(self, frame: VideoFrame) -> float | None:
        """Time at which a frame appears; None if it does not say which packet it came from."""
        if not self._in_order and self._fed:
            return heappop(self._fed)
        return None if frame.pts is None else float(self._film.packet_starts[frame.pts])

    def _shown(self, wanted: int, key: int) -> Shown | None:
        film, now = self._film, self._now
        if now is None:
            # Frames before the first one that can be decoded are not in the film; elsewhere they are damaged.
            if self._later is None or key != film.keys[0]:
                return None
            start, frame = self._later
            return Shown(self._pixels(frame), 0.0, start)
        start, frame = now
        if wanted - film.index_at(start + ROUNDING_SECONDS) > _MISSING_ALLOWED:
            return None
        end = self._later[0] if self._later is not None else film.duration_seconds
        return Shown(self._pixels(frame), start, max(end, start))

    def _pixels(self, frame: VideoFrame) -> Tensor:
        check_picture_size(*self._orientation.on_screen(frame.width, frame.height), self._limits)
        rgb = torch.from_numpy(frame.to_ndarray(format="rgb24", threads=1)).permute(2, 0, 1)
        return self._orientation.turned(rgb)
