"""A sound track as AAC in stereo, beside the pictures that it plays with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from typing import Any, Final

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from sentinel_worker.domain.machine_errors import out_of_memory
from sentinel_worker.media.sound.decoding import SoundPass
from sentinel_worker.media.sound.mixing import Samples, StereoConverter

RATE: Final = 48_000
BITS_PER_SECOND: Final = 96_000
# Players begin pictures and sound at their own times; a distance beyond this comes from a clock that lies.
_MAX_OFFSET_SECONDS: Final = 10.0


def chunks(sound: SoundPass, film_begin: float | None, end_seconds: float) -> Iterator[Samples]:
    """Yield float32 [samples, 2] at `RATE` without a hole, from the first frame of the pictures to `end_seconds`.

    `film_begin` is the container's time of that frame, None without pictures. Sound that cannot be decoded any further
    ends.
    """
    end, written, offset = round(end_seconds * RATE), 0, math.nan
    stretch, converter = None, None
    try:
        for continued, frame in sound.frames():
            if math.isnan(offset):
                offset = _offset(frame, film_begin)
            if continued is not stretch or converter is None:
                stretch, converter = continued, StereoConverter(continued, RATE)
                place = round((continued.start_seconds + offset) * RATE)
                yield from _silence(min(place, end) - written)
                written, early = max(written, min(place, end)), max(0, written - place)
            samples = converter.samples(frame)
            early, samples = max(0, early - len(samples)), samples[early:]
            if len(samples):
                yield samples[: end - written]
                written += len(samples)
            if written >= end:
                return
    except (av.FFmpegError, ValueError) as error:
        if out_of_memory(error):
            raise


class SoundTrack:
    """The AAC track of an MP4 file."""

    def __init__(self, stream: AudioStream, sound: Iterator[Samples]) -> None:
        self._stream = stream
        self._sound = sound

    @classmethod
    def added(
        cls, container: OutputContainer, sound: SoundPass, film_begin: float | None, end_seconds: float
    ) -> SoundTrack | None:
        """Add a track of `chunks`; None if nothing can be decoded."""
        parts = chunks(sound, film_begin, end_seconds)
        first = next(parts, None)
        if first is None:
            return None
        stream = container.add_stream("aac", rate=RATE)
        stream.layout = "stereo"
        stream.bit_rate = BITS_PER_SECOND
        return cls(stream, chain([first], parts))

    def packets(self) -> Iterator[tuple[float, list[Packet[Any]]]]:
        """Yield the packets that the encoder gives after each part, with that part's time in seconds."""
        written = 0
        for samples in self._sound:
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), "fltp", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, written, Fraction(1, RATE)
            yield written / RATE, self._stream.encode(frame)
            written += len(samples)

    def rest(self) -> list[Packet[Any]]:
        """The packets that the encoder held back."""
        return self._stream.encode(None)


def _offset(first: AudioFrame, film_begin: float | None) -> float:
    """Seconds from the first frame of the pictures to the first sample; 0 if the file does not say."""
    if film_begin is None or first.pts is None or first.time_base is None:
        return 0.0
    offset = float(first.pts * first.time_base) - film_begin
    return offset if abs(offset) <= _MAX_OFFSET_SECONDS else 0.0


def _silence(samples: int) -> Iterator[Samples]:
    while samples > 0:
        yield np.zeros((min(samples, RATE), 2), dtype=np.float32)
        samples -= RATE
