"""Markers of a JPEG: the kind of its frame, and whether a progressive one has all its scans."""

# ruff: noqa: PLR2004 the numbers come from the format

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

UNUSUAL: Final = {
    0xC3: "a lossless JPEG",
    0xC5: "a hierarchical JPEG",
    0xC6: "a hierarchical JPEG",
    0xC7: "a hierarchical JPEG",
    0xC9: "an arithmetic-coded JPEG",
    0xCA: "an arithmetic-coded JPEG",
    0xCB: "a lossless JPEG",
    0xCD: "a hierarchical JPEG",
    0xCE: "a hierarchical JPEG",
    0xCF: "a hierarchical JPEG",
    0xF7: "a JPEG-LS picture",
}
"""Kinds of JPEG that Pillow may not read, by the marker of their frame."""

_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2, *UNUSUAL})
_START_OF_SCAN: Final = 0xDA
# Stuffed and fill bytes, restart markers and those that begin and end a picture have no body.
_SEGMENT: Final = re.compile(rb"\xff([^\x00\x01\xd0-\xd9\xff])", re.DOTALL)
_COEFFICIENTS: Final = 64
_NEVER_SENT: Final = 99


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and the body of each segment; compressed pixels are passed over."""
    place = 0
    while (found := _SEGMENT.search(data, place)) is not None:
        place = found.end()
        length = max(int.from_bytes(data[place : place + 2], "big"), 2)
        yield found[1][0], data[place + 2 : place + length]
        place += length


def frame_kind(data: bytes) -> tuple[int, int] | None:
    """Marker and bits of a sample of the picture's frame, or None without one."""
    frames = ((marker, body[0]) for marker, body in segments(data) if marker in _FRAMES and body)
    return next(frames, None)


def scans_are_complete(data: bytes) -> bool:
    """True if scans with every bit of every coefficient of every component have begun."""
    left: dict[int, list[int]] = {}
    for marker, body in segments(data):
        if marker in _FRAMES and len(body) >= 6:
            left = {component: [_NEVER_SENT] * _COEFFICIENTS for component in body[6::3]}
        elif marker == _START_OF_SCAN and body:
            components, rest = body[1 : 1 + 2 * body[0] : 2], body[1 + 2 * body[0] :]
            if len(rest) < 3:
                break
            first, last, bits = rest[0], min(rest[1], _COEFFICIENTS - 1), rest[2] & 15
            for component in components:
                if component in left:
                    left[component][first : last + 1] = [bits] * (last + 1 - first)
    return bool(left) and not any(any(bits) for bits in left.values())
