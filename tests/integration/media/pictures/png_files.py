"""PNG files put together chunk by chunk, as programs write them and as they should not be."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = struct.pack(">I", 0) + b"IEND\xaeB`\x82"
WRONG_SUM = b"\1\2\3\4"

Pixels = npt.NDArray[np.uint8]


def chunk(kind: bytes, body: bytes, checksum: bytes | None = None) -> bytes:
    """A chunk, with the right checksum unless another is given."""
    checksum = struct.pack(">I", zlib.crc32(kind + body)) if checksum is None else checksum
    return struct.pack(">I", len(body)) + kind + body + checksum


def header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """The chunk `IHDR`; colour 0 is grey, 2 RGB, 3 a palette, 6 RGBA."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def packed(rows: Iterable[bytes]) -> bytes:
    """Compressed pixels without filters."""
    return zlib.compress(b"".join(b"\0" + row for row in rows))


def png(*chunks: bytes) -> bytes:
    """A PNG of these chunks."""
    return SIGNATURE + b"".join(chunks)


@dataclass(frozen=True, slots=True)
class Parts:
    """A PNG taken apart: its header, what stands before the pixels, and its compressed pixels."""

    header: bytes
    before: bytes
    data: bytes

    @classmethod
    def of(cls, image: Image.Image, **options: Any) -> Parts:
        """Take apart what Pillow writes."""
        file = io.BytesIO()
        image.save(file, "PNG", **options)
        found = list(chunks_of(file.getvalue()))
        data = b"".join(body for kind, body in found if kind == b"IDAT")
        before = b"".join(chunk(kind, body) for kind, body in found if kind in (b"PLTE", b"tRNS"))
        return cls(chunk(*found[0]), before, data)

    @property
    def pixels(self) -> bytes:
        """The chunk `IDAT`."""
        return chunk(b"IDAT", self.data)

    def with_chunk(self, kind: bytes, body: bytes, checksum: bytes | None = None) -> bytes:
        """The PNG with one more chunk before the pixels."""
        return png(self.header, self.before, chunk(kind, body, checksum), self.pixels, END)


def chunks_of(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and bodies of a PNG's chunks."""
    place = len(SIGNATURE)
    while place < len(content):
        (length,) = struct.unpack_from(">I", content, place)
        yield content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        place += 12 + length


@dataclass(frozen=True, slots=True)
class Drawn:
    """A frame of an animated PNG: RGBA pixels and their place. `after`: 0 keep, 1 clear, 2 restore."""

    pixels: Pixels
    left: int = 0
    top: int = 0
    after: int = 0
    over: bool = False
    delay: tuple[int, int] = (1, 10)


def plain(width: int, height: int, *colour: int) -> Pixels:
    """RGBA pixels of one colour."""
    return np.tile(np.array([*colour, 255][:4], dtype=np.uint8), (height, width, 1))


def apng(
    size: tuple[int, int],
    frames: Sequence[Drawn],
    *,
    default: Pixels | None = None,
    promised: int | None = None,
    control: str = "before",
    between: bytes = b"",
) -> bytes:
    """An animated PNG, RGBA.

    `default` is shown only where animations are not played. `promised` frames are announced, `before` or `after` the
    pixels (`control`) or not at all; `between` comes before that.
    """
    announced = chunk(b"acTL", struct.pack(">II", len(frames) if promised is None else promised, 0))
    parts = [header(*size, colour=6), between, announced if control == "before" else b""]
    sequence = 0
    first = list(frames)
    if default is None:
        parts += [_control(sequence, first[0]), chunk(b"IDAT", packed(row.tobytes() for row in first.pop(0).pixels))]
        sequence += 1
    else:
        parts.append(chunk(b"IDAT", packed(row.tobytes() for row in default)))
    parts.append(announced if control == "after" else b"")
    for frame in first:
        data = packed(row.tobytes() for row in frame.pixels)
        parts += [_control(sequence, frame), chunk(b"fdAT", struct.pack(">I", sequence + 1) + data)]
        sequence += 2
    return png(*parts, END)


def _control(sequence: int, frame: Drawn) -> bytes:
    height, width = frame.pixels.shape[:2]
    place = struct.pack(">5I", sequence, width, height, frame.left, frame.top)
    return chunk(b"fcTL", place + struct.pack(">HHBB", *frame.delay, frame.after, frame.over))
