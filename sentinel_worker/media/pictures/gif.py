"""GIF read block by block: the frames that it shows, each decoded by Pillow without the others.

Pillow and FFmpeg fill what no frame has drawn with the background colour; browsers leave it transparent.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass, field
from mmap import mmap
from typing import Final, Literal

import numpy as np
from PIL import Image

from sentinel_worker.media.pictures.refusals import check_missing, cut_off, damaged

_SCREEN: Final = struct.Struct("<HHBBB")
_DESCRIPTOR: Final = struct.Struct("<HHHHB")
_EXTENSION, _IMAGE, _CONTROL, _PADDING = 0x21, 0x2C, 0xF9, 0
_AFTER: Final[tuple[Literal["keep", "clear", "restore"], ...]] = ("keep", "keep", "clear", "restore")
_MAX_BITS: Final = 8
_HEADER_BYTES: Final = 6


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a GIF: its place, its time on screen, how it is drawn, its palette and its packed pixels.

    `start` is the place of the first block of pixels and `end` the place after the last; `is_whole` is false if the
    file ends among them.
    """

    left: int
    top: int
    width: int
    height: int
    milliseconds: float
    after: Literal["keep", "clear", "restore"]
    transparent: int | None
    palette: tuple[int, int]
    interlaced: bool
    start: int
    end: int
    is_whole: bool


@dataclass(slots=True)
class Gif:
    """A GIF file, its size on screen, and its frames; `frame_count` also counts those that were too many to be kept."""

    file: mmap
    width: int
    height: int
    frames: list[Frame] = field(default_factory=list)
    frame_count: int = 0

    def image(self, frame: Frame) -> tuple[Image.Image, float]:
        """Decode one frame with its palette, and return the share of it that is missing.

        Raises `Permanent` if it is damaged, or if too much is missing.
        """
        image, finished = self._indices(frame, 0)
        missing = 0.0
        if not finished:
            # Pixels that keep what was there before are those that no data reach.
            other, _ = self._indices(frame, 1)
            missing = check_missing(float(np.mean(np.asarray(image) != np.asarray(other))))
        image.putpalette(self._palette(frame), "RGBA")
        return image, missing

    def drop_cut_frame(self) -> bool:
        """Drop a last frame in which the file ends, unless it is the only one; true if there was one."""
        if 1 < self.frame_count == len(self.frames) and not self.frames[-1].is_whole:
            self.frames.pop()
            self.frame_count -= 1
            return True
        return False

    def _indices(self, frame: Frame, filled_with: int) -> tuple[Image.Image, bool]:
        """Decode the numbers of the colours, and tell whether all pixels were there."""
        bits = self.file[frame.start]
        if not 1 <= bits <= _MAX_BITS:
            raise damaged()
        image = Image.new("P", (frame.width, frame.height), filled_with)
        decoder = Image._getdecoder("P", "gif", (bits, frame.interlaced, -1))
        try:
            decoder.setimage(image.im, (0, 0, frame.width, frame.height))
            consumed, error = decoder.decode(self.file[frame.start + 1 : frame.end])
        finally:
            decoder.cleanup()
        if error < 0:
            raise damaged()
        return image, consumed < 0

    def _palette(self, frame: Frame) -> bytes:
        """Colours as RGBA. Those beyond the palette, and the transparent one, are transparent."""
        start, end = frame.palette
        colours = np.zeros((256, 4), dtype=np.uint8)
        given = np.frombuffer(self.file[start:end], dtype=np.uint8)
        given = given[: len(given) // 3 * 3].reshape(-1, 3)
        colours[: len(given), :3], colours[: len(given), 3] = given, 255
        if frame.transparent is not None:
            colours[frame.transparent, 3] = 0
        return colours.tobytes()


def read_gif(file: mmap, max_frames: int) -> Gif:
    """Find the frames of a GIF, and keep at most `max_frames` of them.

    Raises `Permanent` with `media_truncated` or `media_unreadable` if there is none.
    """
    gif, is_ended = Gif(file, 0, 0), False
    with suppress(IndexError, struct.error):  # the file may end in the middle of a block
        is_ended = _read(gif, max_frames)
    if not gif.frames:
        raise damaged() if is_ended else cut_off()
    return gif


def _read(gif: Gif, max_frames: int) -> bool:
    """Read the blocks up to the trailer, or to what no GIF holds; false if the file ends first."""
    file = gif.file
    gif.width, gif.height, flags, _, _ = _SCREEN.unpack_from(file, _HEADER_BYTES)
    palette = _palette(_HEADER_BYTES + _SCREEN.size, flags)
    place, control = palette[1], b""
    while place < len(file):
        mark = file[place]
        if mark == _EXTENSION:
            end, _ = _after_blocks(file, place + 2)
            if file[place + 1] == _CONTROL:
                control = file[place + 3 : end]
            place = end
        elif mark == _IMAGE:
            frame = _frame(file, place + 1, control, palette)
            _add(gif, frame, max_frames)
            place, control = frame.end, b""
        elif mark == _PADDING:
            place += 1
        else:
            return True
    return False


def _palette(start: int, flags: int) -> tuple[int, int]:
    """Start and end of the palette that these flags announce."""
    return start, start + (3 << (flags & 7) + 1 if flags & 0x80 else 0)


def _frame(file: mmap, place: int, control: bytes, screen_palette: tuple[int, int]) -> Frame:
    left, top, width, height, flags = _DESCRIPTOR.unpack_from(file, place)
    own_palette = _palette(place + _DESCRIPTOR.size, flags)
    start = own_palette[1]
    end, is_whole = _after_blocks(file, start + 1)
    # Flags, two bytes of time, and the number of the transparent colour.
    control = control.ljust(4, b"\0")
    return Frame(
        left,
        top,
        width,
        height,
        milliseconds=10.0 * int.from_bytes(control[1:3], "little"),
        after=_AFTER[min(control[0] >> 2 & 7, 3)],
        transparent=control[3] if control[0] & 1 else None,
        palette=own_palette if flags & 0x80 else screen_palette,
        interlaced=bool(flags & 0x40),
        start=start,
        end=end,
        is_whole=is_whole,
    )


def _after_blocks(file: mmap, place: int) -> tuple[int, bool]:
    """Place behind a chain of blocks, and false if the file ends before the chain does."""
    while place < len(file):
        length = file[place]
        place += 1 + length
        if length == 0:
            return place, True
    return len(file), False


def _add(gif: Gif, frame: Frame, max_frames: int) -> None:
    if gif.frame_count == 0:
        # Browsers make the screen as large as the first frame.
        gif.width = max(gif.width, frame.left + frame.width)
        gif.height = max(gif.height, frame.top + frame.height)
    gif.frame_count += 1
    if gif.frame_count <= max_frames:
        gif.frames.append(frame)
