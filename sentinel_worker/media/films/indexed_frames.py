"""Frames of an ordinary film by torchcodec, which finds them in the index that the scan made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from torchcodec.decoders import VideoDecoder  # type: ignore[attr-defined]  # exported without __all__

from sentinel_worker.domain.machine_errors import out_of_memory
from sentinel_worker.domain.media_facts import MediaLimits
from sentinel_worker.media.films.film_times import ROUNDING_SECONDS, FilmTimes
from sentinel_worker.media.films.tried_keys import TriedKeys
from sentinel_worker.media.opened_media import FrameReader, Shown
from sentinel_worker.media.refused_files import check_picture_size
from sentinel_worker.media.scan.timeline import Packets


class IndexedFrames:
    """Reads the frames of a film by time (`opened_media.FrameReader`).

    The scan says which frame is on screen and when it appears. A frame of another time, or an error, means that
    torchcodec and the scan do not see the same film: from then on `instead` reads it. So it does if the index says
    that decoding can begin where it cannot.
    """

    def __init__(
        self,
        path: Path,
        stream: int,
        packets: Packets,
        film: FilmTimes,
        keys: TriedKeys,
        limits: MediaLimits,
        instead: FrameReader,
    ) -> None:
        self._film = film
        self._keys = keys
        self._limits = limits
        self._instead = instead
        try:
            self._decoder: VideoDecoder | None = VideoDecoder(
                str(path),
                stream_index=stream,
                num_ffmpeg_threads=1,
                device="cpu",
                custom_frame_mappings=_index(packets, film),
            )
        except (RuntimeError, ValueError) as error:
            if out_of_memory(error):
                raise
            self._decoder = None

    @property
    def is_in_use(self) -> bool:
        """True as long as torchcodec reads the film."""
        return self._decoder is not None

    def at(self, seconds: float) -> Shown | None:
        """Return the frame on screen at `seconds`; outside the film, its first or last frame.

        None if it is damaged.
        """
        if self._decoder is None:
            return self._instead.at(seconds)
        place = self._film.index_at(seconds)
        number = int(self._film.numbers[place])
        if self._keys.before(number) != self._film.key_before(number):
            self._decoder = None
            return self._instead.at(seconds)
        try:
            frame = self._decoder.get_frame_at(place)
        except (RuntimeError, IndexError) as error:
            if out_of_memory(error):
                raise
            self._decoder = None
            return self._instead.at(seconds)
        start = float(self._film.starts[place])
        if abs(frame.pts_seconds - self._film.begin_seconds - start) > ROUNDING_SECONDS:
            self._decoder = None
            return self._instead.at(seconds)
        height, width = frame.data.shape[-2:]
        check_picture_size(width, height, self._limits)
        return Shown(frame.data, start, self._film.end_of(place))


def _index(packets: Packets, film: FilmTimes) -> bytes:
    """The index as torchcodec takes it: the shown frames by their timestamps, as `ffprobe -show_frames` prints them."""
    stamps = packets.presentation[film.numbers]
    lasting = np.append(np.diff(stamps), max(int(packets.duration[film.numbers[-1]]), 1))
    keys = packets.key[film.numbers]
    frames = [
        {"pts": stamp, "duration": duration, "key_frame": key}
        for stamp, duration, key in zip(stamps.tolist(), lasting.tolist(), keys.astype(int).tolist(), strict=True)
    ]
    return json.dumps({"frames": frames}, separators=(",", ":")).encode()
