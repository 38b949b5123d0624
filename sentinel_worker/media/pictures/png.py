"""PNG read chunk by chunk: only those that decide what is shown reach Pillow.

Pillow refuses a picture for a text that is too long or a chunk whose checksum is wrong, and composes animations in its
own way; browsers do neither. An animation counts if `acTL` precedes the pixels, and it decides what is shown: a default
image before its first frame is not part of it.
"""

# ruff: noqa: PLR2004 the numbers come from the format

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from mmap import mmap
from typing import Final, Literal

from sentinel_worker.media.pictures.refusals import damaged, not_supported

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_HEADER: Final = struct.Struct(">IIBBBBB")
_CONTROL: Final = struct.Struct(">IIIIIHHBB")
_MAX_PROFILE_BYTES: Final = 4 * 1024**2
_NOTED: Final = frozenset({b"PLTE", b"tRNS", b"eXIf", b"iCCP", b"gAMA", b"sRGB", b"acTL"})
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PALETTE: Final = 3
_AFTER: Final[tuple[Literal["keep", "clear", "restore"], ...]] = ("keep", "clear", "restore")

Span = tuple[int, int]
"""Start and end of some bytes of the file."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of an animation: its place, its time on screen, how it is drawn, and its compressed pixels."""

    left: int
    top: int
    width: int
    height: int
    milliseconds: float
    after: Literal["keep", "clear", "restore"]
    over: bool
    spans: list[Span] = field(default_factory=list)


