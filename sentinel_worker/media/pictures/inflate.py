"""Compressed pixels of a PNG that end early or whose checksum is wrong: as many as there are."""

from __future__ import annotations

import zlib
from typing import Final

from sentinel_worker.media.pictures.refusals import MAX_MISSING, check_missing, damaged

_STEP_BYTES: Final = 4096
"""A step unpacks to at most a thousand times as much."""
_ZLIB_HEADER: Final = 2
_DEFLATE_ONLY: Final = -15
# Adam7: first column and row, and the steps, of each pass.
_PASSES: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def mended(data: bytes, wanted: int) -> tuple[bytes, float]:
    """Pack what can be unpacked anew, with zeros in place of the rest of `wanted` bytes; return that rest's share too.

    Raises `Permanent` with `media_unreadable` or `media_truncated` if too much is broken or missing.
    """
    raw, is_broken = _unpacked(data, wanted)
    missing = 1 - len(raw) / wanted
    if is_broken and missing > MAX_MISSING:
        raise damaged()
    check_missing(missing)
    raw += bytes(wanted - len(raw))
    return zlib.compress(raw, 1), missing


def _unpacked(data: bytes, wanted: int) -> tuple[bytearray, bool]:
    """Return at most `wanted` bytes, and whether an error ended them. The checksum at the end is not looked at."""
    unpacker = zlib.decompressobj(_DEFLATE_ONLY)
    raw, packed = bytearray(), memoryview(data)
    try:
        for start in range(_ZLIB_HEADER, len(packed), _STEP_BYTES):
            raw += unpacker.decompress(packed[start : start + _STEP_BYTES])
            if len(raw) >= wanted or unpacker.eof:
                break
    except zlib.error:
        return raw[:wanted], True
    return raw[:wanted], False


def raw_bytes(width: int, height: int, pixel_bits: int, *, interlaced: bool) -> int:
    """Number of bytes of a PNG's pixels before they are packed: each row of each pass begins with a filter's byte."""
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    total = 0
    for left, top, step_x, step_y in passes:
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * pixel_bits + 7) // 8)
    return total
