"""Size of a HEIF or AVIF picture by its boxes: Pillow's libraries refuse one beyond their own limits as if it were
damaged."""

# ruff: noqa: PLR2004 the numbers come from the format

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from sentinel_worker.media.containers.boxes import MAX_BOXES, has_index, level, read, walk
from sentinel_worker.media.pictures.sizes import Declared

_AROUND_PROPERTIES: Final = (b"iprp", b"ipco")
_MAX_PROPERTY_BYTES: Final = 300
"""Enough for the numbers of bits of 255 channels; the others are at the start of their property."""
_SEQUENCES: Final = frozenset({b"hevc", b"hevx", b"hevm", b"hevs", b"msf1"})


def describe_heif(path: Path) -> Declared:
    """Read the properties in the box `meta`; nothing is known of a file without one."""
    width, height, deep = 0, 0, False
    for kind, body in _properties(path):
        width, height = max((width, height), _size(kind, body), key=lambda size: size[0] * size[1])
        deep |= _is_deep(kind, body)
    return Declared(width, height, deep)


def is_sequence(path: Path) -> bool:
    """True if the file's main brand is one of moving HEVC pictures and it has a track, which FFmpeg plays as a film."""
    with path.open("rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in _SEQUENCES and has_index(path)


def _properties(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and body of the properties of the items in the first box `meta` at the top of the file."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        top = islice(level(file, 0, size), MAX_BOXES)
        start, end = next(((body + 4, min(stop, size)) for kind, body, stop in top if kind == b"meta"), (0, 0))
        for kind, body, stop in islice(walk(file, start, end, _AROUND_PROPERTIES), MAX_BOXES):
            yield kind, read(file, body, min(stop - body, _MAX_PROPERTY_BYTES))


def _size(kind: bytes, body: bytes) -> tuple[int, int]:
    if kind != b"ispe":
        return 0, 0
    return int.from_bytes(body[4:8], "big"), int.from_bytes(body[8:12], "big")


def _is_deep(kind: bytes, body: bytes) -> bool:
    """True if a property gives samples more than 8 bits: the picture's own, or those of its codec."""
    if kind == b"pixi":
        return any(bits > 8 for bits in body[5:])
    if kind == b"av1C":
        return len(body) > 2 and bool(body[2] & 0x40)
    return kind == b"hvcC" and len(body) > 17 and bool(body[17] & 7)