@dataclass(slots=True)
class Png:
    """A PNG file and the places in it of what is shown.

    `frames` is empty unless it is animated; `is_whole` is false if the file ends early. `frame_count` also counts the
    frames that were too many to be kept.
    """

    file: mmap
    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool
    palette: bytes = b""
    transparency: bytes = b""
    exif: bytes | None = None
    profile: bytes | None = None
    gamma: float | None = None
    image: list[Span] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    promised_frames: int = 0
    frame_count: int = 0
    is_whole: bool = False

    def packed(self, spans: Sequence[Span]) -> bytes:
        """Return the compressed pixels of one picture."""
        return b"".join(self.file[start:end] for start, end in spans)

    def wrapped(self, data: bytes, width: int, height: int) -> bytes:
        """Return a PNG of compressed pixels with only the chunks that Pillow needs; it checks no sum of `IDAT`."""
        header = _HEADER.pack(width, height, self.depth, self.colour, 0, 0, self.interlaced)
        palette = _chunk(b"PLTE", self._whole_palette()) if self.colour == _PALETTE else b""
        transparency = _chunk(b"tRNS", self._transparency()) if self._transparency() else b""
        pixels = struct.pack(">I", len(data)) + b"IDAT" + data + bytes(4)
        return b"".join([SIGNATURE, _chunk(b"IHDR", header), palette, transparency, pixels, _chunk(b"IEND", b"")])

    def _whole_palette(self) -> bytes:
        """The palette with 256 colours: browsers show one beyond it as its last."""
        colours = len(self.palette) // 3
        if colours == 0:
            raise damaged()
        return self.palette[: 3 * colours] + self.palette[3 * colours - 3 : 3 * colours] * (256 - colours)

    def _transparency(self) -> bytes:
        """The chunk `tRNS` as Pillow compares it: with levels of 8 bits, but for 16 bit grey."""
        if self.colour == _PALETTE:
            return self.transparency if len(self.transparency) <= len(self.palette) // 3 else b""
        if len(self.transparency) != {0: 2, 2: 6}.get(self.colour):
            return b""
        levels = [level & (1 << self.depth) - 1 for (level,) in struct.iter_unpack(">H", self.transparency)]
        if self.depth == 16 and self.colour == 2:
            levels = [level >> 8 for level in levels]
        elif self.depth < 8:
            levels = [level * 255 // ((1 << self.depth) - 1) for level in levels]
        return struct.pack(f">{len(levels)}H", *levels)

    def drop_cut_frame(self) -> bool:
        """Drop a last frame in which the file ends; true if the file ends before the animation does."""
        if self.is_whole or not self.promised_frames:
            return False
        if 1 < self.frame_count == len(self.frames) and self.frames[-1].spans[-1][1] == len(self.file):
            self.frames.pop()
            self.frame_count -= 1
        return self.frame_count < self.promised_frames

    @property
    def pixel_bits(self) -> int:
        """Bits of a pixel."""
        return _CHANNELS[self.colour] * self.depth


def read_png(file: mmap, max_frames: int) -> Png:
    """Find the parts of a PNG file that are shown, and keep at most `max_frames` frames.

    Raises `Permanent('media_unreadable')` without a valid header.
    """
    chunks = _chunks(file)
    png = _header(file, chunks)
    control: Frame | None = None
    for kind, start, end, is_whole in chunks:
        if kind == b"IEND":
            png.is_whole = True
            break
        if kind == b"fcTL":
            control = _control(png, file[start:end])
            if control is None:
                png.is_whole = is_whole
                break
        elif kind == b"IDAT":
            png.image.append((start, end))
            _add(png, control, (start, end), max_frames)
        elif kind == b"fdAT":
            _add(png, control, (min(start + 4, end), end), max_frames)
        elif kind in _NOTED and is_whole and not png.image:
            _note(png, kind, file[start:end])
    return png


def _add(png: Png, frame: Frame | None, span: Span, max_frames: int) -> None:
    """Add compressed pixels to a frame. Those beyond the promised number are not shown; without a promise, none are."""
    if frame is None:
        return
    if not frame.spans and png.frame_count < png.promised_frames:
        png.frame_count += 1
        if png.frame_count <= max_frames:
            png.frames.append(frame)
    frame.spans.append(span)


def _chunks(file: mmap) -> Iterator[tuple[bytes, int, int, bool]]:
    """Yield the kind of each chunk, the start and end of its body, and whether the file holds all of it."""
    place, size = len(SIGNATURE), len(file)
    while place + 8 <= size:
        length, kind = struct.unpack_from(">I4s", file, place)
        start = place + 8
        yield kind, start, min(start + length, size), start + length <= size
        place = start + length + 4


def _header(file: mmap, chunks: Iterator[tuple[bytes, int, int, bool]]) -> Png:
    for kind, start, end, _ in chunks:
        if kind == b"CgBI":
            raise not_supported("a PNG that Xcode packed for iPhones")
        if kind == b"IHDR" and end - start >= _HEADER.size:
            width, height, depth, colour, compression, filtering, interlace = _HEADER.unpack_from(file, start)
            if colour not in _CHANNELS or depth not in (1, 2, 4, 8, 16) or compression or filtering or interlace > 1:
                break
            return Png(file, width, height, depth, colour, bool(interlace))
    raise damaged()


def _note(png: Png, kind: bytes, body: bytes) -> None:
    """Keep a chunk that comes before the pixels."""
    if kind == b"PLTE" and not png.palette:
        png.palette = body[:768]
    elif kind == b"tRNS":
        png.transparency = body[:257]
    elif kind == b"eXIf" and body[:2] in (b"II", b"MM"):
        png.exif = body
    elif kind == b"iCCP":
        png.profile = _unpacked(body.partition(b"\0")[2][1:])
    elif kind == b"gAMA" and len(body) == 4 and png.gamma is None:
        png.gamma = int.from_bytes(body, "big") / 100_000
    elif kind == b"sRGB":
        png.gamma = 1 / 2.2
    elif kind == b"acTL" and len(body) == 8:
        png.promised_frames = int.from_bytes(body[:4], "big")


def _unpacked(profile: bytes) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(profile, _MAX_PROFILE_BYTES)
    except zlib.error:
        return None


def _control(png: Png, body: bytes) -> Frame | None:
    """Read a frame's place and time; None if it lies outside the picture, where browsers end the animation."""
    if len(body) != _CONTROL.size:
        return None
    _, width, height, left, top, delay, unit, disposal, blend = _CONTROL.unpack(body)
    inside = 0 < width <= png.width - left and 0 < height <= png.height - top
    if not inside or disposal > 2 or blend > 1:
        return None
    return Frame(left, top, width, height, 1000 * delay / (unit or 100), _AFTER[disposal], bool(blend))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))
