"""BMP files of every kind, from the same pixels."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

MASKS_555 = (0x7C00, 0x3E0, 0x1F)
MASKS_565 = (0xF800, 0x7E0, 0x1F)
MASKS_444 = (0xF00, 0xF0, 0xF)
MASKS_888 = (0xFF0000, 0xFF00, 0xFF)
FIELDS = 3


def bmp(head: bytes, pixels: bytes, table: bytes = b"") -> bytes:
    """A BMP with this header, and a palette or masks behind it."""
    start = 14 + len(head) + len(table)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + head + table + pixels


def head(size: int, width: int, height: int, bits: int, compression: int = 0, masks: Sequence[int] = ()) -> bytes:
    """A header of `size` bytes: 12 is the first of OS/2, 16 to 64 are the second, 40 and more are those of Windows."""
    if size == 12:
        return struct.pack("<IHHHH", size, width, height, 1, bits)
    whole = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    return (whole + b"".join(struct.pack("<I", mask) for mask in masks)).ljust(size, b"\0")[:size]


def rows(packed_rows: Sequence[bytes], *, top_down: bool = False) -> bytes:
    """Rows padded to 32 bits, the last one first."""
    return b"".join(row + bytes(-len(row) % 4) for row in (packed_rows if top_down else packed_rows[::-1]))


def colours(rgb: Pixels, *, top_down: bool = False) -> bytes:
    """Pixels of 24 bits."""
    return rows([row[:, ::-1].tobytes() for row in rgb], top_down=top_down)


def fields(rgba: Pixels, bits: int, masks: Sequence[int]) -> bytes:
    """Pixels of 16 or 32 bits, each colour where its mask says."""
    numbers = np.zeros(rgba.shape[:2], dtype=np.uint32)
    for channel, mask in enumerate(masks):
        if mask:
            shift = (mask & -mask).bit_length() - 1
            numbers |= np.rint(rgba[..., channel] * ((mask >> shift) / 255)).astype(np.uint32) << shift
    return rows([row.astype(f"<u{bits // 8}").tobytes() for row in numbers])


def numbers(values: Pixels, bits: int) -> bytes:
    """Numbers of a palette's colours, of 1, 2, 4 or 8 bits."""
    places = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return rows([np.packbits(row.astype(np.uint8).reshape(-1)).tobytes() for row in places])


def palette(rgb: Pixels, entry: int = 4) -> bytes:
    """A palette as blue, green, red and, with 4 bytes an entry, one that says nothing."""
    return b"".join(bytes([blue, green, red, 0][:entry]) for red, green, blue in rgb)
