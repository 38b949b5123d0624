"""Size of a HEIF or AVIF picture by its boxes: Pillow's libraries refuse one beyond their own limits as if it were
damaged."""

# ruff: noqa: PLR2004 the numbers come from the format

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sentinel_worker.media.containers.boxes import has_index
from sentinel_worker.media.pictures.sizes import Declared

_MAX_META_BYTES: Final = 16 * 1024**2
_SEQUENCES: Final = frozenset({b"hevc", b"hevx", b"hevm", b"hevs", b"msf1"})


def describe_heif(path: Path) -> Declared:
    """Read the box `meta`; nothing is known of a file without one."""
    meta = _meta(path)
    if meta is None:
        return Declared()
    properties = [
        each
        for kind, body in _boxes(meta[4:])
        if kind == b"iprp"
        for inner, box in _boxes(body)
        if inner == b"ipco"
        for each in _boxes(box)
    ]
    width, height = max(map(_size, properties), key=lambda size: size[0] * size[1], default=(0, 0))
    return Declared(width, height, any(_is_deep(kind, body) for kind, body in properties))


def is_sequence(path: Path) -> bool:
    """True if the file's main brand is one of moving HEVC pictures and it has a track, which FFmpeg plays as a film."""
    with path.open("rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in _SEQUENCES and has_index(path)


def _meta(path: Path) -> bytes | None:
    """Body of the first box `meta` at the top of the file."""
    with path.open("rb") as file:
        for _ in range(64):
            head = file.read(8)
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if len(head) < 8 or length < 8:
                return None
            if kind == b"meta":
                return file.read(min(length - 8, _MAX_META_BYTES))
            file.seek(length - 8, 1)
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        if length < 8:
            return
        yield data[place + 4 : place + 8], data[place + 8 : place + length]
        place += length


def _size(item: tuple[bytes, bytes]) -> tuple[int, int]:
    kind, body = item
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
