"""Orientation of a picture: read from EXIF as browsers read it, and applied to its pixels."""

from __future__ import annotations

import struct
from typing import Final

from torch import Tensor

from sentinel_worker.media.upright import upright

UPRIGHT: Final = 1
_TAG: Final = 0x0112
_SHORT: Final = 3
_LAST: Final = 8
_TRANSPOSED: Final = frozenset({5, 6, 7, 8})
_MIRRORED: Final = frozenset({2, 3, 6, 7})
_FLIPPED: Final = frozenset({3, 4, 7, 8})


def exif_orientation(exif: bytes | None) -> int:
    """Return EXIF's orientation, 1 to 8; 1 if there is none, or one that browsers do not believe.

    It counts only in the first directory, as a single number of 16 bits; XMP does not count.
    """
    tiff = (exif or b"").removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return UPRIGHT
    try:
        (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, directory)
        for number in range(entries):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", tiff, directory + 2 + 12 * number)
            if (tag, kind, count) == (_TAG, _SHORT, 1):
                return value if UPRIGHT <= value <= _LAST else UPRIGHT
    except struct.error:  # the directory ends early
        pass
    return UPRIGHT


def is_transposed(orientation: int) -> bool:
    """True if the picture's width is shown as its height."""
    return orientation in _TRANSPOSED


def turned(pixels: Tensor, orientation: int) -> Tensor:
    """Turn uint8 pixels [3, H, W] upright."""
    return upright(
        pixels,
        transpose=orientation in _TRANSPOSED,
        mirror=orientation in _MIRRORED,
        flip=orientation in _FLIPPED,
    )
