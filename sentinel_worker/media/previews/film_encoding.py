"""A film's frames as H.264, at the times at which a player shows them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any, Final

from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from av.video.stream import VideoStream

from sentinel_worker.media.opened_media import OpenedMedia, Shown

ENCODER: Final = "libx264"
LONG_SECONDS: Final = 120.0
_CLOCK: Final = 90_000
_BT709: Final = 1
_LEAST_PIXELS: Final = 16
_KEY_SECONDS: Final = 2
_LEAST_BITS, _MOST_BITS = 200_000, 3_000_000


@dataclass(frozen=True, slots=True)
class FilmForm:
    """Largest sides of a preview's pictures, in pixels, and most frames a second."""

    longer: int
    shorter: int
    frames_per_second: int

    @classmethod
    def of(cls, seconds: float) -> FilmForm:
        """720p at 30 frames a second; for a film of more than `LONG_SECONDS` 480p at 15, which take half the time."""
        return cls(1280, 720, 30) if seconds <= LONG_SECONDS else cls(854, 480, 15)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Even width and height that fit, of about the same shape; nothing is enlarged, except a few pixels."""
        scale = min(1.0, self.longer / max(width, height), self.shorter / min(width, height))
        even = (max(_LEAST_PIXELS, 2 * round(side * scale / 2)) for side in (width, height))
        return next(even), next(even)


def frames(media: OpenedMedia, end_seconds: float, rate: int) -> Iterator[Shown]:
    """Yield the frames up to `end_seconds`, at most `rate` a second; damaged ones are left out."""
    reader, end = media.frames(), min(end_seconds, media.facts.duration_seconds)
    step = 1 / (rate + 1)  # a little less than a frame's time, because timestamps are rounded
    seconds = due = 0.0
    while seconds < end:
        shown = reader.at(seconds)
        seconds += step / 2
        if shown is None:
            continue
        if shown.start_seconds >= due:
            yield shown
            due = shown.start_seconds + step
        seconds = max(seconds, shown.end_seconds)


class FilmTrack:
    """The H.264 track of an MP4 file. Its size holds for every frame, also if the film changes its own."""

    def __init__(self, stream: VideoStream, shown: Iterator[Shown]) -> None:
        self._stream = stream
        self._shown = shown
        self._durations: dict[int, int] = {}

    @classmethod
    def added(
        cls, container: OutputContainer, media: OpenedMedia, seconds: float, bits_per_second: float
    ) -> FilmTrack | None:
        """Add a track of the first `seconds` of the film, which takes at most `bits_per_second`; None if no frame can
        be decoded."""
        form = FilmForm.of(seconds)
        shown = frames(media, seconds, form.frames_per_second)
        first = next(shown, None)
        if first is None:
            return None
        most = round(min(max(bits_per_second, _LEAST_BITS), _MOST_BITS))
        options = {
            "preset": "veryfast",
            "crf": "25",
            "maxrate": str(most),
            "bufsize": str(2 * most),
            # Without B-frames, packets come in the order of their frames, and the first one is at 0.
            "bf": "0",
            "g": str(_KEY_SECONDS * form.frames_per_second),
        }
        stream = container.add_stream(ENCODER, rate=form.frames_per_second, options=options)
        height, width = media.size_on_screen(first.pixels)
        stream.width, stream.height = form.size(width, height)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, _CLOCK)
        context.thread_count = 1
        context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU709
        context.color_primaries = context.color_trc = _BT709
        return cls(stream, chain([first], shown))

    def packets(self) -> Iterator[tuple[float, list[Packet[Any]]]]:
        """Yield the packets that the encoder gives after each frame, with that frame's time in seconds."""
        earliest = 0
        for shown in self._shown:
            frame = self._converted(shown)
            frame.pts = max(earliest, round(shown.start_seconds * _CLOCK))
            frame.time_base = Fraction(1, _CLOCK)
            earliest = frame.pts + 1
            self._durations[frame.pts] = max(1, round(shown.end_seconds * _CLOCK) - frame.pts)
            yield shown.start_seconds, self._timed(self._stream.encode(frame))

    def rest(self) -> list[Packet[Any]]:
        """The packets that the encoder held back."""
        return self._timed(self._stream.encode(None))

    def _timed(self, packets: list[Packet[Any]]) -> list[Packet[Any]]:
        """Give each packet the time for which its frame is shown: it is the track's end for the last one."""
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts or 0, 0)
        return packets

    def _converted(self, shown: Shown) -> VideoFrame:
        rgb = VideoFrame.from_numpy_buffer(shown.pixels.permute(1, 2, 0).contiguous().numpy(), "rgb24")
        return rgb.reformat(
            width=self._stream.width,
            height=self._stream.height,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.AREA,
            threads=1,
        )
